from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.losses.pmrl import leading, pmrl
from medcl.contrast.pairings.pairs import itself
from medcl.contrast.similarities.multimodal import leading_singular_value
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw
from tests.contrast.loops import mean
from tests.contrast.similarities.test_multimodal import matrix


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
