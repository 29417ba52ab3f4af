import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.losses.pmrl import pmrl
from medcl.contrast.pairings.pairs import itself, same
from medcl.contrast.similarities.singular import leading_singular_value
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.loops import mean


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
