from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor

from medcl.contrast.core.gather import Group
from medcl.contrast.losses.info_nce import info_nce_views
from medcl.contrast.losses.regions import local, nearby
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.loops import mean
from tests.contrast.processes import across
from tests.contrast.similarities.test_late import unit

SOME = torch.tensor([[1, 2], [0, 3], [3, 0], [2, 2]])


def reference(z1: Tensor, z2: Tensor, *, negatives: list[list[int]], temperature: float) -> Tensor:
    def e(x: Tensor, y: Tensor) -> Tensor:
        return torch.exp(unit(x) @ unit(y) / temperature)

    terms = []
    for a, b in (*zip(z1, z2, strict=True), *zip(z2, z1, strict=True)):
        for r in range(len(a)):
            below = e(a[r], b[r]) + sum(e(a[r], a[n]) + e(a[r], b[n]) for n in set(negatives[r]))
            terms.append(-torch.log(e(a[r], b[r]) / below))
    return mean(terms)


@pytest.mark.parametrize("block", [None, 1, 2])
@pytest.mark.parametrize("given", [True, False])
def test_the_loss_and_its_gradient_equal_the_loops(given: bool, block: int | None) -> None:
    negatives = SOME.tolist() if given else [[n for n in range(4) if n != r] for r in range(4)]
    assert_same(
        partial(local, negatives=SOME if given else "others", temperature=0.3, block=block),
        partial(reference, negatives=negatives, temperature=0.3),
        draw(3, 4, 2),
        draw(3, 4, 2, seed=1),
    )


def with_elsewhere(z1: Tensor, z2: Tensor, *, negatives: list[list[int]], places: list[int]) -> Tensor:
    def e(x: Tensor, y: Tensor) -> Tensor:
        return torch.exp(unit(x) @ unit(y) / 0.3)

    terms = []
    for a, b in ((z1, z2), (z2, z1)):
        for i, r in product(range(len(a)), range(a.shape[1])):
            positive = e(a[i, r], b[i, r])
            below = positive + sum(e(a[i, r], a[i, n]) + e(a[i, r], b[i, n]) for n in set(negatives[r]))
            for j in range(len(a)):
                if places[j] != places[i]:
                    below = below + e(a[i, r], a[j, r]) + e(a[i, r], b[j, r])
            terms.append(-torch.log(positive / below))
    return mean(terms)


@pytest.mark.parametrize("places", [[0, 1, 0, 2], [3, 3, 3, 3]])
@pytest.mark.parametrize("block", [None, 3])
def test_the_same_region_of_images_of_other_places_is_a_negative(places: list[int], block: int | None) -> None:
    assert_same(
        partial(local, negatives=SOME, temperature=0.3, places=torch.tensor(places), block=block),
        partial(with_elsewhere, negatives=SOME.tolist(), places=places),
        draw(4, 4, 2),
        draw(4, 4, 2, seed=1),
    )


def test_images_of_other_places_in_two_processes() -> None:
    z1, z2, places = draw(6, 4, 2), draw(6, 4, 2, seed=1), torch.tensor([0, 1, 2, 2, 1, 0])
    whole = value_and_gradients(partial(local, negatives=SOME, places=places), z1, z2)
    parts = across(2, _on_one_of_two, z1, z2, places)
    torch.testing.assert_close(torch.stack([part[0] for part in parts]).mean(), whole[0])
    for view in (1, 2):
        # Gradients of processes are averaged.
        torch.testing.assert_close(torch.cat([part[view] for part in parts]) / 2, whole[view])


def _on_one_of_two(rank: int, group: Group, *whole: Tensor) -> tuple[Tensor, ...]:
    z1, z2, places = (one.chunk(2)[rank] for one in whole)
    return value_and_gradients(partial(local, negatives=SOME, places=places, group=group), z1, z2)


def test_gradcheck() -> None:
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    views = (draw(2, 4, 2).requires_grad_(), draw(2, 4, 2, seed=1).requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b, t: local(a, b, SOME, temperature=t), (*views, temperature))


def test_for_one_image_with_all_regions_it_is_nt_xent_of_the_regions() -> None:
    z1, z2 = draw(1, 5, 3), draw(1, 5, 3, seed=1)
    torch.testing.assert_close(local(z1, z2), info_nce_views(z1[0], z2[0], torch.arange(5)))


def test_images_are_not_compared_with_each_other() -> None:
    z1, z2 = draw(3, 4, 2), draw(3, 4, 2, seed=1)
    alone = torch.stack([local(z1[i : i + 1], z2[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(local(z1, z2), alone.mean())


def test_one_region_has_nothing_to_be_told_from() -> None:
    loss = value_and_gradients(local, draw(3, 1, 2), draw(3, 1, 2, seed=1))
    torch.testing.assert_close(loss[0], torch.zeros_like(loss[0]))
    assert all(found.isfinite().all() for found in loss)


def test_the_nearest_regions_of_a_grid() -> None:
    grid = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    assert nearby(grid, 4)[4].tolist() == [1, 3, 5, 7]
    assert nearby(grid, 2)[0].tolist() == [1, 3]
    assert not (nearby(grid) == torch.arange(9)[:, None]).any()


def test_what_does_not_fit_is_refused() -> None:
    z = draw(2, 4, 3)
    with pytest.raises(UsageError, match="regions must be"):
        local(z, z[:, :2])
    with pytest.raises(UsageError, match="negatives must be indices"):
        local(z, z, SOME[:2])
    with pytest.raises(UsageError, match="'others'"):
        local(z, z, "nearby")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="above 0"):
        local(z, z, temperature=0.0)
    with pytest.raises(UsageError, match="one temperature"):
        local(z, z, temperature=torch.ones(2))
    with pytest.raises(UsageError, match="nearest"):
        nearby(torch.zeros(3, 2), 3)
