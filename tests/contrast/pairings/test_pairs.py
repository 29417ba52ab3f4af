import pytest
import torch

from medcl.contrast.pairings.pairs import among_views, itself, matrix, same
from medcl.errors import UsageError


def test_pairs_share_an_id() -> None:
    pairs = same(torch.tensor([5, -1, 2**62]), torch.tensor([2**62, 5])).pairs()
    assert pairs.positive.tolist() == [[False, True], [False, False], [True, False]]


def test_neighbouring_large_ids_are_different_people() -> None:
    ids = torch.tensor([2**62, 2**62 + 1])
    assert torch.equal(same(ids).pairs().positive, torch.eye(2, dtype=torch.bool))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.bool])
def test_ids_that_are_no_integers_are_refused(dtype: torch.dtype) -> None:
    ids = torch.tensor([1, 0])
    for pair in ((ids.to(dtype), ids), (ids, ids.to(dtype))):
        with pytest.raises(TypeError, match="integers"):
            same(*pair)


def test_ids_that_are_no_vector_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\(1, 2\)"):
        same(torch.tensor([[1, 2]]), torch.tensor([1]))


def test_views_of_one_id_are_positive_but_none_with_itself() -> None:
    pairs = among_views(torch.tensor([4, 9, 4])).pairs()
    expected = {(0, 2), (0, 3), (0, 5), (2, 3), (2, 5), (3, 5), (1, 4)}
    assert {(i, j) for i, j in pairs.positive.nonzero().tolist() if i < j} == expected
    assert torch.equal(pairs.positive, pairs.positive.T)
    assert torch.equal(pairs.candidate, ~torch.eye(6, dtype=torch.bool))


PATIENT = torch.tensor([1, 1, 1, 2])
TRIAL = torch.tensor([7, 7, 8, 9])


def test_pairings_combine() -> None:
    patient, trial = same(PATIENT), same(TRIAL)
    assert torch.equal((patient & trial).pairs().positive, trial.pairs().positive)
    assert torch.equal((patient | trial).pairs().positive, patient.pairs().positive)
    assert patient.but(trial).pairs().positive.nonzero().tolist() == [[0, 2], [1, 2], [2, 0], [2, 1]]
    without = trial.without(patient.but(trial)).pairs()
    assert torch.equal(without.positive, trial.pairs().positive)
    assert (~without.candidate).nonzero().tolist() == [[0, 2], [1, 2], [2, 0], [2, 1]], "same patient, other trial"
    inside = trial.among(patient).pairs()
    assert torch.equal(inside.candidate, patient.pairs().positive)
    assert torch.equal(inside.positive, trial.pairs().positive)
    alone = patient.without(itself(PATIENT)).pairs()
    assert not alone.positive.diagonal().any()
    assert not alone.candidate.diagonal().any()
    with pytest.raises(UsageError, match="cannot be combined"):
        patient.without(same(torch.arange(3)))


def test_a_pairing_is_the_same_in_blocks_and_turned_round() -> None:
    pairing = same(PATIENT, torch.tensor([2, 1, 5])).without(matrix(torch.ones(4, 3, dtype=torch.bool).tril(-2)))
    whole = pairing.pairs()
    turned = pairing.T.pairs()
    assert torch.equal(turned.positive, whole.positive.T)
    assert torch.equal(turned.candidate, whole.candidate.T)
    for rows in (slice(0, 3), slice(3, 4)):
        block = pairing.rule(tuple(t[rows] for t in pairing.anchors), pairing.candidates)
        assert torch.equal(block.positive, whole.positive[rows])
        assert torch.equal(block.candidate, whole.candidate[rows])
        turned_block = pairing.T.rule(tuple(t[rows] for t in pairing.T.anchors), pairing.T.candidates)
        assert torch.equal(turned_block.positive, turned.positive[rows])


def test_a_matrix_of_weights_is_soft_and_of_one_process() -> None:
    weights = torch.tensor([[0.5, 0.0], [0.2, 0.8]])
    pairing = matrix(weights, exclude=torch.tensor([[False, True], [True, False]]))
    assert pairing.soft
    assert pairing.local
    assert pairing.pairs().positive.tolist() == [[0.5, 0.0], [0.0, pytest.approx(0.8)]]
    with pytest.raises(UsageError, match="exclude must be bool"):
        matrix(weights, exclude=weights)
