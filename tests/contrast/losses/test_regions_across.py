"""The local losses of an archive against loops over every region."""

import math

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.regions import local_across
from medcl.contrast.pairings.slices import next_of_partition

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
    got = local_across(first, second, NEGATIVES, temperature=TEMPERATURE, group=None)
    assert float(got) == pytest.approx(sum(pair(a, b) for a, b in zip(first, second, strict=True)) / 5, rel=1e-9)


def test_a_slice_is_matched_with_the_next_one_of_its_partition_of_another_volume() -> None:
    having, others = next_of_partition((POSITION * 2).long(), VOLUME, None)
    assert having.tolist() == [0, 1, 2, 3, 4]
    assert others.tolist() == [2, 3, 4, 1, 0]
    having, _ = next_of_partition(torch.tensor([0, 1, 0]), torch.tensor([1, 1, 2]), None)
    assert having.tolist() == [0, 2]
    having, _ = next_of_partition(torch.tensor([0, 1, 0]), torch.tensor([1, 1, 1]), None)
    assert having.tolist() == []


def test_regions_are_matched_across_volumes() -> None:
    first, second = regions(2), regions(3)
    others = [2, 3, 4, 1, 0]
    got = local_across(
        first, second, NEGATIVES, temperature=TEMPERATURE, group=None, across=(POSITION, VOLUME), partitions=2
    )
    within = sum(pair(a, b) for a, b in zip(first, second, strict=True)) / 5
    matched = [sum(pair(side[i], side[j]) for i, j in enumerate(others)) / 5 for side in (first, second)]
    # Of the four pairs of two slices with two views each, two are of one slice and two across.
    assert float(got) == pytest.approx((2 * within + matched[0] + matched[1]) / 4, rel=1e-9)
