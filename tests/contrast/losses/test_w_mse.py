from functools import partial
from itertools import combinations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast import w_mse
from medcl.contrast.losses.w_mse import whitened
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw


def by_inverse(x: Tensor, ridge: float) -> Tensor:
    """By the inverse of the Cholesky factor, the covariance summed sample by sample."""
    centre = sum(x) / len(x)
    covariance = sum(torch.outer(row - centre, row - centre) for row in x) / (len(x) - 1)
    variance = sum(covariance[k, k] for k in range(x.shape[1])) / x.shape[1]
    factor = torch.linalg.cholesky(covariance + ridge * variance * torch.eye(x.shape[1], dtype=x.dtype))
    inverse = torch.linalg.inv(factor)
    return torch.stack([inverse @ (row - centre) for row in x])


def loops(*views: Tensor, ridge: float, orders: list[Tensor], parts: int) -> Tensor:
    terms = []
    for order in orders:
        for rows in order.tensor_split(parts):
            w = [by_inverse(view[rows], ridge) for view in views]
            for i in range(len(rows)):
                for p, q in combinations(range(len(views)), 2):
                    u, v = (x[i] / x[i].norm() for x in (w[p], w[q]))
                    terms.append((u - v).square().sum())
    return sum(terms) / len(terms)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("count", [2, 3])
def test_the_loss_and_its_gradient_equal_the_loops(count: int) -> None:
    views = [draw(12, 3, seed=seed) for seed in range(count)]
    whole = partial(loops, ridge=1e-3, orders=[torch.arange(12)], parts=1)
    assert_same(lambda *views: w_mse(views), whole, *views, single=1e-4)
    generator = seeded()
    orders = [torch.randperm(12, generator=generator) for _ in range(2)]
    assert_same(
        lambda *views: w_mse(views, part=6, draws=2, ridge=0.01, generator=seeded()),
        partial(loops, ridge=0.01, orders=orders, parts=2),
        *views,
        single=1e-4,
    )


def test_the_covariance_of_whitened_vectors_is_the_identity() -> None:
    x = draw(200, 16).float() @ draw(16, 16, seed=1).float()
    found = whitened(x, ridge=1e-6)
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(16), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.T.cov(), torch.eye(16), atol=1e-3, rtol=0)


def trained(whiten: bool) -> float:
    """The effective share of features that vary after training on views that hardly differ."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8))
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(200):
        x = torch.randn(64, 16)
        views = [network(x + 0.3 * torch.randn(64, 16)) for _ in range(2)]
        # Without whitening the same distance is of vectors at unit length.
        loss = w_mse(views) if whiten else (2 - 2 * F.cosine_similarity(*views)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    values = torch.linalg.svdvals(F.normalize(network(torch.randn(256, 16)), dim=1).detach()).square()
    share = values / values.sum()
    return float((-share * share.log()).sum().exp() / 8)


def test_whitening_alone_keeps_the_features_apart() -> None:
    assert trained(whiten=True) > 0.8
    assert trained(whiten=False) < 0.3


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(UsageError, match="two or more views"):
        w_mse([draw(4, 2)])
    for wrong in ({"part": -1}, {"draws": 0}, {"ridge": -0.1}):
        with pytest.raises(UsageError, match="w_mse takes a part"):
            w_mse([draw(4, 2), draw(4, 2, seed=1)], **wrong)  # type: ignore[arg-type]
