"""Similarities of tuples of modalities against numpy."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.gram import gram
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.losses.pmrl import pmrl
from medcl.contrast.pairings.pairs import itself, same
from medcl.contrast.similarities.multimodal import gram_volume, leading_singular_value
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.loops import mean

MODALITIES = pytest.mark.parametrize("count", [1, 2, 3, 4])


def volume(*vectors: Tensor) -> Tensor:
    rows = torch.stack([v / (v @ v).sqrt() for v in vectors])
    return torch.linalg.det(rows @ rows.T).abs().sqrt()


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


def matrix(*vectors: Tensor) -> Tensor:
    return torch.stack([v / (v @ v).sqrt() for v in vectors], dim=1)


def test_the_similarity_is_the_largest_singular_value_of_every_pair() -> None:
    pairing, views = same(torch.tensor([0, 1, 1])), [draw(3, 4, seed=k) for k in range(3)]

    def expected(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        scores = [
            torch.stack([torch.linalg.svdvals(matrix(a[i], b[j], c[j]))[0] for j in range(3)]) / 0.1 for i in range(3)
        ]
        positives = pairing.pairs().positive
        return mean(
            [mean([-F.log_softmax(s, dim=0)[j] for j in range(3) if positives[i, j]]) for i, s in enumerate(scores)]
        )

    loss = lambda a, b, c: info_nce(a, (b, c), pairing, similarity=leading_singular_value)  # noqa: E731
    assert_same(loss, expected, *views)


def test_with_one_modality_the_similarity_is_a_function_of_the_cosine() -> None:
    a, b = draw(3, 4), draw(5, 4, seed=1)
    cosines = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
    scores = leading_singular_value.score(*leading_singular_value.prepared(a, b))
    torch.testing.assert_close(scores, (1 + cosines.abs()).sqrt())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_singular_values_have_a_finite_gradient(dtype: torch.dtype) -> None:
    axes, x = torch.eye(4, dtype=dtype), draw(4, 4).to(dtype)
    for views in ((axes, axes.flip(0), axes.roll(1, 0)), (x, x, x), (x, x + 1e-6, -x), (x * 0, x * 0, x)):
        for loss in (
            lambda *m: pmrl(m),
            lambda a, b, c: info_nce(a, (b, c), itself(a), similarity=leading_singular_value),
        ):
            assert all(found.isfinite().all() for found in value_and_gradients(loss, *views))
