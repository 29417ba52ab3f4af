"""What holds for every view of images and volumes, and the presets."""

import io
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.spatial.config import CHAITANYA_GLOBAL, CHAITANYA_LOCAL, ImageViewsConfig
from medcl.modality.spatial.views import build, geometry
from medcl.modality.views import View

ALL = ImageViewsConfig(
    crop_side=(0.5, 0.9),
    crop_depth=(0.7, 1),
    flip=0.5,
    flip_axes=(0, 1),
    rotate90=0.5,
    rotation=20,
    tilt=10,
    scale=(0.8, 1.2),
    shear=5,
    translation=0.1,
    elastic=1,
    contrast=(0.7, 1.3),
    brightness=0.3,
    gamma=(0.7, 1.5),
    blur=(0.1, 1),
    noise=0.1,
    clip=(0.0, 1.0),
    shuffle=0.5,
    shuffle_side=0.3,
    inpainting=2,
    cutout=2,
)
VIEWS = (*build(ALL).views, *geometry(ALL).views)
every_view = pytest.mark.parametrize("view", VIEWS, ids=[view.name for view in VIEWS])
both = pytest.mark.parametrize("shape", [(8, 2, 16, 16), (8, 2, 12, 12, 6)], ids=["image", "volume"])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(shape: tuple[int, ...]) -> Tensor:
    return torch.rand(shape, generator=seeded(1)) * 1.2 - 0.1


def reloaded(params: dict[str, Tensor]) -> dict[str, Tensor]:
    file = io.BytesIO()
    torch.save(params, file)
    file.seek(0)
    loaded: dict[str, Tensor] = torch.load(file, weights_only=True)
    return loaded


@both
@every_view
def test_a_view_is_replayed_from_its_saved_parameters(view: View, shape: tuple[int, ...]) -> None:
    x = batch(shape)
    before = x.clone()
    params = view.draw(x, seeded())
    y = view.apply(x, params)
    assert y.shape == x.shape
    assert not torch.equal(y, x), "the view changes the batch"
    assert torch.equal(x, before), "but not in place"
    assert all(len(value) == len(x) for value in params.values()), "each sample has parameters of its own"
    torch.rand(7)
    assert torch.equal(view.apply(x, reloaded(params)), y)
    assert torch.equal(view.apply(x, view.draw(x, seeded())), y), "the generator is the only source of randomness"
    if params:
        assert not torch.equal(view.apply(x, view.draw(x, seeded(1))), y)
        same = x[:1].expand_as(x)
        assert len(view.apply(same, params).unique(dim=0)) > 1, "and gets a view of its own"


@both
@every_view
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_type_of_the_batch_is_kept(view: View, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = batch(shape)
    params = view.draw(x, seeded())
    y = view.apply(x.to(dtype), params)
    assert y.dtype == dtype
    bound = 2e-5 if dtype == torch.float64 else 0.1
    assert (y.float() - view.apply(x, params)).abs().max() < bound


@both
@every_view
def test_mixed_precision_training_does_not_coarsen_a_view(view: View, shape: tuple[int, ...]) -> None:
    x = batch(shape)
    params = view.draw(x, seeded())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = view.apply(x, params)
    torch.testing.assert_close(y, view.apply(x, params))


@both
@every_view
def test_gradients_reach_the_batch(view: View, shape: tuple[int, ...]) -> None:
    x = batch(shape).requires_grad_()
    view.apply(x, view.draw(x, seeded())).square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert (x.grad != 0).flatten(1).any(dim=1).all()


@every_view
@pytest.mark.parametrize("space", [(1, 1), (2, 2), (1, 1, 1), (3, 3, 1)])
def test_very_small_images_stay_finite(view: View, space: tuple[int, ...]) -> None:
    x = batch((4, 1, *space))
    y = view.apply(x, view.draw(x, seeded()))
    assert y.shape == x.shape
    assert y.isfinite().all()


@both
@every_view
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_seed_gives_the_same_views_on_every_device(view: View, shape: tuple[int, ...]) -> None:
    x = batch(shape)
    y = view.apply(x, view.draw(x, seeded()))
    on_gpu = view.apply(x.cuda(), view.draw(x.cuda(), seeded()))
    assert on_gpu.is_cuda
    torch.testing.assert_close(on_gpu.cpu(), y, rtol=0, atol=1e-4)


@every_view
def test_parameters_lie_on_the_device_of_the_batch(view: View) -> None:
    x = torch.zeros(4, 1, 8, 8, device="meta")
    assert all(value.device == x.device for value in view.draw(x, seeded()).values())


@both
def test_all_together_replay_and_move_labels_along(shape: tuple[int, ...]) -> None:
    x = batch(shape)
    views = build(ALL)
    params = views.draw(x, seeded())
    assert torch.equal(views.apply(x, reloaded(params)), views.apply(x, params))
    own = {key.removeprefix("geometry."): value for key, value in params.items() if key.startswith("geometry.")}
    labels = geometry(ALL).labels((x > 0.5).long(), own)
    assert labels.shape == x.shape
    assert set(labels.unique().tolist()) <= {0, 1}


def test_nothing_switched_on_gives_the_batch_itself() -> None:
    x = batch((2, 1, 8, 8))
    assert build(ImageViewsConfig()).apply(x, build(ImageViewsConfig()).draw(x, seeded())) is x


def test_the_presets_of_chaitanya() -> None:
    x = batch((300, 1, 32, 32))
    local = build(CHAITANYA_LOCAL)
    assert [view.name for view in local.views] == ["contrast", "brightness", "clip"]
    params = build(CHAITANYA_GLOBAL).draw(x, seeded())
    start, size = (params[f"geometry.resized_crop.{name}"] * 192 for name in ("start", "size"))
    torch.testing.assert_close(size, torch.full((300, 2), 100.0))
    assert 10 <= start.min() < 11
    assert 69 < start.max() <= 70.001
    y = build(CHAITANYA_GLOBAL).apply(x * 2, params)
    assert y.min() == 0
    assert y.max() == 1.5


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (replace(ALL, crop_side=(0.5, 1.5)), "crop_side lies between 0.01 and 1, got 1.5"),
        (replace(ALL, noise=-1), "noise"),
        (replace(ALL, elastic_points=1), "two points"),
        (replace(ALL, padding="wrap"), "'wrap'"),  # type: ignore[arg-type]
    ],
)
def test_settings_out_of_range_are_refused(config: ImageViewsConfig, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(config)
