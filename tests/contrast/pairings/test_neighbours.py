"""Positives from neighbours of the raw data, and soft ones, against loops."""

from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.clip import cwcl
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.neighbours import alike, nearest, neighbours, soft, softened, without_hardest
from medcl.contrast.pairings.pairs import itself, same
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients

LABELS = torch.tensor([0, 1, 0, 1, 0, 2, 0, -1, -1])


@pytest.mark.parametrize("p", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("block", [1, 4, None])
def test_neighbours_are_the_nearest_of_the_same_label(p: float, block: int | None) -> None:
    x = draw(9, 3)
    found = neighbours(x, LABELS, 2, p=p, block=block)
    for i in range(9):
        others = [j for j in range(9) if j != i and LABELS[j] == LABELS[i] >= 0]
        others.sort(key=lambda j: sum(abs(float(x[i, d] - x[j, d])) ** p for d in range(3)))
        assert found[i].tolist() == [*others, -1, -1][:2]


@pytest.mark.parametrize("k", [1, 2])
def test_a_group_is_closed_under_nearest_neighbours(k: int) -> None:
    x = draw(9, 3, seed=3)
    found, groups = neighbours(x, LABELS, k), nearest(x, LABELS, k)
    linked = {(i, j) for i in range(9) for j in [i, *found[i].tolist()] if j >= 0}
    linked |= {(j, i) for i, j in linked}
    for middle, i, j in product(range(9), repeat=3):
        if (i, middle) in linked and (middle, j) in linked:
            linked.add((i, j))
    assert {(i, j) for i, j in product(range(9), repeat=2) if groups[i] == groups[j]} == linked
    assert groups.dtype == torch.int64


def test_a_long_chain_is_one_group() -> None:
    steps = torch.arange(50.0).mul(-0.01).exp().cumsum(0)[:, None]
    assert nearest(steps, torch.zeros(50, dtype=torch.int64)).tolist() == [0] * 50


def test_neither_order_nor_names_of_labels_matter() -> None:
    x, order = draw(9, 3, seed=5), torch.tensor([8, 2, 5, 0, 1, 7, 3, 6, 4])
    groups, permuted = (
        nearest(x, LABELS),
        nearest(x[order], LABELS[order].where(LABELS[order] < 0, 2**62 - LABELS[order])),
    )
    together = groups[:, None] == groups
    assert torch.equal(permuted[:, None] == permuted, together[order][:, order])


def test_few_samples_have_few_neighbours() -> None:
    assert neighbours(draw(1, 2), torch.tensor([0]), 3).tolist() == [[-1, -1, -1]]
    assert neighbours(draw(0, 2), torch.zeros(0, dtype=torch.int64), 2).shape == (0, 2)
    assert nearest(draw(3, 2), torch.tensor([-1, -1, 4])).tolist() == [0, 1, 2]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(TypeError, match="integers"):
        nearest(draw(3, 2), torch.ones(3))
    with pytest.raises(UsageError, match="expected"):
        nearest(draw(3, 2), torch.tensor([0, 1]))
    with pytest.raises(UsageError, match="above 0"):
        nearest(draw(3, 2), torch.tensor([0, 1, 0]), 0)


FROZEN = draw(4, 5, seed=7)


def test_softened_targets_are_a_softmax_with_a_derivative() -> None:
    teacher = draw(4, 3, seed=2)

    def reference(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
        u, v, w = (F.normalize(x, dim=1) for x in (a, b, t))
        return -((w @ w.T / 0.3).softmax(1) * (u @ v.T / 0.1).log_softmax(1)).sum(1).mean()

    def loss(a: Tensor, b: Tensor, t: Tensor, block: int | None = None) -> Tensor:
        return info_nce(a, b, softened(t, temperature=0.3), block=block)

    views = draw(4, 3), draw(4, 3, seed=1), teacher
    assert_same(loss, reference, *views)
    assert_same(partial(loss, block=1), reference, *views)


def test_a_planted_paraphrase_is_no_negative_and_the_positive_stays() -> None:
    """MultiCSR's mask: frozen cosine 0.97 above 0.95, so that there is no repulsive derivative."""
    frozen = torch.tensor([[1.0, 0.0], [0.97, (1 - 0.97**2) ** 0.5], [0.0, 1.0]]).double()
    a, b = draw(3, 4), draw(3, 4, seed=1)
    own = itself(a)
    masked = own.without(alike(frozen, above=0.95).but(own))
    pairs = masked.pairs()
    assert pairs.candidate is not None
    assert pairs.candidate.tolist() == [[True, False, True], [False, True, True], [True, True, True]]
    assert pairs.positive.tolist() == torch.eye(3).bool().tolist()
    _, _, gradient = value_and_gradients(lambda x, y: info_nce(x, y, masked), a, b)
    _, _, plain = value_and_gradients(lambda x, y: info_nce(x, y, own), a, b)
    assert not torch.allclose(gradient, plain)
    torch.testing.assert_close(info_nce(a, b, own.without(alike(frozen, above=1.0).but(own))), info_nce(a, b, own))


def test_nothing_is_like_what_is_not_known() -> None:
    assert not alike(torch.zeros(2, 3), above=0.0).pairs().positive.any()


def test_what_does_not_fit_is_refused_soft() -> None:
    with pytest.raises(UsageError, match=r"\(N, E\)"):
        soft(FROZEN, FROZEN[:, :2])
    with pytest.raises(UsageError, match="temperature"):
        softened(FROZEN, temperature=0.0)
    with pytest.raises(UsageError, match="4 anchors"):
        cwcl(draw(3, 2), draw(3, 2), FROZEN)


def test_the_most_similar_negatives_are_left_out_and_nothing_else() -> None:
    a = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    b = torch.randn(11, 4, generator=torch.Generator().manual_seed(1))
    anchors, candidates = torch.arange(6), torch.tensor([0, 1, 2, 3, 4, 5, 0, 1, 9, 9, 9])
    found = without_hardest(same(anchors, candidates), a, b, 0.5).pairs()
    for i in range(6):
        scores = {j: float(torch.cosine_similarity(a[i], b[j], dim=0)) for j in range(11) if candidates[j] != i}
        hardest = sorted(scores, key=scores.__getitem__, reverse=True)[: len(scores) // 2]
        assert found.candidate is not None
        assert [j for j in range(11) if not found.candidate[i, j]] == sorted(hardest)
        assert found.positive[i].tolist() == (candidates == i).tolist()
