"""A training step of ConVIRT, and what of it is not the encoders': loading, tokens, pairing, loss."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from medcl.pretrain.convirt import ConVIRT
from medcl.pretrain.multimodal_config import ImageSide, MultimodalConfig, ReportSide
from medcl.pretrain.multimodal_sides import make
from medcl.pretrain.towers import EmbeddedViews, Towers
from torch import Tensor

from medcl.archive.links import links
from medcl.data.pairs import Pairs
from medcl.data.sampler import Sampler
from medcl.modality.image.config import ImageConfig
from medcl.modality.report.config import TextConfig, TextEncoderConfig
from medcl.modality.spatial.config import ImageEncoderConfig, ImageViewsConfig
from medcl.networks.multimodal import MultimodalEncoder
from tests.data.linked_archive import pictures_with_reports

PATIENTS, ROUNDS, SHARE = 64, 4, 0.1


def seconds(call: Callable[[], object]) -> float:
    """Of the processor, in the best of some rounds: others use it too."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def test_all_but_the_encoders_is_below_a_tenth_of_a_step(tmp_path: Path) -> None:
    manifest = pictures_with_reports(tmp_path / "archive", patients=PATIENTS, each=2)
    sides = {
        "image": ImageSide(
            ImageConfig(size=(96, 96)),
            ImageEncoderConfig(name="resnet", dim=128, widths=(32, 64, 128, 256)),
            ImageViewsConfig(contrast=(0.6, 1.4), brightness=0.2),
        ),
        "report": ReportSide(TextConfig(), TextEncoderConfig(vocabulary=1000)),
    }
    made = {kind: make(kind, side, manifest, manifest, tmp_path / "store", jobs=1) for kind, side in sides.items()}
    pairs = Pairs({kind: side.draws for kind, side in made.items()}, manifest, links(manifest))
    (places,) = Sampler.drawing(pairs, patients=PATIENTS, records=1).batches(0, 1)
    joint = MultimodalEncoder({kind: side.encoder() for kind, side in made.items()}, 256, 128)
    views = {kind: side.views for kind, side in made.items() if side.views is not None}
    method = ConVIRT(Towers(joint, views), MultimodalConfig(), pairs.id_names)
    batch = pairs.__getitems__(places)
    seen = method.towers.see(batch, torch.Generator().manual_seed(0), None)
    embedded = method.towers(seen)

    def encoders() -> None:
        z: list[Tensor] = [one.z for one in method.towers(seen).values()]
        torch.stack([one.sum() for one in z]).sum().backward()

    def loss() -> None:
        apart = {
            kind: EmbeddedViews(one.z.detach().requires_grad_(), None, one.there, one.ids)
            for kind, one in embedded.items()
        }
        torch.stack(list(method.pair(apart, None, None).values())).sum().backward()

    times = {
        "encoders": seconds(encoders),
        "loading and tokens": seconds(lambda: pairs.__getitems__(places)),
        "pairing and loss": seconds(loss),
        "views": seconds(lambda: method.towers.see(batch, torch.Generator().manual_seed(0), None)),
    }
    whole = sum(times.values())
    print("\n" + ", ".join(f"{name} {1000 * one:.1f} ms ({one / whole:.1%})" for name, one in times.items()))
    assert whole - times["encoders"] < SHARE * whole
