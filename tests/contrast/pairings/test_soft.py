from functools import partial

import pytest
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.cwcl import cwcl
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.soft import soft, softened
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw

FROZEN = draw(4, 5, seed=7)


def test_softened_targets_are_a_softmax_with_a_derivative() -> None:
    teacher = draw(4, 3, seed=2)

    def reference(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
        u, v, w = (F.normalize(x, dim=1) for x in (a, b, t))
        return -((w @ w.T / 0.3).softmax(1) * (u @ v.T / 0.1).log_softmax(1)).sum(1).mean()

    def loss(a: Tensor, b: Tensor, t: Tensor, block: int | None = None) -> Tensor:
        return info_nce(a, b, softened(t, temperature=0.3), block=block)

    views = draw(4, 3), draw(4, 3, seed=1), teacher
    assert_same(loss, reference, *views)
    assert_same(partial(loss, block=1), reference, *views)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match=r"\(N, E\)"):
        soft(FROZEN, FROZEN[:, :2])
    with pytest.raises(UsageError, match="temperature"):
        softened(FROZEN, temperature=0.0)
    with pytest.raises(UsageError, match="4 anchors"):
        cwcl(draw(3, 2), draw(3, 2), FROZEN)
