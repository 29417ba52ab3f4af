import math

import pytest
import torch
from torch import Tensor

from medcl.networks.codes import Codes, sparsemax

WORDS = torch.tensor([[True, True, False], [True, False, False]])


def made() -> Codes:
    torch.manual_seed(0)
    return Codes({"image": 6, "report": 5}, 7, 4, temperature=0.5).double()


def nearest(scores: Tensor) -> Tensor:
    """The nearest point of the simplex, by the threshold that bisection finds."""
    low, high = float(scores.max()) - 1, float(scores.max())
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if float((scores - middle).clamp(min=0).sum()) > 1 else (low, middle)
    return (scores - low).clamp(min=0)


def test_sparsemax_is_the_nearest_point_of_the_simplex() -> None:
    scores = torch.randn(20, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = sparsemax(scores)
    torch.testing.assert_close(found, torch.stack([nearest(row) for row in scores]))
    torch.testing.assert_close(found.sum(dim=1), torch.ones(20).double())
    assert (found == 0).any(dim=1).all()
    assert found.min() == 0
    torch.testing.assert_close(sparsemax(scores + 100), found)
    assert torch.autograd.gradcheck(sparsemax, scores[:3].requires_grad_())


def test_equal_scores_share_and_one_far_above_takes_all() -> None:
    torch.testing.assert_close(sparsemax(torch.zeros(4)), torch.full((4,), 0.25))
    assert sparsemax(torch.tensor([5.0, 1.0, 3.9])).tolist() == [1, 0, 0]


@pytest.mark.parametrize("side", ["image", "report"])
def test_an_embedding_equals_its_formula(side: str) -> None:
    codes = made()
    tokens = torch.randn(2, 3, 5 if side == "report" else 6, dtype=torch.float64)
    there = WORDS if side == "report" else None
    expected = []
    for sample, row in enumerate(tokens):
        kept = [token for place, token in enumerate(row) if there is None or there[sample, place]]
        queries = [codes.queries[side](token) for token in kept]
        best = [max(float(q.detach() @ code.detach()) for q in queries) / math.sqrt(4) / 0.5 for code in codes.codes]
        weights = nearest(torch.tensor(best, dtype=torch.float32).double())
        expected.append(sum(w * code for w, code in zip(weights, codes.codes, strict=True)))
    torch.testing.assert_close(codes(side, tokens, there).double(), torch.stack(expected), rtol=1e-5, atol=1e-5)


def test_padding_changes_nothing_and_a_text_without_words_is_a_number() -> None:
    codes, tokens = made(), torch.randn(2, 3, 5, dtype=torch.float64)
    found = codes.weights("report", tokens, WORDS)
    longer = torch.cat([tokens, 100 * torch.randn(2, 4, 5, dtype=torch.float64)], dim=1)
    more = torch.cat([WORDS, torch.zeros(2, 4, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(codes.weights("report", longer, more), found)
    # Scores below 0 are not lifted to 0 by what is not there.
    assert not torch.allclose(codes.weights("report", longer), found)
    empty = codes.weights("report", tokens, torch.zeros(2, 3, dtype=torch.bool))
    torch.testing.assert_close(empty.sum(dim=1), torch.ones(2))


def test_the_lower_the_temperature_the_fewer_codes() -> None:
    codes, tokens = made(), torch.randn(2, 3, 6, dtype=torch.float64)
    number = [int((codes.weights("image", tokens, temperature=one) > 0).sum()) for one in (100.0, 0.5, 0.01)]
    assert number[0] == 14 > number[1] > number[2] == 2
