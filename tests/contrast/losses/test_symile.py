from functools import partial
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.clip import clip
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.losses.symile import draw_permutations, symile
from medcl.contrast.pairings.pairs import same
from medcl.contrast.similarities.multimodal import multilinear
from medcl.contrast.similarities.similarity import cosine
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.loops import mean

PRESENT = torch.tensor([[1, 1, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1], [1, 1, 1]], dtype=torch.bool)
EVERYTHING = torch.ones_like(PRESENT)


def reference(*modalities: Tensor, temperature: float, orders: Tensor | None, present: Tensor) -> Tensor:
    units = [x / x.pow(2).sum(dim=1, keepdim=True).sqrt() for x in modalities]
    count, samples = len(units), range(len(units[0]))
    anchors = []
    for m in range(count):
        others = [k for k in range(count) if k != m]

        def inner(i: int, rows: tuple[int, ...], m: int = m, others: list[int] = others) -> Tensor:
            numbers = units[m][i]
            for k, j in zip(others, rows, strict=True):
                numbers = numbers * units[k][j]
            return torch.exp(numbers.sum() / temperature)

        terms = []
        for i in samples:
            own = (i,) * (count - 1)
            if orders is None:
                negatives = [rows for rows in product(samples, repeat=count - 1) if rows != own]
            else:
                negatives = [tuple(orders[m, k, j].item() for k in range(count - 1)) for j in samples if j != i]
            negatives = [rows for rows in negatives if all(present[j, k] for k, j in zip(others, rows, strict=True))]
            if present[i].all():
                below = inner(i, own) + sum(inner(i, rows) for rows in negatives)
                terms.append(-torch.log(inner(i, own) / below))
        anchors.append(mean(terms))
    return mean(anchors)


@pytest.mark.parametrize("present", [EVERYTHING, PRESENT], ids=["complete", "missing"])
@pytest.mark.parametrize("negatives", ["permuted", "all"])
def test_the_loss_and_its_gradient_equal_the_loops(negatives: Any, present: Tensor) -> None:
    orders = draw_permutations(3, 5, torch.Generator().manual_seed(3))
    views = [draw(5, 3, seed=seed) for seed in range(3)]
    assert_same(
        lambda *m: symile(m, temperature=0.2, negatives=negatives, permutations=orders, present=present),
        partial(reference, temperature=0.2, orders=orders if negatives == "permuted" else None, present=present),
        *views,
    )


def test_four_modalities() -> None:
    orders = draw_permutations(4, 3, torch.Generator().manual_seed(1))
    views, present = [draw(3, 4, seed=seed) for seed in range(4)], torch.ones(3, 4, dtype=torch.bool)
    for negatives, used in (("permuted", orders), ("all", None)):
        assert_same(
            lambda *m, negatives=negatives: symile(m, temperature=0.1, negatives=negatives, permutations=orders),
            partial(reference, temperature=0.1, orders=used, present=present),
            *views,
        )


def test_with_two_modalities_all_combinations_are_clip() -> None:
    a, b = draw(5, 4), draw(5, 4, seed=1)
    expected = clip(a, b, same(torch.arange(5)), temperature=0.3)
    torch.testing.assert_close(symile([a, b], negatives="all", temperature=0.3), expected)


def test_the_multilinear_similarity_of_one_modality_is_the_cosine() -> None:
    a, b, c, pairing = draw(5, 4), draw(5, 4, seed=1), draw(5, 4, seed=2), same(torch.arange(5))
    expected = info_nce(a, b, pairing, similarity=cosine)
    torch.testing.assert_close(info_nce(a, (b,), pairing, similarity=multilinear), expected)
    scores = multilinear.score(*multilinear.prepared(a, (b, c)))
    x, y, z = (v / v.norm(dim=1, keepdim=True) for v in (a, b, c))
    torch.testing.assert_close(scores, torch.einsum("id,jd,jd->ij", x, y, z))


def test_what_is_missing_may_be_any_number_and_gets_no_gradient() -> None:
    views = [draw(5, 3, seed=seed) for seed in range(3)]
    broken = [x.masked_fill(~PRESENT[:, k, None], torch.nan) for k, x in enumerate(views)]
    loss = lambda *m: symile(m, negatives="all", present=PRESENT)  # noqa: E731
    for found, expected in zip(value_and_gradients(loss, *broken), value_and_gradients(loss, *views), strict=True):
        torch.testing.assert_close(found, expected)
    nothing = value_and_gradients(lambda *m: symile(m, present=torch.zeros_like(PRESENT)), *broken)
    assert all(torch.equal(found, torch.zeros_like(found)) for found in nothing)


def test_three_bits_of_which_none_two_tell_the_third() -> None:
    """z is x times y (exclusive or): pairs are independent, and only the three together match."""
    bits = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    x, y, z = (bits[:, k : k + 1] for k in range(3))
    right = symile([x, y, z], negatives="all", temperature=0.1)
    wrong = symile([x, y, -z], negatives="all", temperature=0.1)
    # Half of the 16 tuples are as right as the own one.
    torch.testing.assert_close(right, torch.tensor(8.0, dtype=torch.float64).log(), atol=1e-6, rtol=0)
    assert wrong > right + 19


def test_permutations_replay() -> None:
    views = [draw(5, 3, seed=seed) for seed in range(3)]
    orders = draw_permutations(3, 5, torch.Generator().manual_seed(7))
    assert all(sorted(row.tolist()) == list(range(5)) for row in orders.flatten(0, 1))
    replayed = symile(views, permutations=orders)
    assert torch.equal(symile(views, generator=torch.Generator().manual_seed(7)), replayed)
    assert not torch.equal(symile(views, generator=torch.Generator().manual_seed(8)), replayed)


@pytest.mark.parametrize("negatives", ["permuted", "all"])
def test_gradcheck(negatives: Any) -> None:
    views = [draw(3, 3, seed=seed).requires_grad_() for seed in range(3)]
    temperature = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    orders = draw_permutations(3, 3, torch.Generator().manual_seed(0))

    def loss(temperature: Tensor, *m: Tensor) -> Tensor:
        return symile(m, temperature=temperature, negatives=negatives, permutations=orders)

    assert torch.autograd.gradcheck(loss, (temperature, *views))


def test_what_does_not_fit_is_refused() -> None:
    a, b = draw(4, 3), draw(4, 3, seed=1)
    with pytest.raises(UsageError, match="two or more"):
        symile([a])
    with pytest.raises(UsageError, match="of one shape"):
        symile([a, b[:, :2]])
    with pytest.raises(UsageError, match="permuted, all"):
        symile([a, b], negatives="some")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="present must be bool"):
        symile([a, b], present=torch.ones(4, 3, dtype=torch.bool))
    with pytest.raises(UsageError, match="draw_permutations"):
        symile([a, b], permutations=draw_permutations(2, 3))
    with pytest.raises(UsageError, match="one tensor"):
        info_nce((a, b), a, same(torch.arange(4)), similarity=multilinear)
