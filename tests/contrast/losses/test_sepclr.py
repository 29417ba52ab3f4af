import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.sepclr import align, joint_entropy, sepclr, uniform
from medcl.contrast.losses.uniformity import uniformity
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients

TARGET = torch.tensor([True, False, True, True, False])
T = 0.4
VIEWS = [draw(5, 3), draw(5, 3, seed=1), draw(5, 2, seed=2), draw(5, 2, seed=3)]


def square(x: Tensor) -> Tensor:
    return (x * x).sum()


def spread(a: Tensor) -> Tensor:
    pairs = [(i, j) for i in range(len(a)) for j in range(i)]
    return torch.log(sum(torch.exp(-square(a[i] - a[j]) / (2 * T)) for i, j in pairs) / len(pairs))


def information(c: Tensor, s: Tensor) -> Tensor:
    rows = []
    for i in range(len(c)):
        kernels = [torch.exp(-(square(c[i] - c[j]) + square(s[i] - s[j])) / (2 * T)) for j in range(len(c))]
        rows.append(torch.log(sum(kernels) / len(c)))
    return sum(rows) / len(rows)


def expected(c1: Tensor, c2: Tensor, s1: Tensor, s2: Tensor) -> Tensor:
    c1, c2 = F.normalize(c1, dim=1), F.normalize(c2, dim=1)
    kept = [s * TARGET[:, None] for s in (s1, s2)]
    inside, outside = TARGET.nonzero().flatten().tolist(), (~TARGET).nonzero().flatten().tolist()
    total = sum(square(c1[i] - c2[i]) for i in range(5)) / 5 / (2 * T) + spread(c1) + spread(c2)
    own = sum(square(s1[i] - s2[i]) for i in inside) / 3 / (2 * T) + spread(kept[0]) + spread(kept[1])
    null = sum(square(s1[i]) + square(s2[i]) for i in outside) / 2 / 2 / (2 * T)
    return total + 1.5 * own + 7 * null + 3 * (information(c1, kept[0]) + information(c2, kept[1])) / 2


def loss(c1: Tensor, c2: Tensor, s1: Tensor, s2: Tensor, block: int | None = None) -> Tensor:
    weights = {"salient_weight": 1.5, "background_weight": 7.0, "information_weight": 3.0}
    return sepclr([c1, c2], [s1, s2], TARGET, temperature=T, block=block, **weights)


def test_the_loss_equals_its_formula() -> None:
    assert_same(loss, expected, *VIEWS)
    assert_same(lambda *x: loss(*x, block=2), expected, *VIEWS)


def test_each_term_equals_its_formula() -> None:
    assert_same(lambda a: uniform(a, temperature=T), spread, VIEWS[0])
    assert_same(lambda c, s: joint_entropy(c, s, temperature=T), information, VIEWS[0], VIEWS[2])
    assert_same(
        lambda a, b: align(a, b, TARGET, temperature=T),
        lambda a, b: sum(square(a[i] - b[i]) for i in (0, 2, 3)) / 3 / (2 * T),
        *VIEWS[:2],
    )
    assert_same(lambda a: align(a), lambda a: square(a) / 5, VIEWS[0])


def test_gradcheck() -> None:
    assert torch.autograd.gradcheck(loss, [view.clone().requires_grad_() for view in VIEWS])


def test_on_the_sphere_it_is_uniformity() -> None:
    unit = F.normalize(VIEWS[0], dim=1)
    torch.testing.assert_close(uniform(unit, temperature=0.25), uniformity(unit, t=2.0))


def test_one_set_alone_and_one_row_have_finite_gradients() -> None:
    for target in (torch.ones(5, dtype=torch.bool), torch.zeros(5, dtype=torch.bool)):
        for found in value_and_gradients(lambda *x, t=target: sepclr(x[:2], x[2:], t), *VIEWS):
            assert torch.isfinite(found).all()
    for found in value_and_gradients(lambda *x: sepclr(x[:2], x[2:], TARGET[:1]), *(view[:1] for view in VIEWS)):
        assert torch.isfinite(found).all()
    assert uniform(VIEWS[0][:1]) == 0


def test_the_background_teaches_the_salient_encoder_the_null_vector_only() -> None:
    c, s = VIEWS[0], VIEWS[2]

    def background(x: Tensor) -> Tensor:
        return sepclr([c, c], [x, x], TARGET, background_weight=0.0)

    _, gradient = value_and_gradients(background, s)
    assert torch.equal(gradient[~TARGET], torch.zeros(2, 2, dtype=s.dtype))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="two views"):
        sepclr(VIEWS[:1], VIEWS[2:], TARGET)
    with pytest.raises(UsageError, match="bool"):
        sepclr(VIEWS[:2], VIEWS[2:], TARGET.long())
    with pytest.raises(UsageError, match="one shape"):
        align(VIEWS[0], VIEWS[2])
