"""Measures of embeddings, against slow references and by their properties."""

import math

import numpy as np
import pytest
import torch

from medcl.stats.collapse import dead_share, knn_accuracy, modality_gap
from medcl.stats.embedding_space import effective_rank


def slow_rank(z: list[list[float]]) -> float:
    """RankMe by the eigenvalues of the Gram matrix, term by term."""
    gram = [[sum(x * y for x, y in zip(a, b, strict=True)) for b in zip(*z, strict=True)] for a in zip(*z, strict=True)]
    values = [math.sqrt(max(0.0, float(one))) for one in torch.linalg.eigvalsh(torch.tensor(gram, dtype=torch.float64))]
    shares = [value / sum(values) for value in values if value > 1e-7 * max(values)]
    return math.exp(-sum(share * math.log(share) for share in shares))


@pytest.mark.parametrize(("n", "dim"), [(30, 5), (12, 12)])
def test_effective_rank_is_that_of_a_slow_reference(n: int, dim: int) -> None:
    z = torch.randn(n, dim, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    assert effective_rank(z.numpy()) == pytest.approx(slow_rank(z.tolist()), rel=1e-6)
    assert effective_rank((3 * z[torch.randperm(n)]).numpy()) == pytest.approx(effective_rank(z.numpy()), rel=1e-9)


def test_effective_rank_of_one_direction_is_one_and_of_all_is_their_number() -> None:
    assert effective_rank((torch.randn(20, 1) * torch.ones(1, 8)).numpy()) == pytest.approx(1, abs=1e-4)
    assert effective_rank(torch.eye(8).repeat(3, 1).numpy()) == pytest.approx(8, abs=1e-4)
    assert math.isnan(effective_rank(np.zeros((0, 8))))
    assert math.isnan(effective_rank(np.full((3, 8), np.nan)))


def test_dimensions_that_hardly_differ_are_dead() -> None:
    z = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
    assert dead_share(z) == 0
    z[:, :2] = 1e-4 * z[:, :2]
    assert dead_share(z) == 0.25
    assert dead_share(torch.ones(10, 4)) == 1
    assert math.isnan(dead_share(z[:1]))


def test_the_gap_is_the_distance_of_the_mean_directions() -> None:
    a, b = torch.tensor([[2.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 5.0]])
    assert modality_gap(a, b) == pytest.approx(2**0.5)
    assert modality_gap(a, a) == 0
    assert math.isnan(modality_gap(a, b[:0]))


def test_a_neighbour_is_never_of_the_same_patient() -> None:
    # Each nearest neighbour is the sample itself, of the right class; the next one is of the wrong class.
    z = torch.eye(4)
    bank = torch.cat([z, z + 0.1])
    classes, patients = torch.tensor([0, 1, 0, 1]), torch.arange(4)
    bank_classes = torch.cat([classes, 1 - classes])
    own = torch.cat([patients, patients + 10])
    assert knn_accuracy(z, classes, patients, bank, bank_classes, own, 1) == 0
    assert knn_accuracy(z, classes, patients + 100, bank, bank_classes, own, 1) == 1


def test_neighbours_vote_and_unknown_classes_have_no_say() -> None:
    z, bank = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.3], [1.0, 0.2]])
    one = torch.tensor([7])
    classes = torch.tensor([1, 0, 0, -2])
    others = torch.arange(4)
    assert knn_accuracy(z, torch.tensor([0]), one, bank, classes, others, 3) == 1
    assert knn_accuracy(z, torch.tensor([1]), one, bank, classes, others, 1) == 1
    assert knn_accuracy(z, torch.tensor([1]), one, bank, classes, others, 2) == 1
    assert math.isnan(knn_accuracy(z, torch.tensor([-2]), one, bank, classes, others, 1))
    assert math.isnan(knn_accuracy(z, torch.tensor([0]), torch.tensor([3]), bank[3:], classes[:1], others[3:], 1))
