from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import Pairs, matrix, same
from medcl.contrast.similarities.gram import gram, gram_volume
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.loops import mean

MODALITIES = pytest.mark.parametrize("count", [1, 2, 3, 4])


def volume(*vectors: Tensor) -> Tensor:
    rows = torch.stack([v / (v @ v).sqrt() for v in vectors])
    return torch.linalg.det(rows @ rows.T).abs().sqrt()


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


def test_the_volume_of_two_vectors_is_the_sine_of_their_angle() -> None:
    a, b = draw(3, 4), draw(5, 4, seed=1)
    cosines = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
    torch.testing.assert_close(gram_volume.score(*gram_volume.prepared(a, b)), -(1 - cosines.square()).sqrt())


def test_right_angles_span_1_and_one_direction_nothing() -> None:
    axes = torch.eye(4, dtype=torch.float64)
    score = lambda a, *b: gram_volume.score(*gram_volume.prepared(a, b))  # noqa: E731
    assert score(axes[:1], axes[1:2], axes[2:3], axes[3:]) == -1
    assert -1e-7 < score(axes[:1], 3 * axes[:1], -axes[:1]) <= 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_vectors_that_coincide_have_a_finite_gradient(dtype: torch.dtype) -> None:
    a = draw(4, 3).to(dtype)
    for others in ((a, a), (a + 1e-7, a - 1e-7), (a, a.flip(0)), (torch.zeros_like(a), a)):
        loss = lambda x, y, z: gram(x, (y, z), same(torch.arange(4)))  # noqa: E731
        assert all(found.isfinite().all() for found in value_and_gradients(loss, a, *others))


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
    weighed = replace(pairing, rule=lambda a, c: Pairs(a[0][:, None] == c[0], importance=torch.ones(3, 3)))
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


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("apart", [0.1, 0.03])
def test_volumes_of_nearly_aligned_modalities_keep_their_digits_in_float32(count: int, apart: float) -> None:
    anchor = draw(40, 32)
    others = [anchor + apart * draw(40, 32, seed=1 + k) for k in range(count)]
    exact = torch.stack([volume(anchor[i], *(other[i] for other in others)) for i in range(40)])
    single = torch.stack([volume(anchor[i].float(), *(other[i].float() for other in others)) for i in range(40)])
    a, b = gram_volume.prepared(anchor.float(), [other.float() for other in others])

    error = ((-gram_volume.score(a, b).diagonal().double() - exact) / exact).abs().median()
    assert error < 3 * ((single.double() - exact) / exact).abs().median() + 1e-6
