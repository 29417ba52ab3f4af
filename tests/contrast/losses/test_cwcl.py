from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.cwcl import cwcl
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import itself, same
from medcl.contrast.pairings.soft import soft
from tests.contrast.compare import assert_same, draw, value_and_gradients

FROZEN = draw(4, 5, seed=7)


def expected(a: Tensor, b: Tensor, frozen: Tensor = FROZEN) -> Tensor:
    p, q, f = (F.normalize(x, dim=1) for x in (a, b, frozen.to(a.dtype)))
    n, there, back = len(p), [], []
    for i in range(n):
        weights = [(f[i] @ f[j] + 1) / 2 for j in range(n)]
        total = sum(torch.exp(p[i] @ q[k] / 0.2) for k in range(n))
        there += [-w / sum(weights) * torch.log(torch.exp(p[i] @ q[j] / 0.2) / total) for j, w in enumerate(weights)]
        back.append(-torch.log(torch.exp(p[i] @ q[i] / 0.2) / sum(torch.exp(p[k] @ q[i] / 0.2) for k in range(n))))
    return (sum(there) + sum(back)) / n


def test_cwcl_equals_its_formula() -> None:
    assert_same(partial(cwcl, frozen=FROZEN, temperature=0.2), expected, draw(4, 3), draw(4, 3, seed=1))


def test_gradcheck() -> None:
    a, b = draw(4, 3).requires_grad_(), draw(4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(partial(cwcl, frozen=FROZEN, temperature=0.5), (a, b))


def test_a_model_to_which_all_are_opposite_or_one_gives_plain_contrast() -> None:
    a, b = draw(2, 3), draw(2, 3, seed=1)
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    torch.testing.assert_close(
        cwcl(a, b, opposite), info_nce(a, b, itself(a), temperature=0.07) + info_nce(b, a, itself(a), temperature=0.07)
    )
    assert torch.equal(soft(torch.ones(3, 2)).pairs().positive, torch.ones(3, 3))


def test_the_frozen_model_gets_no_gradient() -> None:
    a, b = draw(4, 3), draw(4, 3, seed=1)
    assert torch.equal(value_and_gradients(cwcl, a, b, FROZEN)[3], torch.zeros_like(FROZEN))


def test_ids_pair_the_other_direction() -> None:
    a, b, ids = draw(4, 3), draw(4, 3, seed=1), torch.tensor([0, 0, 1, 2])
    found = cwcl(a, b, FROZEN, same(ids), temperature=0.1) - info_nce(a, b, soft(FROZEN))
    torch.testing.assert_close(found, info_nce(b, a, same(ids)))
