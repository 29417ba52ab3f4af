"""SlotCon finds the textures of images of four of them, without labels, and needs its centring for it."""

from copy import deepcopy
from typing import Any, cast

import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast import grouped, momentum_update
from medcl.modality.spatial import encoders, views
from medcl.modality.spatial.config import ImageEncoderConfig, ImageViewsConfig
from medcl.pretrain.objectives.base import Parts
from medcl.pretrain.objectives.slotcon import SlotCon, SlotConConfig
from medcl.pretrain.passes import Seen, Step
from medcl.pretrain.views import Wanted, draw_views

SIDE, STRIDE = 48, 4


def images(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images (N, 1, x, y) of four textures, a quarter each, and the number of the texture of every pixel."""
    x, y = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    blobs = 1.5 * torch.sin(0.8 * x) * torch.sin(0.8 * y)
    textures = torch.stack([torch.sin(1.6 * y), torch.sin(1.6 * x), blobs, torch.zeros(SIDE, SIDE)])
    labels = torch.empty(count, SIDE, SIDE, dtype=torch.int64)
    for own in labels:
        order = torch.randperm(4, generator=generator)
        row, column = torch.randint(14, 34, (2,), generator=generator).tolist()
        own[:row, :column], own[:row, column:], own[row:, :column], own[row:, column:] = order
    noise = 0.1 * torch.randn(count, SIDE, SIDE, generator=generator)
    return (textures.gather(0, labels) + noise)[:, None], labels


def trained(centring: float, steps: int = 250) -> tuple[float, int]:
    """How well the nearest prototypes of cells agree with textures (adjusted Rand index), and how many there are."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    encoder = encoders.build(ImageEncoderConfig(name="unet", widths=(8, 16, 32), stride=STRIDE, dim=32), 1)
    config = SlotConConfig(of="image", prototypes=12, hidden=64, projection=32, centring=centring, momentum=0.95)
    parts = Parts("cells", {"image": encoder}, {"image": (1, SIDE, SIDE)}, cast(Any, None), {}, steps, 1, ())
    objective = SlotCon(config, parts)
    teacher = deepcopy(encoder).requires_grad_(False)
    changes = views.build(ImageViewsConfig(crop_side=(0.6, 1.0), flip=0.5, contrast=(0.8, 1.2)))
    parameters = [*encoder.parameters(), *(one for one in objective.parameters() if one.requires_grad)]
    optimiser = torch.optim.AdamW(parameters, 3e-3)
    wanted = Wanted()
    for _ in range(steps):
        x, _labels = images(16, generator)
        momentum_update(encoder, teacher, objective.follows)
        seen = Seen(draw_views(x, changes, wanted, generator, None), 2, encoder, {}, teacher=teacher)
        loss = objective(Step({("image", wanted.key): seen}, {}, {}, generator, None))[""]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    encoder.eval()
    objective.eval()
    x, labels = images(40, generator)
    with torch.no_grad():
        nearest = grouped(objective.cells(encoder(x)), objective.prototypes.weight).scores.argmax(dim=2).flatten()
    shares = F.avg_pool2d(F.one_hot(labels, 4).movedim(3, 1).float(), STRIDE)
    whole = (shares.amax(dim=1) == 1).flatten()
    found, expected = nearest[whole], shares.argmax(dim=1).flatten()[whole]
    return float(adjusted_rand_score(expected, found)), len(found.unique())


@pytest.mark.benchmark
def test_slots_are_textures_and_centring_keeps_them_alive() -> None:
    agreement, alive = trained(centring=0.9)
    without, alive_without = trained(centring=1.0)
    print(f"centring: ARI {agreement:.3f}, {alive} prototypes; without: {without:.3f}, {alive_without}")
    assert agreement >= 0.6
    assert alive >= 5
    assert without < agreement
    assert alive_without < alive
