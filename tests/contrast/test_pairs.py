import pytest
import torch

from medcl.contrast.pairs import same, same_among_views
from medcl.errors import UsageError


def test_pairs_share_an_id() -> None:
    pairs = same(torch.tensor([5, -1, 2**62]), torch.tensor([2**62, 5]))
    assert pairs.tolist() == [[False, True], [False, False], [True, False]]


def test_neighbouring_large_ids_are_different_people() -> None:
    ids = torch.tensor([2**62, 2**62 + 1])
    assert torch.equal(same(ids, ids), torch.eye(2, dtype=torch.bool))


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
    positives, alone = same_among_views(torch.tensor([4, 9, 4]))
    expected = {(0, 2), (0, 3), (0, 5), (2, 3), (2, 5), (3, 5), (1, 4)}
    assert {(i, j) for i, j in positives.nonzero().tolist() if i < j} == expected
    assert torch.equal(positives, positives.T)
    assert torch.equal(alone, torch.eye(6, dtype=torch.bool))
    assert not (positives & alone).any()
