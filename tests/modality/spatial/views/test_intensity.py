"""Views of values: each against numpy on one sample at a time."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.spatial.views.intensity import Blur, Brightness, Clip, Contrast, Gamma, Noise
from medcl.modality.views import View

both = pytest.mark.parametrize("shape", [(40, 2, 12, 15), (40, 2, 8, 9, 7)], ids=["image", "volume"])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(shape: tuple[int, ...]) -> Tensor:
    return torch.rand(shape, generator=seeded(1))


@both
def test_brightness_adds_one_constant_to_a_sample(shape: tuple[int, ...]) -> None:
    x, view = batch(shape), Brightness(0.3)
    shift = (view.apply(x, view.draw(x, seeded())) - x).flatten(1)
    assert shift.std(dim=1).max() < 1e-6
    assert -0.3001 <= shift.min() < -0.25
    assert 0.25 < shift.max() <= 0.3001


@both
def test_contrast_stretches_around_the_mean_of_a_channel(shape: tuple[int, ...]) -> None:
    x, view = batch(shape), Contrast((0.7, 1.3))
    params = view.draw(x, seeded())
    for image, factor, y in zip(x, params["factor"], view.apply(x, params), strict=True):
        expected = [(channel - channel.mean()) * factor + channel.mean() for channel in image]
        torch.testing.assert_close(y, torch.stack(expected))
    assert 0.7 <= params["factor"].min() < 0.75
    assert 1.25 < params["factor"].max() <= 1.3


@both
def test_gamma_bends_the_window_and_leaves_the_rest(shape: tuple[int, ...]) -> None:
    x, view = batch(shape) * 600 - 100, Gamma((0.5, 2), window=(0, 400))
    params = view.draw(x, seeded())
    for image, power, y in zip(x, params["power"], view.apply(x, params), strict=True):
        inside = (image > 0) & (image < 400)
        torch.testing.assert_close(y[inside], 400 * (image[inside] / 400) ** power)
        assert torch.equal(y[~inside], image[~inside])
    assert 0.5 <= params["power"].min() < 0.6
    assert 1.7 < params["power"].max() <= 2
    assert abs(params["power"].log().mean()) < 0.3, "darker as often as brighter"


def test_gamma_keeps_gradients_finite_at_black() -> None:
    x = torch.zeros(1, 1, 3, 3, requires_grad=True)
    Gamma((0.5, 0.5)).apply(x, {"power": torch.tensor([0.5])}).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@both
def test_noise_stays_below_its_largest_deviation(shape: tuple[int, ...]) -> None:
    x, view = batch(shape), Noise(0.5)
    deviation = (view.apply(x, view.draw(x, seeded())) - x).flatten(1).std(dim=1)
    assert deviation.max() < 0.55
    assert deviation.std() > 0.05, "each sample has its own"


@both
def test_blur_is_that_of_scipy_normalised_at_the_border(shape: tuple[int, ...]) -> None:
    x = batch(shape)
    spacing = np.array((0.5, 1.0, 2.0)[: x.ndim - 2])
    view = Blur((0.3, 2), spacing=tuple(spacing))
    params = view.draw(x, seeded())
    for image, sigma, y in zip(x, params["sigma"].tolist(), view.apply(x, params), strict=True):
        for channel, blurred in zip(image.double().numpy(), y.numpy(), strict=True):
            options = {"sigma": sigma / spacing, "mode": "constant", "radius": 20}
            weight = ndimage.gaussian_filter(np.ones_like(channel), **options)
            np.testing.assert_allclose(blurred, ndimage.gaussian_filter(channel, **options) / weight, atol=1e-5)


def test_clip_cuts_the_values() -> None:
    x = torch.tensor([-1.0, 0.5, 2.0]).reshape(1, 1, 1, 3)
    assert Clip((0, 1.5)).apply(x, {}).flatten().tolist() == [0, 0.5, 1.5]


NEUTRAL = [Brightness(0), Contrast((1, 1)), Gamma((1, 1)), Noise(0), Blur((0, 0)), Clip((0, 1))]
NEVER = [Brightness(1, 0), Contrast((2, 3), 0), Gamma((2, 3), probability=0), Noise(1, 0), Blur((1, 2), 0)]


@both
@pytest.mark.parametrize("view", NEUTRAL + NEVER, ids=lambda view: view.name)
def test_neutral_settings_leave_the_batch(view: View, shape: tuple[int, ...]) -> None:
    x = batch(shape)
    torch.testing.assert_close(view.apply(x, view.draw(x, seeded())), x, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "view", [Brightness(1), Contrast((0.5, 2)), Gamma((0.5, 2)), Blur((1, 2))], ids=lambda v: v.name
)
def test_an_image_is_a_volume_of_depth_one(view: View) -> None:
    x = batch((4, 2, 9, 11))
    params = view.draw(x, seeded())
    torch.testing.assert_close(view.apply(x.unsqueeze(-1), params).squeeze(-1), view.apply(x, params))


def test_a_view_comes_with_its_probability() -> None:
    x = batch((400, 1, 2, 2))
    for view in (Brightness(1, 0.3), Contrast((2, 3), 0.3), Gamma((2, 3), probability=0.3), Noise(1, 0.3)):
        changed = (view.apply(x, view.draw(x, seeded())) != x).flatten(1).any(dim=1)
        assert changed.float().mean() == pytest.approx(0.3, abs=0.07)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Brightness(-0.1), "brightness lies between 0 and inf, got -0.1"),
        (lambda: Contrast((1.3, 0.7)), "contrast is a range from low to high, got 1.3 to 0.7"),
        (lambda: Gamma((0, 1)), "gamma lies between 0.05 and 20, got 0"),
        (lambda: Gamma((1, 2), window=(1, 1)), "gamma window goes from low to high, got 1 to 1"),
        (lambda: Noise(1, 1.5), "noise probability"),
        (lambda: Blur((0, 1), spacing=(1, -1)), "one positive length"),
        (lambda: Clip((1, 0)), "clip goes from low to high"),
        (lambda: Blur((0, 1)).apply(torch.rand(2, 3, 4), {"sigma": torch.ones(2)}), r"shape \(2, 3, 4\)"),
    ],
)
def test_what_cannot_be_done_is_refused(make: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()  # type: ignore[operator]
