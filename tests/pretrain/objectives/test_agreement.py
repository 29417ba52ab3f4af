"""Pairs of views count by how much their foregrounds agree."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast import among_views, info_nce
from medcl.errors import UsageError
from medcl.modality.spatial.config import ImageEncoderConfig, ImageViewsConfig
from medcl.pretrain.check import check
from medcl.pretrain.objectives.agreement import pair_weights, weights_of
from medcl.pretrain.objectives.contrast_config import ContrastConfig
from medcl.pretrain.reading import read

from .trained import trained

P, D = 16, 12


def views(count: int) -> tuple[Tensor, Tensor]:
    """Cells (2, n, P, D) of views of one background, each sample with a foreground of its own, and the foreground."""
    generator = torch.Generator().manual_seed(0)
    front = torch.zeros(2, count, P, dtype=torch.bool)
    front[..., :6] = True
    things = torch.randn(count, D, generator=generator)
    behind = torch.randn(D, generator=generator)
    cells = torch.where(front[..., None], things[None, :, None], behind)
    return cells + 0.5 * torch.randn(2, count, P, D, generator=generator), front


def test_the_weights_equal_the_loops() -> None:
    cells, front = views(5)
    front[1, 2] = False
    quality = []
    for i in range(5):
        agree = []
        for inside in (True, False):
            means = []
            for view in (0, 1):
                own = [cells[view, i, p] for p in range(P) if bool(front[view, i, p]) == inside]
                means.append(sum(own) / len(own) if own else torch.zeros(D))
            agree.append(F.cosine_similarity(means[0], means[1], dim=0))
        quality.append((1.5 * (agree[0] - agree[1])).exp())
    torch.testing.assert_close(pair_weights(cells, front, 1.5), 5 * torch.stack(quality) / sum(quality))
    torch.testing.assert_close(pair_weights(cells, front, 0.0), torch.ones(5))


def test_wrong_partners_on_the_same_background_count_less() -> None:
    cells, front = views(64)
    wrong = cells.clone()
    wrong[1, :32] = cells[1, :32].roll(1, dims=0)
    weights = pair_weights(wrong, front, 1.0)
    torch.testing.assert_close(weights.mean(), torch.ones(()))
    assert weights[:32].mean() < 0.6 * weights[32:].mean()


def test_the_loss_of_an_anchor_is_multiplied_by_its_weight() -> None:
    def watch(objective: Any, step: Any) -> None:
        seen = step.see("image", objective.wanted["image"])
        z, own = seen.project(objective.head("image"), 2), weights_of(seen, 2.0, None)
        assert own.std() > 0
        pairing = among_views(torch.arange(seen.n))
        losses = torch.stack([nt_xent(z, i, seen.n) for i in range(2 * seen.n)])
        torch.testing.assert_close(objective(step)[""], (losses * own).mean())
        torch.testing.assert_close(info_nce(z, z, pairing, weights=torch.ones(len(z))), losses.mean())

    config = ContrastConfig(of="image", agreement=2.0)
    recipe = read({"inputs": {"image": {}}, "objectives": {"own": {"of": "image", "agreement": 2.0}}})
    trained(
        config,
        lambda count, generator: (torch.rand(count, 1, 8, 8, generator=generator), {"sample": torch.arange(count)}),
        encoder=ImageEncoderConfig(name="unet", widths=(4, 8), stride=2, dim=8),
        changes=ImageViewsConfig(crop_side=(0.6, 1.0)),
        steps=1,
        batch=4,
        each=watch,
        recipe=recipe,
    )


def nt_xent(z: Tensor, i: int, n: int) -> Tensor:
    """Of one view of 2n."""
    scores = F.cosine_similarity(z[i : i + 1], z) / 0.1
    others = [j for j in range(2 * n) if j != i]
    return scores[others].logsumexp(0) - scores[(i + n) % (2 * n)]


@pytest.mark.parametrize("changes", [{"loss": "decoupled"}, {"copies": 3}, {"agreement": -1.0}])
def test_what_it_cannot_weigh_is_refused(changes: dict[str, Any]) -> None:
    recipe = {"inputs": {"image": {}}, "objectives": {"own": {"of": "image", "agreement": 1.0, **changes}}}
    with pytest.raises(UsageError, match=r"own\.agreement"):
        check(read(recipe))


def test_weights_of_another_number_are_refused() -> None:
    z = torch.randn(4, 3)
    with pytest.raises(UsageError, match=r"one an anchor \(4,\), got \(3,\)"):
        info_nce(z, z, torch.eye(4, dtype=torch.bool), weights=torch.ones(3))
