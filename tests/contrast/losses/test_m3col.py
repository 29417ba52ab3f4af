from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.clip import clip
from medcl.contrast.losses.m3col import Mixing, m3col, m3col_soft, mix
from medcl.contrast.pairings.pairs import itself
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.processes import across

MIXINGS = [
    Mixing(torch.tensor([0.25, 1.0, 0.6, 0.1], dtype=torch.float64), torch.tensor([2, 0, 2, 1])),
    Mixing(torch.tensor([0.5, 0.9, 1.0, 0.3], dtype=torch.float64), torch.tensor([1, 0, 3, 2])),
    Mixing(torch.tensor([1.0, 1.0, 0.2, 0.7], dtype=torch.float64), torch.tensor([3, 2, 1, 0])),
]
VIEWS = [draw(4, 3, seed=seed) for seed in range(3)]


def expected(*modalities: Tensor) -> Tensor:
    total = 0
    for number, (a, mixing) in enumerate(zip(modalities, MIXINGS, strict=False)):
        b, n = F.normalize(modalities[(number + 1) % len(modalities)], dim=1), len(a)
        for i in range(n):
            w, k = mixing.weights[i], mixing.permutation[i]
            m = F.normalize(w * a[i] + (1 - w) * a[k], dim=0)
            e = [torch.exp(m @ b[j] / 0.1) for j in range(n)]
            total = total - (w * torch.log(e[i] / sum(e)) + (1 - w) * torch.log(e[k] / sum(e))) / (2 * n)
        m = F.normalize(mixing.weights[:, None] * a + (1 - mixing.weights[:, None]) * a[mixing.permutation], dim=1)
        for j in range(n):
            e = [torch.exp(m[i] @ b[j] / 0.1) for i in range(n)]
            for i in range(n):
                share = mixing.weights[i] * (i == j) + (1 - mixing.weights[i]) * (int(mixing.permutation[i]) == j)
                total = total - share * torch.log(e[i] / sum(e)) / (2 * n)
    return total


def softly(*modalities: Tensor) -> Tensor:
    total = 0
    for number, a in enumerate(modalities):
        a, b = F.normalize(a, dim=1), F.normalize(modalities[(number + 1) % len(modalities)], dim=1)
        n = len(a)
        for i in range(n):
            alike = [torch.exp(b[i] @ b[j] / 0.2) for j in range(n)]
            there, back = ([torch.exp(u[i] @ v[j] / 0.2) for j in range(n)] for u, v in ((a, b), (b, a)))
            for j in range(n):
                logs = torch.log(there[j] / sum(there)) + torch.log(back[j] / sum(back))
                total = total - alike[j] / sum(alike) * logs / (2 * n)
    return total


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("block", [None, 3])
def test_both_phases_equal_their_formulas(count: int, block: int | None) -> None:
    assert_same(lambda *x: m3col(x, MIXINGS[:count], block=block), expected, *VIEWS[:count])
    assert_same(lambda *x: m3col_soft(x, temperature=0.2, block=block), softly, *VIEWS[:count])


def test_gradcheck() -> None:
    leaves = [view.requires_grad_() for view in (draw(4, 3), draw(4, 3, seed=1))]
    assert torch.autograd.gradcheck(lambda *x: m3col(x, MIXINGS[:2], temperature=0.5), leaves)
    assert torch.autograd.gradcheck(lambda *x: m3col_soft(x, temperature=0.5), leaves)


def test_unmixed_it_is_contrast_in_both_directions() -> None:
    as_they_are = Mixing(torch.ones(4), torch.arange(4))
    a, b = VIEWS[:2]
    pair = clip(a, b, itself(a), temperature=0.1) + clip(b, a, itself(a), temperature=0.1)
    torch.testing.assert_close(m3col([a, b], [as_they_are] * 2), pair)


def test_embeddings_of_mixed_inputs_take_the_place_of_mixed_embeddings() -> None:
    mixed = [mix(x, m.weights, m.permutation) for x, m in zip(VIEWS, MIXINGS, strict=True)]
    assert torch.equal(m3col(VIEWS, MIXINGS, mixed=mixed), m3col(VIEWS, MIXINGS))


def of_a_process(rank: int, group: object) -> tuple[Tensor, ...]:
    own = slice(2 * rank, 2 * rank + 2)
    mixing = Mixing(MIXINGS[1].weights[own], torch.tensor([1, 0]))
    return value_and_gradients(lambda *x: m3col(x, [mixing] * 2, group=group), *(view[own] for view in VIEWS[:2]))


def test_rows_mixed_within_processes_are_contrasted_with_those_of_all() -> None:
    values, *gradients = zip(*across(2, of_a_process), strict=True)
    whole = value_and_gradients(lambda *x: m3col(x, [MIXINGS[1]] * 2), *VIEWS[:2])
    found = (torch.stack(values).mean(), *(torch.cat(gradient) / 2 for gradient in gradients))
    for got, wanted in zip(found, whole, strict=True):
        torch.testing.assert_close(got, wanted)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="2 or more"):
        m3col(VIEWS[:1], MIXINGS[:1])
    with pytest.raises(UsageError, match="3 modalities, 2 mixings"):
        m3col(VIEWS, MIXINGS[:2])
    with pytest.raises(UsageError, match="got one"):
        m3col_soft(VIEWS[:1])
    with pytest.raises(UsageError, match="3 rows"):
        partial(m3col, [view[:3] for view in VIEWS])(MIXINGS)
