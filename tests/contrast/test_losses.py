"""Every loss against the loops of `reference`, in value and gradient, and by what must not change it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from medcl.contrast import hierarchical as pyramid
from medcl.contrast.identity import identities
from medcl.contrast.info_nce import info_nce, info_nce_views
from medcl.contrast.pairs import same

from . import reference

IDS = [4, 9, 4, 7, 9, 4]


def views(B: int = 6, T: int = 9, K: int = 3, scale: float = 1.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(2, B, T, K, generator=generator, dtype=torch.float64) * scale
    return z[0].requires_grad_(), z[1].requires_grad_()


def gradients(loss: Tensor, *inputs: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, inputs, retain_graph=True))


def agree(ours: Callable[..., Tensor], slow: Callable[..., Tensor], z1: Tensor, z2: Tensor) -> None:
    a, b = ours(z1, z2), slow(z1, z2)
    torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10)
    for mine, expected in zip(gradients(a, z1, z2), gradients(b, z1, z2), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("B", "T"), [(6, 9), (1, 5), (4, 1), (3, 2), (2, 16)])
def test_observation_and_sample_are_their_formulas(B: int, T: int) -> None:
    z1, z2 = views(B, T)
    agree(pyramid.observation, reference.observation, z1, z2)
    agree(pyramid.sample, reference.sample, z1, z2)


@pytest.mark.parametrize("T", [1, 2, 3, 8, 11])
@pytest.mark.parametrize("level", ["sample", "observation"])
def test_the_pyramid_is_its_formula(level: str, T: int) -> None:
    z1, z2 = views(4, T)
    agree(
        lambda a, b: pyramid.hierarchical(a, b)[level] * 1.0,
        lambda a, b: reference.hierarchical(a, b)[level],
        z1,
        z2,
    )


def test_each_level_alone_is_as_in_company() -> None:
    z1, z2 = views()
    together = pyramid.hierarchical(z1, z2)
    for level, loss in together.items():
        torch.testing.assert_close(pyramid.hierarchical(z1, z2, levels=[level])[level], loss)


@pytest.mark.parametrize("ids", [IDS, [1, 2, 3, 4, 5, 6], [0] * 6, [1, 1, 2, 3, 4, 5]])
def test_identity_is_its_formula(ids: list[int]) -> None:
    z1, z2 = views()
    codes = torch.tensor(ids)
    agree(
        lambda a, b: identities(a, b, {"trial": codes}, temperature=0.3)["trial"],
        lambda a, b: reference.identity(a, b, ids, 0.3),
        z1,
        z2,
    )


def test_info_nce_is_its_formula() -> None:
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randn(n, 4, generator=generator, dtype=torch.float64).requires_grad_() for n in (6, 5))
    positives = torch.rand(6, 5, generator=generator) < 0.4
    positives[2] = False
    exclude = torch.rand(6, 5, generator=generator) < 0.2
    agree(
        lambda x, y: info_nce(x, y, positives, temperature=0.2, exclude=exclude),
        lambda x, y: reference.info_nce(x, y, positives, exclude, 0.2),
        a,
        b,
    )


def test_two_views_of_a_batch_are_all_positives_of_one_id() -> None:
    z1, z2 = (z[:, 0].detach().requires_grad_() for z in views())
    ids = torch.tensor(IDS)
    both = torch.cat([ids, ids])
    agree(
        lambda a, b: info_nce_views(a, b, ids, temperature=0.2),
        lambda a, b: reference.info_nce(
            torch.cat([a, b]), torch.cat([a, b]), same(both, both), torch.eye(12, dtype=torch.bool), 0.2
        ),
        z1,
        z2,
    )


def every(z1: Tensor, z2: Tensor, ids: Tensor) -> dict[str, Tensor]:
    pooled = (z1.amax(dim=1), z2.amax(dim=1))
    return {
        **pyramid.hierarchical(z1, z2),
        **identities(z1, z2, {"trial": ids}),
        "pooled": info_nce_views(*pooled, ids),
    }


def test_the_order_of_the_batch_and_the_names_of_the_ids_do_not_matter() -> None:
    z1, z2 = views()
    ids = torch.tensor(IDS)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    plain, permuted = every(z1, z2, ids), every(z1[order], z2[order], ids[order])
    for name in plain.keys() - {"trial"}:
        torch.testing.assert_close(plain[name], permuted[name])
    renamed = every(z1, z2, ids * 10**15 + 3)
    for name, loss in plain.items():
        torch.testing.assert_close(renamed[name], loss)


@pytest.mark.parametrize("scale", [1e-3, 30.0, 1e4])
def test_large_and_small_embeddings_give_numbers(scale: float) -> None:
    z1, z2 = (z.detach().float().requires_grad_() for z in views(scale=scale))
    for loss in every(z1, z2, torch.tensor(IDS)).values():
        assert torch.isfinite(loss)
        assert all(torch.isfinite(grad).all() for grad in gradients(loss, z1, z2))


def test_identical_rows_and_lonely_ones_give_numbers() -> None:
    z = torch.ones(4, 8, 3, requires_grad=True)
    for loss in every(z, z * 1.0, torch.tensor([1, 1, 2, 3])).values():
        assert torch.isfinite(loss)
        assert torch.isfinite(torch.autograd.grad(loss, z, retain_graph=True)[0]).all()
    one = torch.randn(1, 8, 3, requires_grad=True)
    lonely = every(one, one * 1.0, torch.tensor([5]))
    assert lonely["trial"] == 0
    assert lonely["sample"] == 0


def test_half_precision_is_computed_in_float32() -> None:
    z1, z2 = (z.detach().float().requires_grad_() for z in views())
    ids = torch.tensor(IDS)
    exact = every(z1, z2, ids)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = every(z1, z2, ids)
    for name, loss in mixed.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, exact[name], rtol=1e-5, atol=1e-5)


def test_ids_that_are_not_integers_are_refused() -> None:
    with pytest.raises((ValueError, TypeError), match="int"):
        same(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0]))
