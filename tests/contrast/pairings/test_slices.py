from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import itself
from medcl.contrast.pairings.slices import across_volumes, apart_from_partition, partition
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw

# Two volumes, three slices: the first two lie in one partition, of different volumes.
SLICES, PARTITIONS, VOLUMES = torch.tensor([10, 11, 12]), torch.tensor([0, 0, 1]), torch.tensor([7, 8, 7])
VIEWS = torch.arange(2).repeat_interleave(3)


def pair_loss(u: Tensor, i: int, j: int, negatives: list[int], temperature: float) -> Tensor:
    e = [torch.exp(u[i] @ u[k] / temperature) for k in [j, *negatives]]
    return -torch.log(e[0] / sum(e))


def test_a_volume_is_cut_into_equal_parts() -> None:
    position = torch.tensor([0.0, 0.2499, 0.25, 0.6, 1.0, torch.nan])
    assert partition(position).tolist() == [0, 0, 1, 2, 3, -1]
    assert partition(torch.arange(6), 3, slices=6).tolist() == [0, 0, 1, 1, 2, 2]
    assert partition(torch.tensor([4, 4]), slices=torch.tensor([5, 20])).tolist() == [3, 0]
    assert partition(position).dtype == torch.int64


def test_same_partition_neither_attracts_nor_repels() -> None:
    slices, partitions = SLICES.repeat(3), PARTITIONS.repeat(3)

    def expected(x: Tensor) -> Tensor:
        u, terms = F.normalize(x, dim=1), []
        for i, j in product(range(9), repeat=2):
            if i != j and slices[i] == slices[j]:
                negatives = [k for k in range(9) if partitions[k] != partitions[i]]
                terms.append(pair_loss(u, i, j, negatives, 0.1))
        assert len(terms) == 18  # three slices, three pairs, two directions
        return torch.stack(terms).mean()

    def loss(z: Tensor) -> Tensor:
        return info_nce(z, z, apart_from_partition(slices, partitions).without(itself(z)), denominator="own")

    assert_same(loss, expected, draw(9, 4))


def test_slices_of_other_volumes_attract_in_the_same_view_only() -> None:
    pairing = across_volumes(SLICES.repeat(2), PARTITIONS.repeat(2), VIEWS).without(itself(VIEWS))
    pairs = pairing.pairs()
    listed = {(0, 3), (0, 1), (1, 4), (3, 4), (2, 5)}
    assert {tuple(sorted(pair)) for pair in pairs.positive.nonzero().tolist()} == listed
    assert torch.equal(pairs.positive, pairs.positive.T)
    # x_i with the augmentation of x_j: neither.
    assert not pairs.candidate[0, 4]
    assert not pairs.candidate[1, 3]
    assert pairs.candidate[0, [2, 5]].all()

    def expected(x: Tensor) -> Tensor:
        u, rows = F.normalize(x, dim=1), []
        for i in range(6):
            negatives = [k for k in range(6) if PARTITIONS[k % 3] != PARTITIONS[i % 3]]
            own = [j for j in range(6) if (min(i, j), max(i, j)) in listed]
            rows.append(torch.stack([pair_loss(u, i, j, negatives, 0.1) for j in own]).mean())
        return torch.stack(rows).mean()

    assert_same(lambda z: info_nce(z, z, pairing, denominator="own"), expected, draw(6, 4))


def test_two_slices_of_one_volume_are_no_pair() -> None:
    partitions = torch.zeros(3, dtype=torch.int64)
    pairs = across_volumes(SLICES, partitions, torch.zeros_like(SLICES), VOLUMES).without(itself(SLICES)).pairs()
    assert pairs.positive.int().tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    assert not pairs.candidate[0, 2]


def test_candidates_may_have_their_own_ids() -> None:
    pairs = apart_from_partition(SLICES, PARTITIONS, (SLICES[1:], PARTITIONS[1:])).pairs()
    assert pairs.positive.int().tolist() == [[0, 0], [1, 0], [0, 1]]
    assert pairs.candidate.int().tolist() == [[0, 1], [1, 1], [1, 1]]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one part"):
        partition(torch.ones(2), 0)
    with pytest.raises(UsageError, match="`slices`"):
        partition(torch.arange(3))
    with pytest.raises(UsageError, match="`slices`"):
        partition(torch.ones(3), slices=4)
    with pytest.raises(UsageError, match="2 ids"):
        apart_from_partition(SLICES, PARTITIONS, (SLICES,))
    with pytest.raises(TypeError, match="integers"):
        apart_from_partition(SLICES, PARTITIONS.float())
