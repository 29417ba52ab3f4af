from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.clip import clip
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import matrix, same
from medcl.contrast.similarities.similarity import Similarity, dot, one_sided, transposed
from medcl.errors import UsageError
from tests.contrast import loops
from tests.contrast.compare import assert_same, draw


@pytest.mark.parametrize("weight", [0.5, 0.75, 0.0, 1.0])
def test_the_loss_and_its_gradient_equal_the_loops_of_both_directions(weight: float) -> None:
    positives = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    nothing = torch.zeros_like(positives)

    def reference(a: Tensor, b: Tensor) -> Tensor:
        options = {"temperature": 0.2, "similarity": "cosine", "log": "outside"}
        there = loops.info_nce(a, b, positives, exclude=nothing, **options)
        back = loops.info_nce(b, a, positives.T, exclude=nothing.T, **options)
        return weight * there + (1 - weight) * back

    loss = partial(clip, pairing=positives, weight=weight, temperature=0.2)
    assert_same(loss, reference, draw(3, 4), draw(4, 4, seed=1))


def test_with_one_report_an_image_it_is_the_mean_of_two_cross_entropies() -> None:
    a, b, scale = draw(5, 4), draw(5, 4, seed=1), torch.tensor(14.3, dtype=torch.float64)
    scores = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T * scale
    expected = (F.cross_entropy(scores, torch.arange(5)) + F.cross_entropy(scores.T, torch.arange(5))) / 2
    torch.testing.assert_close(clip(a, b, same(torch.arange(5)), temperature=1 / scale), expected)


def test_exchanging_the_modalities_exchanges_the_weights() -> None:
    a, b, pairing = draw(4, 3), draw(5, 3, seed=1), same(torch.tensor([0, 1, 2, 2]), torch.tensor([2, 0, 1, 1, 5]))
    forth, back = clip(a, b, pairing, weight=0.75), clip(b, a, pairing.T, weight=0.25)
    torch.testing.assert_close(forth, back)


@pytest.mark.parametrize("similarity", [dot, one_sided])
def test_the_transposed_similarity_has_the_transposed_matrix(similarity: Similarity) -> None:
    a, b = draw(4, 3), draw(5, 3, seed=1)
    anchors, candidates = similarity.prepared(a, b)
    swapped = transposed(similarity)
    found = swapped.score(*swapped.prepared(b, a))
    torch.testing.assert_close(found, similarity.score(anchors, candidates).T)
    pairing = same(torch.arange(4), torch.arange(5))
    whole = info_nce(b, a, pairing.T, similarity=swapped)
    torch.testing.assert_close(info_nce(b, a, pairing.T, similarity=swapped, block=2), whole)


def test_gradcheck() -> None:
    a, b = draw(4, 3).requires_grad_(), draw(4, 3, seed=1).requires_grad_()
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def loss(a: Tensor, b: Tensor, temperature: Tensor) -> Tensor:
        return clip(a, b, same(torch.arange(4) // 2), weight=0.7, similarity=one_sided, temperature=temperature)

    assert torch.autograd.gradcheck(loss, (a, b, temperature))


def test_what_has_no_meaning_in_both_directions_is_refused() -> None:
    a, b, pairing = draw(3, 4), draw(3, 4, seed=1), matrix(torch.eye(3, dtype=torch.bool))
    with pytest.raises(UsageError, match="from 0 to 1"):
        clip(a, b, pairing, weight=1.5)
    with pytest.raises(UsageError, match="one temperature"):
        clip(a, b, pairing, temperature=torch.ones(3))
    with pytest.raises(UsageError, match="pairing is of"):
        clip(a, b[:2], pairing)
