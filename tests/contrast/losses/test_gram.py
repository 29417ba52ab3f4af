from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.gram import gram
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import PairMasks, matrix, same
from medcl.contrast.similarities.multimodal import gram_volume
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw
from tests.contrast.loops import mean
from tests.contrast.similarities.test_multimodal import volume

MODALITIES = pytest.mark.parametrize("count", [1, 2, 3, 4])


def direction(scores: list[list[Tensor]], positives: Tensor, exclude: Tensor, smoothing: float) -> Tensor:
    terms = []
    for i, row in enumerate(scores):
        allowed = [j for j in range(len(row)) if not exclude[i, j]]
        target = [j for j in allowed if positives[i, j]]
        logs = {j: row[j] - torch.log(sum(torch.exp(row[k]) for k in allowed)) for j in allowed}
        if target:
            sharp, flat = mean([logs[j] for j in target]), mean(list(logs.values()))
            terms.append(-(1 - smoothing) * sharp - smoothing * flat)
    return mean(terms)


def reference(
    anchor: Tensor, *others: Tensor, positives: Tensor, exclude: Tensor, temperature: float, smoothing: float
) -> Tensor:
    scores = [
        [-volume(anchor[i], *(other[j] for other in others)) / temperature for j in range(len(others[0]))]
        for i in range(len(anchor))
    ]
    columns = [list(column) for column in zip(*scores, strict=True)]
    there = direction(scores, positives, exclude, smoothing)
    return (there + direction(columns, positives.T, exclude.T, smoothing)) / 2


@MODALITIES
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_and_its_gradient_equal_the_loops(count: int, smoothing: float) -> None:
    positives = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    exclude = torch.tensor([[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]], dtype=torch.bool)
    options = {"temperature": 0.2, "smoothing": smoothing}
    assert_same(
        lambda a, *b: gram(a, b, matrix(positives, exclude), **options),
        partial(reference, positives=positives, exclude=exclude, **options),
        draw(3, 6),
        *(draw(4, 6, seed=1 + k) for k in range(count)),
    )


def test_with_one_positive_it_is_the_cross_entropy_with_label_smoothing() -> None:
    a, b, c = (draw(5, 4, seed=k) for k in range(3))
    scores = gram_volume.score(*gram_volume.prepared(a, (b, c))) / 0.07
    expected = sum(F.cross_entropy(s, torch.arange(5), label_smoothing=0.1) for s in (scores, scores.T)) / 2
    torch.testing.assert_close(gram(a, (b, c), same(torch.arange(5))), expected)


def test_a_volume_does_not_see_the_sign_of_a_modality() -> None:
    """Modalities that point away from each other are aligned to it: a property of the published loss, not of ours."""
    a, b, c = (draw(5, 4, seed=k) for k in range(3))
    torch.testing.assert_close(gram(-a, (b, c), same(torch.arange(5))), gram(a, (b, c), same(torch.arange(5))))
    torch.testing.assert_close(gram(a, (-b, c), same(torch.arange(5))), gram(a, (b, c), same(torch.arange(5))))
    opposite = gram(a, (-a,), same(torch.arange(5)))
    torch.testing.assert_close(opposite, gram(a, (a,), same(torch.arange(5))))


@MODALITIES
def test_gradcheck(count: int) -> None:
    views = [draw(3, 6, seed=k).requires_grad_() for k in range(count + 1)]
    loss = lambda a, *b: gram(a, b, same(torch.arange(3) // 2), temperature=0.3)  # noqa: E731
    assert torch.autograd.gradcheck(loss, views)


def test_what_has_no_meaning_is_refused() -> None:
    a, pairing = draw(3, 4), same(torch.arange(3))
    with pytest.raises(UsageError, match="smoothing"):
        gram(a, (a, a), pairing, smoothing=1.0)
    with pytest.raises(UsageError, match="yes and no"):
        gram(a, (a, a), matrix(torch.eye(3)))
    weighed = replace(pairing, rule=lambda a, c: PairMasks(a[0][:, None] == c[0], importance=torch.ones(3, 3)))
    with pytest.raises(UsageError, match="importance"):
        gram(a, (a, a), weighed)
    with pytest.raises(UsageError, match="up to 6"):
        gram(a, (a,) * 7, pairing)
    with pytest.raises(UsageError, match=r"\(N, D\)"):
        gram(a, (a, a[:, :2]), pairing)
    with pytest.raises(UsageError, match="one temperature"):
        gram(a, (a, a), pairing, temperature=torch.ones(3))
    with pytest.raises(UsageError, match="one tensor"):
        info_nce((a, a), a, pairing, similarity=gram_volume)
