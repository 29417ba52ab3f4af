import sys
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.auc import auc
from medcl.contrast.pairings.pairs import Pairing, PairMasks, matrix, same
from medcl.contrast.similarities.similarity import dot
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.loops import mean

MODULE = sys.modules["medcl.contrast.losses.auc"]
"""The room has a function of the same name."""

IDS, MORE = torch.tensor([0, 1, 0, 2]), torch.tensor([0, 0, 1, 3, 0])
OVER = pytest.mark.parametrize("over", ["anchor", "batch"])
SURROGATES = pytest.mark.parametrize("surrogate", ["logistic", "squared_hinge"])


def loops(
    a: Tensor, b: Tensor, exclude: Tensor, over: str, surrogate: str, temperature: float, margin: float, positives: int
) -> Tensor:
    pulled, pushed = [], []
    for i, x in enumerate(a):
        scores = [x @ y / (x.norm() * y.norm()) / temperature for y in b]
        kept = [j for j in range(len(b)) if not exclude[i, j]]
        pulled.append(
            sorted((scores[j] for j in kept if IDS[i] == MORE[j]), key=lambda s: float(s.detach()))[:positives]
        )
        pushed.append([scores[j] for j in kept if IDS[i] != MORE[j]])

    def compare(positive: list[Tensor], negative: list[Tensor]) -> list[Tensor]:
        differences = [n - p for p in positive for n in negative]
        if surrogate == "logistic":
            return [torch.log(1 + torch.exp(x)) for x in differences]
        return [(margin + x) ** 2 if margin + x > 0 else 0 * x for x in differences]

    if over == "batch":
        return mean(compare(sum(pulled, []), sum(pushed, [])))
    return mean([mean(terms) for terms in map(compare, pulled, pushed) if terms])


@OVER
@SURROGATES
@pytest.mark.parametrize("positives", [1, 8])
@pytest.mark.parametrize("cells", [1, 2**20])
def test_the_loss_and_its_gradient_equal_the_loops(
    over: Any, surrogate: Any, positives: int, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One positive after the other, and all at once.
    monkeypatch.setattr(MODULE, "ON_CPU", cells)
    exclude = draw(4, 5, seed=2) > 1
    exclude[2] = MORE != 0
    options = {"over": over, "surrogate": surrogate, "temperature": 0.5, "margin": 0.7, "positives": positives}
    assert_same(
        partial(auc, pairing=matrix(same(IDS, MORE).pairs().positive, exclude), **options),
        partial(loops, exclude=exclude, **options),
        draw(4, 3),
        draw(5, 3, seed=1),
    )


@OVER
@pytest.mark.parametrize("cells", [1, 2**20])
def test_blocks_of_anchors_and_of_positives_change_nothing(
    over: Any, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = value_and_gradients(partial(auc, pairing=same(IDS, MORE), over=over), draw(4, 3), draw(5, 3, seed=1))
    monkeypatch.setattr(MODULE, "ON_CPU", cells)
    loss = partial(auc, pairing=same(IDS, MORE), over=over, block=3)
    for found, expected in zip(value_and_gradients(loss, draw(4, 3), draw(5, 3, seed=1)), whole, strict=True):
        torch.testing.assert_close(found, expected)


@OVER
@SURROGATES
def test_gradcheck(over: Any, surrogate: Any) -> None:
    a, b = draw(4, 3).requires_grad_(), draw(5, 3, seed=1).requires_grad_()
    loss = partial(auc, pairing=same(IDS, MORE), over=over, surrogate=surrogate, temperature=0.5)
    assert torch.autograd.gradcheck(loss, (a, b))


@SURROGATES
def test_it_bounds_the_area_over_the_curve(surrogate: Any) -> None:
    a, b = draw(6, 3), draw(6, 3, seed=1)
    scores = torch.nn.functional.normalize(a, dim=1) @ torch.nn.functional.normalize(b, dim=1).T
    eye = torch.eye(6, dtype=torch.bool)
    above = (scores[~eye][None] > scores[eye][:, None]).double().mean()
    unit = torch.log(torch.tensor(2.0)) if surrogate == "logistic" else 1.0
    assert auc(a, b, eye, over="batch", surrogate=surrogate) / unit >= above
    sharp = auc(a, b, eye, over="batch", temperature=1e-6) * 1e-6
    differences = (scores[~eye][None] - scores[eye][:, None]).relu().mean()
    torch.testing.assert_close(sharp, differences, rtol=1e-4, atol=1e-4)


def test_only_over_the_batch_does_an_offset_of_an_anchor_matter() -> None:
    a, b, ids = draw(4, 3), draw(4, 3, seed=1), torch.arange(4)
    # Orthogonal to everything else, it adds to all scores of the first anchor alike.
    a, b = torch.cat([a, torch.zeros(4, 1)], 1), torch.cat([b, torch.ones(4, 1)], 1)
    moved = a.clone()
    moved[0, 3] = 2.0
    anchor, batch = (partial(auc, pairing=same(ids), over=over, similarity=dot) for over in ("anchor", "batch"))
    torch.testing.assert_close(anchor(moved, b), anchor(a, b))
    assert not torch.allclose(batch(moved, b), batch(a, b))


@OVER
def test_importance_weighs_the_negatives(over: Any) -> None:
    a, b, ids = draw(3, 3), draw(3, 3, seed=1), torch.arange(3)

    def rule(anchors: tuple[Tensor, ...], candidates: tuple[Tensor, ...]) -> PairMasks:
        positive = anchors[0][:, None] == candidates[0][None]
        return PairMasks(positive, importance=torch.where(candidates[0] == 2, 0.0, 3.0).expand_as(positive))

    without = matrix(torch.eye(3, dtype=torch.bool), (ids == 2)[None] & (ids != 2)[:, None])
    torch.testing.assert_close(auc(a, b, Pairing(rule, (ids,), (ids,)), over=over), auc(a, b, without, over=over))


@OVER
@pytest.mark.parametrize("positive", [False, True])
def test_without_a_positive_or_a_negative_the_loss_and_gradient_are_0(over: Any, positive: bool) -> None:
    loss = partial(auc, pairing=torch.full((3, 4), positive), over=over)
    for found in value_and_gradients(loss, draw(3, 3), draw(4, 3, seed=1)):
        assert torch.equal(found, torch.zeros_like(found))


def test_what_has_no_meaning_is_refused() -> None:
    a, pairing = draw(4, 3), same(IDS)
    for wrong in ({"over": "all"}, {"surrogate": "exponential"}):
        with pytest.raises(UsageError, match="anchor or batch, logistic or squared_hinge"):
            auc(a, a, pairing, **wrong)
    for wrong in ({"positives": 0}, {"margin": 0.0}):
        with pytest.raises(UsageError, match="at least one positive"):
            auc(a, a, pairing, **wrong)
    with pytest.raises(UsageError, match="yes or no"):
        auc(a, a, torch.eye(4))
