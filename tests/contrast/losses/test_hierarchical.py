from functools import partial

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses import hierarchical as two_views
from medcl.contrast.losses.hierarchical import hierarchical, observation, sample
from medcl.errors import UsageError
from tests.contrast import loops
from tests.contrast.compare import assert_same, draw, value_and_gradients

LOSSES = {"observation": observation, "sample": sample}
LEVELS = pytest.mark.parametrize("level", ["observation", "sample"])


def pyramid(level: str, z1: Tensor, z2: Tensor) -> Tensor:
    return hierarchical(z1, z2, levels=[level])[level]


@LEVELS
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 5, 2), (4, 1, 3), (1, 1, 2)])
def test_a_loss_and_its_gradient_equal_the_loops(level: str, shape: tuple[int, int, int]) -> None:
    assert_same(LOSSES[level], getattr(loops, level), draw(*shape), draw(*shape, seed=1))


@LEVELS
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 9])
def test_the_pyramid_and_its_gradient_equal_the_loops(level: str, steps: int) -> None:
    z1, z2 = draw(3, steps, 4), draw(3, steps, 4, seed=1)
    assert_same(partial(pyramid, level), partial(loops.hierarchical, level=level), z1, z2)


@LEVELS
def test_gradcheck(level: str) -> None:
    z1, z2 = draw(3, 6, 2).requires_grad_(), draw(3, 6, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(partial(pyramid, level), (z1, z2))


def test_both_levels_at_once_are_the_two_alone_under_any_weights() -> None:
    z1, z2 = draw(3, 6, 4), draw(3, 6, 4, seed=1)

    def together(a: Tensor, b: Tensor) -> Tensor:
        losses = hierarchical(a, b, levels=["observation", "sample"])
        return 0.3 * losses["observation"] + 2.0 * losses["sample"]

    def apart(a: Tensor, b: Tensor) -> Tensor:
        return 0.3 * pyramid("observation", a, b) + 2.0 * pyramid("sample", a, b)

    for got, wanted in zip(value_and_gradients(together, z1, z2), value_and_gradients(apart, z1, z2), strict=True):
        torch.testing.assert_close(got, wanted)


@LEVELS
def test_a_second_backward_pass_gives_the_same_gradient(level: str) -> None:
    z1, z2 = draw(2, 4, 3).requires_grad_(), draw(2, 4, 3, seed=1)
    loss = pyramid(level, z1, z2)
    (once,) = torch.autograd.grad(loss, z1, retain_graph=True)
    (again,) = torch.autograd.grad(loss, z1)
    assert torch.equal(once, again)


@LEVELS
def test_the_size_of_the_blocks_changes_nothing(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    z1, z2 = draw(5, 6, 3), draw(5, 6, 3, seed=1)
    whole = value_and_gradients(partial(pyramid, level), z1, z2)
    monkeypatch.setattr(two_views, "BLOCK", 80)
    for got, wanted in zip(value_and_gradients(partial(pyramid, level), z1, z2), whole, strict=True):
        torch.testing.assert_close(got, wanted)


@LEVELS
def test_embeddings_of_any_memory_layout_are_accepted(level: str) -> None:
    z1, z2 = draw(3, 4, 8), draw(3, 4, 8, seed=1)
    plain = value_and_gradients(partial(pyramid, level), z1, z2)
    turned = value_and_gradients(partial(pyramid, level), *(z.mT.contiguous().mT for z in (z1, z2)))
    for got, wanted in zip(turned, plain, strict=True):
        torch.testing.assert_close(got, wanted)


@LEVELS
def test_the_order_of_the_batch_does_not_matter(level: str) -> None:
    z1, z2, order = draw(5, 6, 3), draw(5, 6, 3, seed=1), torch.tensor([3, 0, 4, 2, 1])
    value, *gradients = value_and_gradients(partial(pyramid, level), z1, z2)
    moved, *moved_gradients = value_and_gradients(partial(pyramid, level), z1[order], z2[order])
    torch.testing.assert_close(moved, value)
    for got, wanted in zip(moved_gradients, gradients, strict=True):
        torch.testing.assert_close(got, wanted[order])


@LEVELS
def test_the_order_of_time_does_not_matter_within_one_scale(level: str) -> None:
    z1, z2, order = draw(2, 5, 3), draw(2, 5, 3, seed=1), torch.tensor([3, 0, 4, 2, 1])
    value, *gradients = value_and_gradients(LOSSES[level], z1, z2)
    moved, *moved_gradients = value_and_gradients(LOSSES[level], z1[:, order], z2[:, order])
    torch.testing.assert_close(moved, value)
    for got, wanted in zip(moved_gradients, gradients, strict=True):
        torch.testing.assert_close(got, wanted[:, order])


@LEVELS
def test_the_views_can_be_exchanged_and_both_turned_alike(level: str) -> None:
    z1, z2 = draw(3, 4, 5), draw(3, 4, 5, seed=1)
    rotation, _ = torch.linalg.qr(draw(5, 5, seed=2))
    value = LOSSES[level](z1, z2)
    torch.testing.assert_close(LOSSES[level](z2, z1), value)
    torch.testing.assert_close(LOSSES[level](z1 @ rotation, z2 @ rotation), value)


def test_samples_do_not_meet_in_the_observation_loss_nor_steps_in_the_sample_loss() -> None:
    z1, z2 = draw(3, 4, 5), draw(3, 4, 5, seed=1)
    apart = torch.stack([observation(z1[i : i + 1], z2[i : i + 1]) for i in range(3)]).mean()
    torch.testing.assert_close(observation(z1, z2), apart)
    apart = torch.stack([sample(z1[:, t : t + 1], z2[:, t : t + 1]) for t in range(4)]).mean()
    torch.testing.assert_close(sample(z1, z2), apart)


@LEVELS
def test_identical_rows_cost_the_logarithm_of_the_candidates(level: str) -> None:
    z = torch.ones(4, 4, 3)
    value, gradient, _ = value_and_gradients(LOSSES[level], z, z)
    torch.testing.assert_close(value, torch.tensor(7.0).log())
    # Every candidate is the same vector, so the pulls of positive and negatives cancel.
    torch.testing.assert_close(gradient, torch.zeros_like(z), atol=1e-6, rtol=0)


def test_of_two_equal_steps_the_first_gets_the_gradient_of_the_maximum() -> None:
    z1, z2 = draw(3, 4, 2), draw(3, 4, 2, seed=1)
    z1[:, 1] = z1[:, 0]
    _, gradient, _ = value_and_gradients(partial(pyramid, "sample"), z1, z2)
    _, finest, _ = value_and_gradients(sample, z1, z2)
    torch.testing.assert_close(gradient[:, 1], finest[:, 1] / 2)
    assert not torch.allclose(gradient[:, 0], finest[:, 0] / 2)


@LEVELS
@pytest.mark.parametrize("scale", [1e-4, 5.0, 1e4])
def test_long_and_short_embeddings_stay_finite_in_float32(level: str, scale: float) -> None:
    z1, z2 = draw(4, 9, 8, scale=scale).float(), draw(4, 9, 8, seed=1, scale=scale).float()
    for value in value_and_gradients(partial(pyramid, level), z1, z2):
        assert torch.isfinite(value).all()


@LEVELS
def test_exponents_that_are_dropped_for_speed_change_nothing(level: str) -> None:
    z1, z2 = draw(4, 5, 3, scale=7.0), draw(4, 5, 3, seed=1, scale=7.0)
    assert_same(LOSSES[level], getattr(loops, level), z1, z2)


@LEVELS
def test_autocast_computes_in_float32(level: str) -> None:
    z1, z2 = draw(4, 8, 16).bfloat16(), draw(4, 8, 16, seed=1).bfloat16()
    expected = pyramid(level, z1.float(), z2.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, gradient, _ = value_and_gradients(partial(pyramid, level), z1, z2)
    assert found.dtype == torch.float32
    assert gradient.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected)


def test_without_gradients_none_is_kept() -> None:
    z1, z2 = draw(3, 6, 4), draw(3, 6, 4, seed=1)
    value = pyramid("observation", z1, z2)
    assert not value.requires_grad
    torch.testing.assert_close(value, pyramid("observation", z1.requires_grad_(), z2).detach())


@pytest.mark.parametrize("shapes", [((3, 4), (3, 4)), ((3, 4, 5), (3, 4, 6)), ((0, 4, 5), (0, 4, 5))])
def test_other_shapes_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(UsageError, match=r"batch, time, features"):
        hierarchical(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


def test_levels_of_ids_are_refused() -> None:
    with pytest.raises(UsageError, match="patient"):
        hierarchical(draw(2, 3, 4), draw(2, 3, 4), levels=["sample", "patient"])


def test_a_pyramid_compiles_without_a_break() -> None:
    def loss(z1: Tensor, z2: Tensor) -> Tensor:
        return sum(hierarchical(z1, z2).values())

    # 7 steps, 3 and 1: scales with and without a step that is left over.
    views = draw(3, 7, 4), draw(3, 7, 4, seed=1)
    torch.compiler.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    for found, expected in zip(value_and_gradients(compiled, *views), value_and_gradients(loss, *views), strict=True):
        torch.testing.assert_close(found, expected)
