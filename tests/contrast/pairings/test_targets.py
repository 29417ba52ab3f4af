import math
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import itself, same
from medcl.contrast.pairings.targets import kernel, magnified, near, overlap, unknown
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw

AGES = torch.tensor([40.0, 43.0, 45.0, torch.nan, 61.0], dtype=torch.float64)


def weighted(a: Tensor, b: Tensor, weight: list[list[float]], importance: list[list[float]] | None = None) -> Tensor:
    """InfoNCE by weights, pair by pair."""
    u, v, rows = F.normalize(a, dim=1), F.normalize(b, dim=1), []
    for i, own in enumerate(weight):
        if not sum(own):
            continue
        v_i = importance[i] if importance else [1.0] * len(v)
        total = sum(v_i[j] * torch.exp(u[i] @ v[j] / 0.1) for j in range(len(v)))
        rows.append(sum(-w / sum(own) * torch.log(torch.exp(u[i] @ v[j] / 0.1) / total) for j, w in enumerate(own)))
    return torch.stack(rows).mean()


def test_near_is_strictly_within_and_never_for_unknown_targets() -> None:
    pairs = near(AGES, within=5).pairs()
    assert pairs.candidate is None
    assert pairs.positive.int().tolist() == [
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [0, 1, 1, 0, 0],
        [0] * 5,
        [0, 0, 0, 0, 1],
    ]
    assert near(torch.tensor([1, 3]), torch.tensor([2]), within=2).pairs().positive.all()


def test_unknown_targets_can_be_left_out_without_losing_the_other_view() -> None:
    samples = torch.tensor([1, 2, 3, 4, 4])
    ages = torch.tensor([40.0, 43.0, 70.0, torch.nan, torch.nan])
    pairing = near(ages, within=5).without(unknown(ages).but(same(samples))) | same(samples)
    pairs = pairing.pairs()
    assert pairs.positive[3].tolist() == [False, False, False, True, True]
    assert torch.equal(pairs.candidate[3], pairs.positive[3])
    assert pairs.candidate[0].tolist() == [True, True, True, False, False]


def test_y_aware_info_nce_equals_its_formula() -> None:
    weight = [
        [0.0 if math.isnan(x) or math.isnan(y) else math.exp(-((x - y) ** 2) / (2 * 4.0**2)) for y in AGES.tolist()]
        for x in AGES.tolist()
    ]
    assert_same(
        partial(info_nce, pairing=kernel(AGES, bandwidth=4.0)),
        partial(weighted, weight=weight),
        draw(5, 3),
        draw(5, 3, seed=1),
    )


def test_a_kernel_of_several_targets_is_the_product_of_theirs() -> None:
    y = draw(4, 2)
    both = kernel(y, y[:3], bandwidth=torch.tensor([0.5, 2.0])).pairs().positive
    one, other = (kernel(y[:, k], y[:3, k], bandwidth=width).pairs().positive for k, width in ((0, 0.5), (1, 2.0)))
    torch.testing.assert_close(both, one * other)


def test_a_narrow_kernel_leaves_a_sample_with_its_equals() -> None:
    y, a, b = torch.tensor([1.0, 2.0, 1.0]), draw(3, 4), draw(3, 4, seed=1)
    narrow = info_nce(a, b, kernel(y, bandwidth=1e-3))
    torch.testing.assert_close(narrow, info_nce(a, b, near(y, within=0.5)))


def test_negatives_weigh_more_with_distance() -> None:
    y = torch.tensor([1.0, 4.0, 1.0, 2.0], dtype=torch.float64)
    positive = [[float(i != j and y[i] == y[j]) for j in range(4)] for i in range(4)]
    # The sample itself is left out, which weight 0 says as well.
    importance = [[0.0 if i == j else float(abs(y[i] - y[j])) + 1 for j in range(4)] for i in range(4)]

    def loss(z: Tensor) -> Tensor:
        return info_nce(z, z, magnified(near(y, within=0.5).without(itself(z)), y.to(z.dtype)))

    assert_same(loss, lambda z: weighted(z, z, positive, importance), draw(4, 3))


def test_unknown_targets_are_not_magnified() -> None:
    assert magnified(same(torch.arange(2)), torch.tensor([1.0, torch.nan])).pairs().importance.tolist() == [
        [1, 1],
        [1, 1],
    ]


def test_magnifying_multiplies_what_is_there() -> None:
    y = torch.tensor([0.0, 2.0])
    once = magnified(same(torch.arange(2)), y)
    assert magnified(once, y).pairs().importance.tolist() == [[1, 9], [9, 1]]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="within more than 0"):
        near(AGES, within=0)
    with pytest.raises(UsageError, match="shape"):
        near(AGES[:, None], within=1)
    with pytest.raises(UsageError, match="bandwidth"):
        kernel(AGES, bandwidth=0.0)
    with pytest.raises(UsageError, match=r"\(N, K\)"):
        kernel(AGES, AGES[:, None], bandwidth=1.0)
    with pytest.raises(UsageError, match="does not say"):
        magnified(kernel(AGES, bandwidth=1.0), AGES)
    with pytest.raises(UsageError, match="cannot take"):
        magnified(near(AGES, within=1), AGES[:3])


def test_labels_in_common_are_counted_pair_by_pair() -> None:
    a, b = draw(5, 6) > 0.4, draw(4, 6, seed=1) > 0.4
    a[2] = b[1] = False
    pairs = overlap(a, b).pairs()
    assert pairs.candidate is not None
    for i, one in enumerate(a.tolist()):
        for j, other in enumerate(b.tolist()):
            first, second = ({k for k, there in enumerate(labels) if there} for labels in (one, other))
            share = len(first & second) / max(1, len(first | second))
            assert float(pairs.positive[i, j]) == pytest.approx(share)
            assert bool(pairs.candidate[i, j]) == bool(first and second)
    with pytest.raises(UsageError, match="bool of shape"):
        overlap(a.float())
    with pytest.raises(UsageError, match="bool of shape"):
        overlap(a, b[:, :5])
