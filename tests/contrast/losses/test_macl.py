from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.losses.macl import macl
from medcl.contrast.pairings.neighbours import soft
from medcl.contrast.pairings.pairs import itself, same
from medcl.contrast.similarities.similarity import dot
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients

IDS = torch.tensor([0, 1, 0, 2, 5])
OTHERS = torch.tensor([0, 0, 1, 2, 7, 1])


def expected(a: Tensor, b: Tensor, *, reweighted: bool) -> Tensor:
    u, v = F.normalize(a, dim=1), F.normalize(b, dim=1)
    positive = [(i, j) for i in range(5) for j in range(6) if IDS[i] == OTHERS[j]]
    alignment = sum((u[i] @ v[j]).item() for i, j in positive) / len(positive)
    t, rows = 0.2 * (1 + 0.8 * (alignment - 0.1)), []
    for i in range(5):
        own = [j for n, j in positive if n == i]
        e = [torch.exp(u[i] @ v[j] / t) for j in range(6)]
        terms = [-torch.log(e[j] / sum(e)) / (1 - (e[j] / sum(e)).item() if reweighted else 1) for j in own]
        rows += [sum(terms) / len(terms)] if terms else []
    return sum(rows) / len(rows)


@pytest.mark.parametrize("reweighted", [True, False])
@pytest.mark.parametrize("block", [None, 2])
def test_the_loss_equals_its_formula(reweighted: bool, block: int | None) -> None:
    options = {"temperature": 0.2, "alpha": 0.8, "threshold": 0.1, "reweighted": reweighted, "block": block}
    assert_same(
        partial(macl, pairing=same(IDS, OTHERS), **options),
        partial(expected, reweighted=reweighted),
        draw(5, 3),
        draw(6, 3, seed=1),
    )


def test_without_both_changes_it_is_info_nce() -> None:
    a, b, pairing = draw(5, 3), draw(6, 3, seed=1), same(IDS, OTHERS)
    torch.testing.assert_close(macl(a, b, pairing, alpha=0.0, reweighted=False), info_nce(a, b, pairing))


def test_a_pair_that_is_told_apart_keeps_its_gradient() -> None:
    """Plain contrast has a gradient that is 1 - P times that of the reweighted one."""
    a, b, pairing = torch.eye(3).double(), torch.eye(3).double() + 0.05, itself(IDS[:3])
    _, plain, _ = value_and_gradients(partial(macl, pairing=pairing, reweighted=False), a, b)
    _, reweighted, _ = value_and_gradients(partial(macl, pairing=pairing), a, b)
    t = 0.1 * (1 + 0.5 * F.cosine_similarity(a, b).mean())
    p = (F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / t).softmax(1).diagonal()
    torch.testing.assert_close(plain, reweighted * (1 - p)[:, None])


def test_a_saturated_pair_and_opposite_pairs_stay_finite() -> None:
    z = torch.eye(4)
    for sign in (1, -1):
        loss = partial(macl, pairing=itself(z), temperature=0.001, alpha=1.0)
        for found in value_and_gradients(loss, z, sign * z):
            assert torch.isfinite(found).all()
    assert macl(z[:1], z[:1], itself(z[:1])) == 0


def test_what_has_no_alignment_is_refused() -> None:
    a = draw(3, 2)
    with pytest.raises(UsageError, match="cosine"):
        macl(a, a, soft(a))
    with pytest.raises(UsageError, match="cosine"):
        macl(a, a, itself(a), similarity=dot)
    with pytest.raises(UsageError, match="alpha"):
        macl(a, a, itself(a), alpha=-0.1)
