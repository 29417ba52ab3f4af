from functools import partial

import pytest
import torch
from torch import Tensor

from medcl.contrast import obow, visual_words
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw


def described(cells: Tensor, vocabulary: Tensor, sharpness: float, spread: float) -> tuple[Tensor, Tensor]:
    """Word by word and cell by cell."""
    shares, nearest = [], []
    for image in cells:
        assigned = []
        for f in image:
            distance = [(f - v).square().sum() for v in vocabulary]
            e = [torch.exp(-sharpness * d / spread) for d in distance]
            assigned.append([one / sum(e) for one in e])
            nearest.append(min(distance))
        most = [max(own[k] for own in assigned) for k in range(len(vocabulary))]
        shares.append(torch.stack([one / sum(most) for one in most]))
    return torch.stack(shares), sum(nearest) / len(nearest)


def loops(*predictions: Tensor, words: Tensor) -> Tensor:
    total = 0
    for logits in predictions:
        for i, y in enumerate(words):
            p = torch.exp(logits[i]) / torch.exp(logits[i]).sum()
            total = total + sum(y[k] * torch.log(y[k] / p[k]) for k in range(len(y)) if y[k] > 0)
    return total / (len(predictions) * len(words))


def test_words_equal_the_loops() -> None:
    cells, vocabulary = draw(3, 5, 4), draw(6, 4, seed=1)
    found, distance = visual_words(cells, vocabulary, sharpness=2.0, spread=3.0)
    shares, nearest = described(cells, vocabulary, 2.0, 3.0)
    torch.testing.assert_close(found, shares)
    torch.testing.assert_close(distance, nearest)


@pytest.mark.parametrize("views", [1, 3])
def test_the_loss_and_its_gradient_equal_the_loops(views: int) -> None:
    words = draw(4, 6, seed=9).softmax(dim=1)
    words[0, 2] = 0.0
    predictions = [draw(4, 6, seed=seed) for seed in range(views)]
    assert_same(lambda *one: obow(one, words.to(one[0])), partial(loops, words=words), *predictions)


def test_a_prediction_that_is_right_costs_nothing() -> None:
    words = draw(4, 6).softmax(dim=1)
    torch.testing.assert_close(obow([words.log()], words), torch.zeros((), dtype=torch.float64))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="words are of cells"):
        visual_words(draw(3, 5, 4), draw(6, 5))
    with pytest.raises(UsageError, match="sharpness above 0"):
        visual_words(draw(3, 5, 4), draw(6, 4), sharpness=0.0)
    with pytest.raises(UsageError, match="got none"):
        obow([], draw(3, 4))
