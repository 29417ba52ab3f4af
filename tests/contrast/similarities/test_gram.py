import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.gram import gram
from medcl.contrast.pairings.pairs import same
from medcl.contrast.similarities.gram import gram_volume
from tests.contrast.compare import draw, value_and_gradients

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
