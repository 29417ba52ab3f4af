from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.losses.supremix import supremix
from medcl.contrast.pairings.pairs import itself
from medcl.contrast.pairings.targets import magnified, near
from medcl.contrast.similarities.similarity import Similarity, dot
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw

Y = torch.tensor([4.0, 1.0, 2.5, 4.0, torch.nan], dtype=torch.float64)
DRAWS = torch.rand(2, 5, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
OPTIONS = {"window": 2.0, "beta": (2, 3), "temperature": 0.4}


def expected(
    z1: Tensor,
    z2: Tensor,
    *,
    unit: bool = True,
    targets: Tensor = Y,
    draws: Tensor = DRAWS,
    window: float = 2.0,
    temperature: float = 0.4,
) -> Tensor:
    z, y, r = torch.cat([z1, z2]), targets.repeat(2), draws.flatten(0, 1)
    z = F.normalize(z, dim=1) if unit else z
    mixed, n, terms = z.detach(), len(z), []
    for i in range(n):
        positive, total = [], 0
        for k in range(n):
            if k != i:
                away = 0.0 if y[i].isnan() or y[k].isnan() else abs(float(y[i] - y[k]))
                total = total + (away + 1) * torch.exp(z[i] @ z[k] / temperature)
            if k != i and y[k] == y[i]:
                positive.append(z[i] @ z[k] / temperature)
            if abs(y[i] - y[k]) > 0:
                share = sorted(((r[i] - r[k]) % 1).tolist())[1]
                label = share * y[i] + (1 - share) * y[k]
                s = z[i] @ (share * mixed[i] + (1 - share) * mixed[k]) / temperature
                total = total + (abs(label - y[i]) + 1) * torch.exp(s)
        for j, k in product(range(n), repeat=2):
            if y[i] - window < y[j] < y[i] < y[k] < y[i] + window:
                c = (y[k] - y[i]) / (y[k] - y[j])
                torch.testing.assert_close(c * y[j] + (1 - c) * y[k], y[i])
                s = z[i] @ (c * mixed[j] + (1 - c) * mixed[k]) / temperature
                total = total + torch.exp(s)
                positive.append(s)
        terms += [-sum(torch.log(torch.exp(s) / total) for s in positive) / len(positive)] if positive else []
    return torch.stack(terms).mean()


@pytest.mark.parametrize("block", [None, 3])
def test_the_loss_equals_its_formula(block: int | None) -> None:
    loss = partial(supremix, y=Y, draws=DRAWS, block=block, **OPTIONS)
    assert_same(loss, expected, draw(5, 3), draw(5, 3, seed=1))


def test_mixtures_of_raw_vectors() -> None:
    loss = partial(supremix, y=Y, draws=DRAWS, similarity=dot, **OPTIONS)
    assert_same(loss, partial(expected, unit=False), draw(5, 3), draw(5, 3, seed=1))


def test_with_one_target_there_is_nothing_to_mix() -> None:
    z1, z2, y = draw(3, 4), draw(3, 4, seed=1), torch.ones(3)
    z, both = torch.cat([z1, z2]), torch.ones(6)
    plain = info_nce(z, z, magnified(near(both, within=1).without(itself(z)), both), temperature=0.3)
    torch.testing.assert_close(supremix(z1, z2, y), plain)


def test_the_same_draws_give_the_same_loss() -> None:
    z1, z2, y = draw(4, 3), draw(4, 3, seed=1), torch.arange(4.0)
    first, second, third = (supremix(z1, z2, y, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


@pytest.mark.parametrize("beta", [(2, 8), (5, 5), (8, 2)])
def test_the_share_of_the_anchor_is_beta(beta: tuple[int, int]) -> None:
    p, q = beta
    draws = torch.rand(400, p + q - 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shares = ((draws[:200, None] - draws[None, 200:]) % 1).kthvalue(p, dim=2).values
    torch.testing.assert_close(shares.mean().item(), p / (p + q), atol=0.01, rtol=0)
    torch.testing.assert_close(shares.var().item(), p * q / ((p + q) ** 2 * (p + q + 1)), atol=0.002, rtol=0)


def test_what_does_not_fit_is_refused() -> None:
    z = draw(5, 3)
    far = Similarity("far", lambda a, b: -torch.cdist(a[0], b[0]), lambda a, b: (a, b))
    with pytest.raises(UsageError, match="inner product, not by 'far'"):
        supremix(z, z, Y, similarity=far)
    with pytest.raises(UsageError, match="whole numbers"):
        supremix(z, z, Y, beta=(0, 2))
    with pytest.raises(UsageError, match="draws must be"):
        supremix(z, z, Y, draws=DRAWS)
    with pytest.raises(UsageError, match="a target for each"):
        supremix(z, z, Y[:3])
