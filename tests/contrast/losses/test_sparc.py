from functools import partial

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.sparc import word_alignment
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.loops import mean
from tests.contrast.similarities.test_late import unit

REGIONS, WORDS = draw(3, 4, 2, seed=1), draw(3, 3, 2, seed=2)
HAS_REGION = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 0], [1, 1, 0, 1]], dtype=torch.bool)
HAS_WORD = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 1, 1]], dtype=torch.bool)


def reference(regions: Tensor, words: Tensor, *, temperature: float, masks: bool) -> Tensor:
    samples = []
    for i in range(len(regions)):
        image = [v for k, v in enumerate(regions[i]) if not masks or HAS_REGION[i, k]]
        report = [unit(t) for k, t in enumerate(words[i]) if not masks or HAS_WORD[i, k]]
        found = []
        for t in report:
            s = [t @ v for v in image]
            scaled = [(x - min(s)) / (max(s) - min(s)) for x in s]
            kept = [x if x >= 1 / len(image) else 0 * x for x in scaled]
            found.append(unit(sum(x * v for x, v in zip(kept, image, strict=True))))
        e = [[torch.exp(c @ t / temperature) for t in report] for c in found]
        terms = [
            -torch.log(e[q][q] / sum(e[q])) - torch.log(e[q][q] / sum(row[q] for row in e)) for q in range(len(report))
        ]
        samples.append(mean(terms) / 2)
    return mean(samples)


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("block", [None, 1, 2])
def test_the_loss_and_its_gradient_equal_the_loops(masks: bool, block: int | None) -> None:
    def loss(regions: Tensor, words: Tensor) -> Tensor:
        sides = ((regions, HAS_REGION), (words, HAS_WORD)) if masks else (regions, words)
        return word_alignment(*sides, temperature=0.3, block=block)

    assert_same(loss, partial(reference, temperature=0.3, masks=masks), REGIONS, WORDS)


def test_gradcheck() -> None:
    temperature = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)

    def loss(regions: Tensor, words: Tensor, temperature: Tensor) -> Tensor:
        return word_alignment((regions, HAS_REGION), (words, HAS_WORD), temperature=temperature)

    views = REGIONS.clone().requires_grad_(), WORDS.clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, (*views, temperature))


def test_samples_without_words_or_regions_contribute_nothing() -> None:
    has_region, has_word = HAS_REGION.clone(), HAS_WORD.clone()
    has_region[1], has_word[2] = False, False
    loss = lambda r, w: word_alignment((r, has_region), (w, has_word))  # noqa: E731
    value, *gradients = value_and_gradients(loss, REGIONS, WORDS)
    torch.testing.assert_close(value, word_alignment(REGIONS[:1], WORDS[:1]))
    assert all(torch.equal(gradient[1:], torch.zeros_like(gradient[1:])) for gradient in gradients)


@pytest.mark.parametrize("scale", [0.0, 1e-4, 1e4])
def test_regions_that_are_alike_have_a_finite_gradient(scale: float) -> None:
    for found in value_and_gradients(word_alignment, torch.full((2, 4, 3), scale), draw(2, 3, 3).float()):
        assert found.isfinite().all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="pairs"):
        word_alignment(REGIONS, WORDS[:2])
    with pytest.raises(UsageError, match="above 0"):
        word_alignment(REGIONS, WORDS, temperature=0.0)
    with pytest.raises(UsageError, match="one temperature"):
        word_alignment(REGIONS, WORDS, temperature=torch.ones(3))
    with pytest.raises(UsageError, match="0 to 1"):
        word_alignment(REGIONS, WORDS, threshold=-1.0)
