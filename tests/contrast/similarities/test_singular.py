from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import itself, same
from medcl.contrast.similarities.singular import leading, leading_singular_value, pmrl
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.loops import mean


def matrix(*vectors: Tensor) -> Tensor:
    return torch.stack([v / (v @ v).sqrt() for v in vectors], dim=1)


def reference(*modalities: Tensor, temperature: float, between: float) -> Tensor:
    samples = range(len(modalities[0]))
    within, directions = [], []
    for i in samples:
        columns = matrix(*(x[i] for x in modalities))
        u, s, _ = torch.linalg.svd(columns, full_matrices=False)
        within.append(-torch.log(torch.exp(s[0] / temperature) / sum(torch.exp(x / temperature) for x in s)))
        side = (u[:, 0].detach() @ columns.detach().sum(dim=1)).item()
        side = side if abs(side) > 1e-6 else (u[:, 0].detach() @ columns[:, 0].detach()).item()
        directions.append(u[:, 0] if side > 0 else -u[:, 0])
    across = []
    for i in samples:
        e = [torch.exp(directions[i] @ directions[j] / between) for j in samples]
        across.append(-torch.log(e[i] / sum(e)))
    return mean(within) + mean(across)


@pytest.mark.parametrize(("count", "width"), [(2, 4), (3, 4), (4, 5), (3, 2)])
def test_the_loss_and_its_gradient_equal_the_decomposition(count: int, width: int) -> None:
    options = {"temperature": 0.3, "between": 0.2}
    views = [draw(4, width, seed=7 + k) for k in range(count)]
    assert_same(lambda *m: pmrl(m, **options), partial(reference, **options), *views)


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


def test_gradcheck() -> None:
    views = [draw(3, 4, seed=k).requires_grad_() for k in range(3)]
    assert torch.autograd.gradcheck(lambda *m: pmrl(m, temperature=0.3), views)
    scored = lambda a, b, c: info_nce(a, (b, c), itself(a), similarity=leading_singular_value)  # noqa: E731
    assert torch.autograd.gradcheck(scored, views)


def test_a_direction_points_to_the_side_of_the_modalities() -> None:
    x = draw(5, 4)
    _, directions = leading(torch.stack([x, 2 * x, 0.5 * x], dim=2))
    torch.testing.assert_close(directions, F.normalize(x, dim=1))
    views = [draw(5, 4, seed=k) for k in range(3)]
    torch.testing.assert_close(pmrl([-x for x in views]), pmrl(views))


def test_the_order_of_the_modalities_does_not_matter() -> None:
    views = [draw(5, 4, seed=k) for k in range(3)]
    torch.testing.assert_close(pmrl(views[::-1]), pmrl(views))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_singular_values_have_a_finite_gradient(dtype: torch.dtype) -> None:
    axes, x = torch.eye(4, dtype=dtype), draw(4, 4).to(dtype)
    for views in ((axes, axes.flip(0), axes.roll(1, 0)), (x, x, x), (x, x + 1e-6, -x), (x * 0, x * 0, x)):
        for loss in (
            lambda *m: pmrl(m),
            lambda a, b, c: info_nce(a, (b, c), itself(a), similarity=leading_singular_value),
        ):
            assert all(found.isfinite().all() for found in value_and_gradients(loss, *views))


def test_what_does_not_fit_is_refused() -> None:
    a = draw(3, 4)
    with pytest.raises(UsageError, match="two or more"):
        pmrl([a])
    with pytest.raises(UsageError, match="of one shape"):
        pmrl([a, a[:2]])
    with pytest.raises(UsageError, match="above 0"):
        pmrl([a, a], temperature=0.0)
    with pytest.raises(UsageError, match=r"\(N, D\)"):
        info_nce(a, (a, a[:, :2]), itself(a), similarity=leading_singular_value)
