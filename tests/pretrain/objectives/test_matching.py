"""Matching of images between two views: costs and assignments against loops, and what is learned from them."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.modality.spatial.config import ImageEncoderConfig, ImageViewsConfig
from medcl.pretrain.check import check
from medcl.pretrain.objectives.base import HeadConfig
from medcl.pretrain.objectives.matching import MatchingConfig, local_similarity, mismatched
from medcl.pretrain.reading import read

from .stripes import striped
from .trained import Drawn, trained


def cheapest(costs: Tensor) -> Tensor:
    """The best of all assignments, tried one after the other."""
    rows = range(len(costs))
    best = min(permutations(rows), key=lambda columns: sum(float(costs[i, columns[i]]) for i in rows))
    found = torch.zeros_like(costs)
    for i in rows:
        found[i, best[i]] = 1
    return found


def neighbourly(z: Tensor, count: int) -> Tensor:
    rows = []
    for i in range(len(z)):
        others = sorted((j for j in range(len(z)) if j != i), key=lambda j: -float(F.cosine_similarity(z[i], z[j], 0)))
        rows.append(torch.stack([F.normalize(z[j], dim=0) for j in (i, *others[:count])]).mean(dim=0))
    return torch.stack(rows)


def test_the_costs_and_the_derivative_of_the_solver_equal_the_loops() -> None:
    patients = torch.tensor([0, 1, 1, 2, 3])

    def watch(objective: Any, step: Any) -> None:
        seen = step.see("image", objective.wanted["image"])
        first, second = (neighbourly(z, 2) for z in seen.project(objective.head, 2).detach().chunk(2))
        a, b = seen.project(objective.local, 2, "dense").detach().chunk(2)
        costs = torch.zeros(5, 5, dtype=torch.float64)
        for i in range(5):
            for j in range(5):
                pairs = torch.stack([torch.stack([F.cosine_similarity(p, q, 0) for q in b[j]]) for p in a[i]])
                local = (pairs.max(dim=1).values.mean() + pairs.max(dim=0).values.mean()) / 2
                whole = F.cosine_similarity(first[i], second[j], 0)
                alike = bool(patients[i] == patients[j]) and i != j
                costs[i, j] = 1e3 if alike else -0.3 * whole - 0.7 * local
        share = 1 - float(cheapest(costs).diagonal().mean())
        assert objective(step)[""].item() == pytest.approx(share)
        costs.requires_grad_()
        (slope,) = torch.autograd.grad(mismatched(costs, 0.2, 0.1), costs)
        own = torch.eye(5)
        held = costs.detach() + 0.1 * own
        torch.testing.assert_close(slope, (cheapest(held + 0.2 * (1 - 2 * own)) - cheapest(held)) / (2 * 5 * 0.2))
        assert slope.abs().max() > 0

    trained(
        MatchingConfig(of="image", share=0.3, head=HeadConfig(hidden=0, dim=4)),
        lambda count, generator: (torch.rand(count, 1, 8, 8, generator=generator), {"patient": patients}),
        encoder=ImageEncoderConfig(name="unet", widths=(4, 8), stride=2, dim=8),
        changes=ImageViewsConfig(contrast=(0.5, 1.5), noise=0.5),
        steps=1,
        batch=5,
        each=watch,
    )


def test_noisy_copies_find_their_own_and_equal_ones_learn_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    other = torch.randn(16, 8, generator=generator)
    z = (0.3 * other + torch.randn(16, 8, generator=generator)).requires_grad_()
    optimiser, shares = torch.optim.Adam([z], 0.05), []
    for _ in range(150):
        share = mismatched(-F.normalize(z, dim=1) @ F.normalize(other, dim=1).T, 2.0)
        optimiser.zero_grad()
        share.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        shares.append(float(share.detach()))
    assert shares[0] > 0.5
    assert shares[-1] == 0.0
    same = torch.zeros(6, 6, requires_grad=True)
    (slope,) = torch.autograd.grad(mismatched(same, 2.0), same)
    assert not slope.any()


def test_what_is_not_a_number_gives_none_and_nobody_gives_0() -> None:
    assert mismatched(torch.full((3, 3), torch.nan), 1.0).isnan()
    assert mismatched(torch.zeros(0, 0), 1.0) == 0
    assert local_similarity(torch.zeros(0, 4, 2), torch.zeros(0, 4, 2)).shape == (0, 0)


@pytest.mark.parametrize("changes", [{"share": 1.5}, {"strength": 0.0}, {"margin": -1.0}, {"neighbours": -1}])
def test_settings_out_of_range_are_refused(changes: dict[str, float]) -> None:
    own = {"kind": "matching", "of": "image", **changes}
    with pytest.raises(UsageError, match=next(iter(changes))):
        check(read({"inputs": {"image": {}}, "objectives": {"own": own}}))


@pytest.mark.acceptance
def test_matched_images_are_told_apart_by_what_they_show() -> None:
    images = torch.from_numpy(striped(400, np.random.default_rng(0))[0])
    test, angle = striped(1000, np.random.default_rng(9))

    def draw(count: int, generator: torch.Generator) -> Drawn:
        rows = torch.randperm(len(images), generator=generator)[:count]
        return images[rows], {"patient": rows}

    def accuracy(steps: int, seed: int) -> float:
        network, _ = trained(
            MatchingConfig(of="image", head=HeadConfig(hidden=64, dim=32)),
            draw,
            encoder=ImageEncoderConfig(name="unet", widths=(8, 16, 32), dim=32, stride=4, norm="batch"),
            changes=ImageViewsConfig(crop_side=(0.7, 1.0), rotation=5, contrast=(0.7, 1.3), brightness=0.2, noise=0.03),
            steps=steps,
            batch=32,
            seed=seed,
        )
        with torch.inference_mode():
            z = network.pool(network(torch.from_numpy(test))).numpy()  # type: ignore[operator]
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
        return float(probe.fit(z[:400], angle[:400]).score(z[400:], angle[400:]))

    before, after = (np.mean([accuracy(steps, seed) for seed in range(2)]) for steps in (0, 100))
    assert after > before + 0.15
