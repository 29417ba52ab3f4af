from functools import partial

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.identity import identities, identity
from medcl.errors import UsageError
from tests.contrast import loops
from tests.contrast.compare import assert_same, draw, value_and_gradients

IDS = torch.tensor([7, 2**60, 7, 3, 2**60, 7])


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("shape", [(6, 4, 3), (6, 5)])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_the_loss_and_its_gradient_equal_the_loops(shape: tuple[int, ...], temperature: float, diagonal: bool) -> None:
    assert_same(
        partial(identity, ids=IDS, temperature=temperature, diagonal=diagonal),
        partial(loops.identity, ids=IDS, temperature=temperature, diagonal=diagonal),
        draw(*shape),
        draw(*shape, seed=1),
    )


@pytest.mark.parametrize("shape", [(6, 3, 2), (6, 3)])
def test_gradcheck(shape: tuple[int, ...]) -> None:
    z1, z2 = draw(*shape).requires_grad_(), draw(*shape, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(partial(identity, ids=IDS), (z1, z2))


def test_several_levels_at_once_are_the_same_as_one_by_one() -> None:
    z1, z2 = draw(6, 4, 3), draw(6, 4, 3, seed=1)
    levels = {"patient": IDS, "trial": torch.arange(6) // 2}
    together = identities(z1, z2, levels)
    assert set(together) == set(levels)
    for level, ids in levels.items():
        torch.testing.assert_close(together[level], identity(z1, z2, ids))


@pytest.mark.parametrize("diagonal", [False, True])
def test_only_equality_of_ids_matters(diagonal: bool) -> None:
    z1, z2 = draw(6, 4, 3), draw(6, 4, 3, seed=1)
    renamed = torch.tensor([-1, 0, -1, 2**62, 0, -1])
    loss = identity(z1, z2, IDS, diagonal=diagonal)
    assert torch.equal(identity(z1, z2, renamed, diagonal=diagonal), loss)


def test_ids_that_are_equal_as_floats_are_kept_apart() -> None:
    z1, z2 = draw(2, 4, 3), draw(2, 4, 3, seed=1)
    assert identity(z1, z2, torch.tensor([2**60, 2**60 + 1])) == 0
    with pytest.raises(TypeError, match="integers"):
        identity(z1, z2, torch.tensor([1.0, 1.0]))


def test_the_views_can_be_exchanged() -> None:
    z1, z2 = draw(6, 4, 3), draw(6, 4, 3, seed=1)
    torch.testing.assert_close(identity(z2, z1, IDS), identity(z1, z2, IDS))


@pytest.mark.parametrize("diagonal", [False, True])
def test_the_order_of_the_batch_does_not_matter_but_within_an_id(diagonal: bool) -> None:
    """Of two samples that share an id the earlier one is the anchor, in both terms."""
    z1, z2 = draw(6, 4, 3), draw(6, 4, 3, seed=1)
    loss = partial(identity, diagonal=diagonal)
    sorted_by_id, turned = IDS.argsort(stable=True), torch.arange(5, -1, -1)
    value, gradient, _ = value_and_gradients(partial(loss, ids=IDS), z1, z2)
    moved, moved_gradient, _ = value_and_gradients(
        partial(loss, ids=IDS[sorted_by_id]), z1[sorted_by_id], z2[sorted_by_id]
    )
    torch.testing.assert_close(moved, value)
    torch.testing.assert_close(moved_gradient, gradient[sorted_by_id])
    assert not torch.isclose(loss(z1[turned], z2[turned], IDS[turned]), value)


def test_rescaling_a_feature_of_a_sample_changes_nothing() -> None:
    z1, z2 = draw(6, 4, 3), draw(6, 4, 3, seed=1)
    loss = identity(z1, z2, IDS)
    torch.testing.assert_close(identity(z1 * draw(6, 1, 3, seed=2).exp(), z2, IDS), loss)
    torch.testing.assert_close(identity(z1[:, [2, 0, 3, 1]], z2[:, [2, 0, 3, 1]], IDS), loss)


@pytest.mark.parametrize("batch", [1, 4])
def test_without_a_pair_the_loss_and_its_gradient_are_0(batch: int) -> None:
    z1, z2 = draw(batch, 4, 3), draw(batch, 4, 3, seed=1)
    value, *gradients = value_and_gradients(partial(identity, ids=torch.arange(batch)), z1, z2)
    assert value == 0
    assert all(torch.equal(gradient, torch.zeros_like(z1)) for gradient in gradients)


def test_without_a_pair_the_diagonal_is_what_remains() -> None:
    z1, z2, ids = draw(4, 5, 3), draw(4, 5, 3, seed=1), torch.arange(4)
    assert_same(
        partial(identity, ids=ids, diagonal=True),
        partial(loops.identity, ids=ids, temperature=0.1, diagonal=True),
        z1,
        z2,
    )


def test_identical_rows_cost_the_logarithm_of_the_batch() -> None:
    z = torch.ones(4, 5, 3)
    value, gradient, _ = value_and_gradients(partial(identity, ids=torch.zeros(4, dtype=torch.int64)), z, z)
    torch.testing.assert_close(value, torch.tensor(4.0).log())
    torch.testing.assert_close(gradient, torch.zeros_like(z), atol=1e-6, rtol=0)


def test_features_that_are_0_throughout_are_left_out_with_a_gradient_of_0() -> None:
    z1, z2 = draw(6, 4, 3), draw(6, 4, 3, seed=1)
    dead = [torch.cat([z, torch.zeros(6, 4, 2, dtype=z.dtype)], dim=2) for z in (z1, z2)]
    loss = partial(identity, ids=IDS)
    value, gradient, _ = value_and_gradients(loss, z1, z2)
    value_dead, gradient_dead, _ = value_and_gradients(loss, *dead)
    torch.testing.assert_close(value_dead, value)
    torch.testing.assert_close(gradient_dead[:, :, :3], gradient)
    assert torch.equal(gradient_dead[:, :, 3:], torch.zeros(6, 4, 2, dtype=z1.dtype))


@pytest.mark.parametrize("scale", [0.0, 1e-4, 1e4])
@pytest.mark.parametrize("shape", [(6, 1, 3), (6, 9, 3), (6, 3)])
def test_embeddings_of_any_length_stay_finite_in_float32(shape: tuple[int, ...], scale: float) -> None:
    z1, z2 = draw(*shape, scale=scale).float(), draw(*shape, seed=1, scale=scale).float()
    for value in value_and_gradients(partial(identity, ids=IDS, temperature=0.01), z1, z2):
        assert torch.isfinite(value).all()


def test_autocast_computes_in_float32_forwards_and_backwards() -> None:
    z1, z2 = draw(6, 8, 16).float(), draw(6, 8, 16, seed=1).float()
    loss = partial(identity, ids=IDS)
    expected = value_and_gradients(loss, z1, z2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = value_and_gradients(loss, z1, z2)
        half = identity(z1.bfloat16(), z2.bfloat16(), IDS)
    for got, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(got, wanted)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, expected[0], rtol=0.02, atol=0.02)


def test_what_does_not_fit_is_refused() -> None:
    z: Tensor = draw(6, 4, 3)
    with pytest.raises(UsageError, match=r"of one shape"):
        identity(z, z[:5], IDS)
    with pytest.raises(UsageError, match=r"ids must be of shape \(6,\)"):
        identities(z, z, {"trial": IDS[:5]})
    with pytest.raises(UsageError, match="temperature"):
        identity(z, z, IDS, temperature=0.0)
