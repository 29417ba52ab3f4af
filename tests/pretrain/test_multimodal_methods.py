"""What the methods on several modalities compute from a batch."""

from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medcl.contrast.losses.clip import clip
from medcl.contrast.similarities.multimodal import multilinear
from medcl.networks.multimodal import MultimodalEncoder
from medcl.pretrain.convirt import ConVIRT
from medcl.pretrain.multimodal import Multimodal, losses_of, pairs_of
from medcl.pretrain.multimodal_config import MultimodalConfig
from medcl.pretrain.simclr import SimCLR
from medcl.pretrain.towers import TextCache, Towers, apart, partners

KINDS = ("image", "volume", "signal")
BITS = 3


class Bits(nn.Module):
    """An encoder of vectors of bits."""

    def __init__(self, width: int = BITS) -> None:
        super().__init__()
        self.config = SimpleNamespace(dim=32)
        self.layer = nn.Linear(width, 32)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).relu()[:, None]

    def pool(self, dense: Tensor) -> Tensor:
        return dense[:, 0]


def names(*kinds: str) -> tuple[str, ...]:
    return ("patient", "item", *kinds)


def towers(*kinds: str, locked: tuple[str, ...] = ()) -> Towers:
    torch.manual_seed(0)
    return Towers(MultimodalEncoder({kind: Bits() for kind in kinds}, 64, 16), {}, locked)


def batch_of(x: dict[str, Tensor], patients: Tensor | None = None) -> dict[str, Any]:
    count = len(next(iter(x.values())))
    own = torch.arange(count)
    ids = {"patient": own if patients is None else patients, "item": own, **{kind: own for kind in x}}
    present = {kind: torch.ones(count, dtype=torch.bool) for kind in x}
    return {"inputs": x, "ids": ids, "present": present, "index": own}


def exclusive_or(a: Tensor, b: Tensor) -> dict[str, Tensor]:
    """Bits of which each two modalities tell nothing of the third, and both together tell all."""
    return {"image": a, "volume": b, "signal": -a * b}


def accuracy(method: Multimodal, *, together: bool) -> float:
    """How often the third modality is found among all that it can be, by the two others."""
    codes = torch.tensor(list(product((-1.0, 1.0), repeat=BITS)))
    count, joint = len(codes), method.encoder.eval()
    x = exclusive_or(codes.repeat_interleave(count, 0), codes.repeat(count, 1))
    with torch.no_grad():
        a, b, c = (joint.project(kind, joint.encode(kind, own)[1]) for kind, own in {**x, "signal": codes}.items())
    scores = multilinear.score(*multilinear.prepared(c, (a, b))).T if together else (a + b) @ c.T
    return float((codes[scores.argmax(dim=1)] == x["signal"]).all(dim=1).float().mean())


@pytest.mark.parametrize(("loss", "least", "most"), [("clip", 0.0, 0.3), ("symile", 0.9, 1.0)])
def test_symile_solves_the_exclusive_or_that_pairs_of_modalities_cannot(loss: Any, least: float, most: float) -> None:
    method = Multimodal(towers(*KINDS), MultimodalConfig(loss=loss, learn_temperature=True), names(*KINDS))
    optimiser = torch.optim.Adam(method.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        a, b = torch.randint(0, 2, (2, 32, BITS), generator=generator).float() * 2 - 1
        losses = method(batch_of(exclusive_or(a, b)), generator)
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
    found = accuracy(method, together=loss == "symile")
    assert least <= found <= most, f"chance is 1 in {2**BITS}"


def test_who_belongs_together() -> None:
    """Two pictures of a study with one report; another study of the patient; two patients with the same words."""
    ids = {
        "patient": torch.tensor([1, 1, 1, 2, 3]),
        "item": torch.tensor([10, 11, 12, 20, 30]),
        "image": torch.tensor([10, 11, 12, 20, 30]),
        "report": torch.tensor([50, 50, 51, 60, 70]),
        "text": torch.tensor([7, 8, 9, 5, 5]),
    }
    pairs = partners("image", "report", ids, ids).pairs()
    expected = torch.tensor(
        [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 1, 1]], dtype=torch.bool
    )
    assert torch.equal(pairs.positive, expected)
    out = torch.zeros(5, 5, dtype=torch.bool)
    out[2, :2] = out[:2, 2] = True
    assert pairs.candidate is not None
    assert torch.equal(~pairs.candidate, out)
    assert torch.equal(apart("image", "report", ids, ids).pairs().positive, out)


def test_convirt_is_its_loss_with_lambda_on_the_way_to_the_reports() -> None:
    x = {kind: torch.randn(8, BITS) for kind in ("image", "signal")}
    method = ConVIRT(towers(*x), MultimodalConfig(weight=0.75, temperature=0.2), names(*x))
    found = method(batch_of(x), torch.Generator())["global"]
    a, b = (method.encoder.project(kind, method.encoder.encode(kind, x[kind])[1]) for kind in x)
    expected = clip(a, b, torch.eye(8, dtype=torch.bool), weight=0.75, temperature=0.2)
    torch.testing.assert_close(found, expected)


def test_only_the_head_of_a_locked_side_is_trained() -> None:
    x = {kind: torch.randn(8, BITS) for kind in ("image", "signal")}
    method = ConVIRT(towers(*x, locked=("image",)), MultimodalConfig(), names(*x)).train()
    assert not method.encoder.side("image").training
    assert method.encoder.side("signal").training
    method(batch_of(x), torch.Generator())["global"].backward()
    assert all(parameter.grad is None for parameter in method.encoder.side("image").parameters())
    assert all(parameter.grad is not None for parameter in method.encoder.side("signal").parameters())
    assert all(parameter.grad is not None for parameter in method.encoder.heads.parameters())


def test_distillation_mixes_targets_and_the_queue_fills_with_earlier_batches() -> None:
    x = {kind: torch.randn(8, BITS) for kind in ("image", "signal")}
    plain = MultimodalConfig(temperature=0.2, projection=16)
    config = replace(plain, distillation=0.4, momentum=0.9)
    without = ConVIRT(towers(*x), plain, names(*x))(batch_of(x), torch.Generator())["global"]
    # The copies are the encoders at first, so that the hard targets give what they give without copies.
    hard = ConVIRT(towers(*x), replace(plain, queue=12), names(*x))
    torch.testing.assert_close(hard(batch_of(x), torch.Generator())["global"], without)
    method = ConVIRT(towers(*x), config, names(*x))
    a, b = (method.encoder.project(kind, method.encoder.encode(kind, x[kind])[1]).detach() for kind in x)
    expected = torch.zeros(())
    for weight, (z, other) in ((0.75, (a, b)), (0.25, (b, a))):
        logits = z @ other.T / 0.2
        targets = 0.4 * logits.softmax(dim=1) + 0.6 * torch.eye(8)
        expected = expected - weight * (targets * logits.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(method(batch_of(x), torch.Generator())["global"], expected)
    assert hard.teacher is not None
    again = batch_of({kind: torch.randn(8, BITS) for kind in x})
    again["ids"] = {name: own + 100 for name, own in again["ids"].items()}
    hard(again, torch.Generator())
    assert {kind: len(queue) for kind, queue in hard.teacher.queues.items()} == {"image": 12, "signal": 12}


@pytest.mark.parametrize("loss", ["anchored", "symile"])
def test_samples_that_lack_a_modality_are_trained_on(loss: Any) -> None:
    x = {kind: torch.randn(6, BITS) for kind in KINDS}
    whole = batch_of(x)
    config = MultimodalConfig(loss=loss, anchor="signal")
    method = Multimodal(towers(*KINDS), config, names(*KINDS))
    there = torch.tensor([1, 1, 0, 1, 0, 1], dtype=torch.bool)
    some = {
        **whole,
        "inputs": {**x, "volume": x["volume"][there]},
        "present": {**whole["present"], "volume": there},
    }
    losses = method(some, torch.Generator().manual_seed(0))
    assert losses.keys() == losses_of(KINDS, config).keys()
    if loss == "anchored":
        rows = {kind: own[there] for kind, own in x.items()}
        expected = method(batch_of(rows), torch.Generator())["volume-signal"]
        # The signals whose volume is missing are negatives of the volumes that are there.
        assert losses["volume-signal"] > expected
        torch.testing.assert_close(losses["image-signal"], method(whole, torch.Generator())["image-signal"])
    none = {
        **whole,
        "inputs": {kind: own for kind, own in x.items() if kind != "volume"},
        "present": {**whole["present"], "volume": torch.zeros(6, dtype=torch.bool)},
    }
    losses = method(none, torch.Generator().manual_seed(0))
    assert losses.keys() == losses_of(KINDS, config).keys()
    assert losses["joint" if loss == "symile" else "volume-signal"] == 0


def test_which_modalities_are_contrasted() -> None:
    kinds = ("image", "signal", "report")
    assert pairs_of(kinds, MultimodalConfig(loss="anchored")) == (("image", "report"), ("signal", "report"))
    assert len(pairs_of(kinds, MultimodalConfig(loss="clip"))) == 3
    assert losses_of(kinds, MultimodalConfig(loss="anchored", local=0.5)) == {
        "image-report": 1.0,
        "signal-report": 1.0,
        "image-report-local": 0.5,
        "signal-report-local": 0.5,
    }


def test_simclr_leaves_other_records_of_the_patient_out() -> None:
    x = {"image": torch.randn(4, BITS)}
    method = SimCLR(towers("image"), MultimodalConfig())
    apart_from_all = method(batch_of(x), torch.Generator())["global"]
    one = method(batch_of(x, torch.tensor([1, 1, 2, 2])), torch.Generator())["global"]
    assert one < apart_from_all, "fewer negatives"
    alone = method(batch_of(x, torch.tensor([1, 1, 1, 1])), torch.Generator())["global"]
    torch.testing.assert_close(alone, torch.zeros(()), msg="without views both views are the same, and alone")


def test_a_locked_encoder_embeds_each_text_once() -> None:
    asked: list[int] = []

    def embed(x: Tensor) -> Tensor:
        asked.append(len(x))
        return x.float() @ torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])

    cache = TextCache(most=3)
    x = torch.tensor([[5, 1, 0], [7, 2, 0], [5, 1, 0]])
    expected = x[:, :2].float()
    torch.testing.assert_close(cache(x, x > 0, embed), expected)
    torch.testing.assert_close(cache(x[:, :2], x[:, :2] > 0, embed), expected)  # without its padding
    assert asked == [2]
    more = torch.tensor([[1, 1, 0], [2, 1, 0], [7, 2, 0]])
    for _ in range(2):
        torch.testing.assert_close(cache(more, more > 0, embed), more[:, :2].float())
    assert asked == [2, 2, 1], "of three that are kept, the fourth is embedded anew"


def test_features_are_dropped_before_a_projection_in_training_only() -> None:
    made = Towers(towers("image", "volume").joint, {}, dropout=0.5)
    batch = batch_of({kind: torch.randn(4, BITS) for kind in ("image", "volume")})
    seen = made.see(batch, torch.Generator(), None)
    first, second = made(seen)["image"].z, made(seen)["image"].z
    assert not torch.allclose(first, second)
    made.eval()
    torch.testing.assert_close(made(seen)["image"].z, made(seen)["image"].z)
