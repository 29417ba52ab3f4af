"""The local losses against loops over every region, and where the regions lie."""

import math

import pytest
import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.pretrain.objectives.regions import RegionHead, cut, layout, local_loss, partners

TEMPERATURE = 0.1
POSITION = torch.tensor([0.1, 0.6, 0.2, 0.9, 0.3])
VOLUME = torch.tensor([1, 1, 2, 2, 3])
NEGATIVES = torch.tensor([[1, 2], [0, 2], [3, 1], [2, 0]])


def regions(seed: int) -> Tensor:
    return torch.randn(5, 4, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pair(a: Tensor, b: Tensor) -> float:
    """The mean over regions of l(a_r, b_r) and l(b_r, a_r) of two images (R, dim)."""

    def similar(x: Tensor, y: Tensor) -> float:
        return math.exp(float(x @ y / (x.norm() * y.norm())) / TEMPERATURE)

    total = 0.0
    for one, other in ((a, b), (b, a)):
        for r in range(4):
            positive = similar(one[r], other[r])
            against = sum(similar(one[r], side[n]) for side in (one, other) for n in NEGATIVES[r].tolist())
            total -= math.log(positive / (positive + against))
    return total / 8


def test_regions_are_told_apart_within_an_image() -> None:
    first, second = regions(0), regions(1)
    got = local_loss(first, second, NEGATIVES, temperature=TEMPERATURE, group=None)
    assert float(got) == pytest.approx(sum(pair(a, b) for a, b in zip(first, second, strict=True)) / 5, rel=1e-9)


def test_a_slice_is_matched_with_the_next_one_of_its_partition_of_another_volume() -> None:
    having, others = partners((POSITION * 2).long(), VOLUME, None)
    assert having.tolist() == [0, 1, 2, 3, 4]
    assert others.tolist() == [2, 3, 4, 1, 0]
    having, _ = partners(torch.tensor([0, 1, 0]), torch.tensor([1, 1, 2]), None)
    assert having.tolist() == [0, 2]
    having, _ = partners(torch.tensor([0, 1, 0]), torch.tensor([1, 1, 1]), None)
    assert having.tolist() == []


def test_regions_are_matched_across_volumes() -> None:
    first, second = regions(2), regions(3)
    others = [2, 3, 4, 1, 0]
    got = local_loss(
        first, second, NEGATIVES, temperature=TEMPERATURE, group=None, across=(POSITION, VOLUME), partitions=2
    )
    within = sum(pair(a, b) for a, b in zip(first, second, strict=True)) / 5
    matched = [sum(pair(side[i], side[j]) for i, j in enumerate(others)) / 5 for side in (first, second)]
    # Of the four pairs of two slices with two views each, two are of one slice and two across.
    assert float(got) == pytest.approx((2 * within + matched[0] + matched[1]) / 4, rel=1e-9)


def test_the_regions_are_those_of_the_paper_at_any_size() -> None:
    corners = layout((48, 48), 3)
    assert len(corners) == 13
    assert {(0, 0), (0, 45), (45, 0), (45, 45), (23, 23)} <= set(map(tuple, corners.tolist()))
    small = layout((8, 12), 3)
    assert len(set(map(tuple, small.tolist()))) == 13
    assert int(small.min()) == 0
    assert (small.amax(dim=0) == torch.tensor([5, 9])).all()
    assert len(layout((8, 8, 6), 3)) == 27


@pytest.mark.parametrize("shape", [(6, 6), (2, 2), (8, 8, 3)])
def test_a_map_that_is_too_small_for_its_regions_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="larger"):
        layout(shape, 3)


def test_a_region_is_its_features_in_a_row() -> None:
    features = torch.randn(2, 4, 9, 10)
    starts = layout((9, 10), 3)
    found = cut(features, starts, 3)
    assert found.shape == (2, 13, 36)
    x, y = starts[5].tolist()
    torch.testing.assert_close(found[1, 5], features[1, :, x : x + 3, y : y + 3].flatten())
    head = RegionHead(4, (9, 10), 3, 7)
    torch.testing.assert_close(head(features)[1, 5], head.output.weight @ found[1, 5])
