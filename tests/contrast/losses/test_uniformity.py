from functools import partial

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.uniformity import align_uniform, alignment, uniformity
from medcl.contrast.pairings.pairs import itself, matrix, same
from medcl.contrast.similarities.similarity import dot
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.loops import mean

IDS, MORE = torch.tensor([0, 1, 0, 2]), torch.tensor([0, 0, 1, 3, 0])


def distance(x: Tensor, y: Tensor) -> Tensor:
    return (x / x.norm() - y / y.norm()).square().sum()


def aligned(a: Tensor, b: Tensor, alpha: float) -> Tensor:
    terms = []
    for i, x in enumerate(a):
        far = [distance(x, y) ** (alpha / 2) for j, y in enumerate(b) if IDS[i] == MORE[j]]
        if far:
            terms.append(mean(far))
    return mean(terms)


def uniform(a: Tensor, b: Tensor, out: Tensor, t: float) -> Tensor:
    pairs = [(i, j) for i in range(len(a)) for j in range(len(b)) if not out[i, j]]
    return torch.log(mean([torch.exp(-t * distance(a[i], b[j])) for i, j in pairs]))


@pytest.mark.parametrize("alpha", [1.0, 2.0, 3.0])
def test_alignment_and_its_gradient_equal_the_loops(alpha: float) -> None:
    loss = partial(alignment, pairing=same(IDS, MORE), alpha=alpha)
    assert_same(loss, partial(aligned, alpha=alpha), draw(4, 3), draw(5, 3, seed=1))


@pytest.mark.parametrize("t", [0.5, 2.0])
def test_uniformity_and_its_gradient_equal_the_loops(t: float) -> None:
    eye, pairs = torch.eye(4, dtype=torch.bool), same(IDS, MORE).pairs().positive
    assert_same(partial(uniformity, t=t), lambda a: uniform(a, a, eye, t), draw(4, 3))
    between = partial(uniformity, leave_out=same(IDS, MORE), t=t)
    assert_same(between, partial(uniform, out=pairs, t=t), draw(4, 3), draw(5, 3, seed=1))


def test_both_together_with_their_weight() -> None:
    a, b, pairing = draw(4, 3), draw(5, 3, seed=1), same(IDS, MORE)
    expected = alignment(a, b, pairing) + 0.7 * (uniformity(a) + uniformity(b)) / 2
    torch.testing.assert_close(align_uniform(a, b, pairing, weight=0.7), expected)


def test_gradcheck() -> None:
    a, b = draw(4, 3).requires_grad_(), draw(5, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(partial(align_uniform, pairing=same(IDS, MORE), alpha=3.0), (a, b))


def test_between_modalities_the_partner_is_left_out_by_default() -> None:
    a, b = draw(4, 3), draw(4, 3, seed=1)
    torch.testing.assert_close(uniformity(a, b), uniformity(a, b, itself(a)))


def test_collapse_is_0_and_opposite_vectors_are_as_far_apart_as_can_be() -> None:
    z = torch.ones(4, 3, dtype=torch.float64)
    torch.testing.assert_close(uniformity(z), z.new_zeros(()))
    torch.testing.assert_close(alignment(z, z, itself(z)), z.new_zeros(()))
    both = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    torch.testing.assert_close(uniformity(both), both.new_tensor(-8.0))


def test_without_a_pair_the_value_and_gradient_are_0() -> None:
    for loss in (uniformity, partial(uniformity, leave_out=matrix(torch.ones(1, 1, dtype=torch.bool)))):
        for found in value_and_gradients(loss, draw(1, 3)):
            assert torch.equal(found, torch.zeros_like(found))


def test_what_has_no_meaning_is_refused() -> None:
    a = draw(4, 3)
    with pytest.raises(UsageError, match="length 1"):
        uniformity(a, similarity=dot)
    with pytest.raises(UsageError, match="length 1"):
        alignment(a, a, itself(a), similarity=dot)
    with pytest.raises(UsageError, match="t above 0"):
        uniformity(a, t=0.0)
    with pytest.raises(UsageError, match="alpha above 0"):
        alignment(a, a, itself(a), alpha=0.0)
    with pytest.raises(UsageError, match="the pairing is of 4 anchors and 4 candidates"):
        uniformity(a, draw(5, 3))
