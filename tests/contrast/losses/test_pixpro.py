"""PixPro against loops over every pair of cells, in float64."""

import math

import pytest
import torch

from medcl.contrast.losses.pixpro import pixpro, propagate, same_place
from medcl.errors import UsageError


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def maps(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("sharpness", [1.0, 2.0])
def test_a_cell_is_smoothed_by_those_like_it(sharpness: float) -> None:
    x, g = maps(0, 2, 5, 3), maps(1, 2, 5, 4)
    got = propagate(x, g, sharpness=sharpness)
    for n in range(2):
        for i in range(5):
            expected = sum(max(cosine(x[n, i], x[n, j]), 0.0) ** sharpness * g[n, j] for j in range(5))
            torch.testing.assert_close(got[n, i], expected)


def test_the_same_place_is_less_than_a_share_of_the_larger_cell_away() -> None:
    a, b = 10 * maps(2, 3, 4, 3).abs(), 10 * maps(3, 3, 6, 3).abs()
    of_a, of_b = torch.tensor([2.0, 8.0, 20.0]), torch.tensor([4.0, 1.0, 3.0])
    got = same_place(a, b, of_a, of_b, within=0.7)
    for n in range(3):
        for i in range(4):
            for j in range(6):
                away = math.dist(a[n, i].tolist(), b[n, j].tolist())
                assert bool(got[n, i, j]) == (away < 0.7 * max(float(of_a[n]), float(of_b[n])))
    assert got.any()
    assert not got.all()


def test_the_loss_is_the_mean_over_images_of_the_mean_over_their_pairs() -> None:
    y, x = maps(4, 3, 4, 5), maps(5, 3, 6, 5)
    positive = maps(6, 3, 4, 6) > 0.5
    positive[1] = False
    of_images = []
    for n in (0, 2):
        pairs = [-cosine(y[n, i], x[n, j]) for i in range(4) for j in range(6) if positive[n, i, j]]
        of_images.append(sum(pairs) / len(pairs))
    assert float(pixpro(y, x, positive)) == pytest.approx(sum(of_images) / 2, abs=1e-12)


def test_cells_that_agree_have_the_least_loss_and_no_pairs_no_gradient() -> None:
    y = maps(7, 2, 4, 3).requires_grad_()
    itself = torch.eye(4, dtype=torch.bool).expand(2, 4, 4)
    assert float(pixpro(3 * y.detach(), y.detach(), itself)) == pytest.approx(-1)
    loss = pixpro(y, y.detach(), torch.zeros(2, 4, 4, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert y.grad is not None
    assert not y.grad.any()


def test_what_does_not_fit_is_refused() -> None:
    y = maps(8, 2, 4, 3)
    with pytest.raises(UsageError, match="pairs must be bool"):
        pixpro(y, y, torch.ones(2, 4, 3, dtype=torch.bool))
    with pytest.raises(UsageError, match="cells must be"):
        propagate(y, y[:, :3])
    with pytest.raises(UsageError, match="sharpness"):
        propagate(y, y, sharpness=0.0)
    with pytest.raises(UsageError, match="more than 0"):
        same_place(y, y, torch.ones(2), torch.ones(2), within=0.0)
