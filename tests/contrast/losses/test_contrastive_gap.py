from functools import partial

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.clip import clip
from medcl.contrast.losses.contrastive_gap import clip_without_gap
from medcl.contrast.pairings.pairs import same
from medcl.contrast.similarities.similarity import dot
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients

WEIGHTS = {"align": 0.5, "within": 2.0, "across": 0.7}


def loops(a: Tensor, b: Tensor, temperature: float, t: float, align: float, within: float, across: float) -> Tensor:
    a, b = (torch.stack([x / x.norm() for x in z]) for z in (a, b))
    samples = range(len(a))
    losses = []
    for x, y in ((a, b), (b, a)):
        e = [[torch.exp(x[i] @ y[j] / temperature) for j in samples] for i in samples]
        losses.append(sum(-torch.log(e[i][i] / sum(e[i])) for i in samples) / len(a))

    def spread(x: Tensor, y: Tensor) -> Tensor:
        pairs = [(i, j) for i in samples for j in samples if i != j]
        return torch.log(sum(torch.exp(-t * (x[i] - y[j]).square().sum()) for i, j in pairs) / len(pairs))

    near = sum((a[i] - b[i]).square().sum() for i in samples) / len(a)
    return sum(losses) / 2 + align * near + within * (spread(a, a) + spread(b, b)) / 2 + across * spread(a, b)


def test_the_loss_and_its_gradient_equal_the_loops() -> None:
    options = {"temperature": 0.2, "t": 1.5, **WEIGHTS}
    loss = partial(clip_without_gap, pairing=same(torch.arange(4)), **options)
    assert_same(loss, partial(loops, **options), draw(4, 3), draw(4, 3, seed=1))


def test_gradcheck() -> None:
    ids = torch.tensor([0, 1, 0, 2])
    a, b = draw(4, 3).requires_grad_(), draw(4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(partial(clip_without_gap, pairing=same(ids), temperature=0.5), (a, b))


def test_without_weights_it_is_clip() -> None:
    a, b, pairing = draw(4, 3), draw(4, 3, seed=1), same(torch.arange(4))
    torch.testing.assert_close(clip_without_gap(a, b, pairing, align=0, within=0, across=0), clip(a, b, pairing))


def test_a_gap_that_clip_is_content_with_shrinks() -> None:
    """Pairs that are told apart perfectly, while the modalities lie on two sides of the sphere."""
    side = torch.ones(4, 1, dtype=torch.float64)
    views = [torch.cat([torch.eye(4, dtype=torch.float64), sign * side], dim=1) for sign in (1, -1)]

    def gap(a: Tensor, b: Tensor) -> Tensor:
        return (
            torch.nn.functional.normalize(a, dim=1).mean(0) - torch.nn.functional.normalize(b, dim=1).mean(0)
        ).norm()

    for weights, content in (({"align": 0, "within": 0, "across": 0}, True), ({}, False)):
        loss = partial(clip_without_gap, pairing=same(torch.arange(4)), temperature=0.01, **weights)
        _, *gradients = value_and_gradients(loss, *views)
        assert (max(gradient.norm() for gradient in gradients) < 1e-10) == content
        closer = gap(*(view - 0.1 * gradient for view, gradient in zip(views, gradients, strict=True)))
        assert (closer < gap(*views) - 1e-3) != content


def test_products_of_any_length_are_refused() -> None:
    with pytest.raises(UsageError, match="length 1"):
        clip_without_gap(draw(3, 2), draw(3, 2), same(torch.arange(3)), similarity=dot)
