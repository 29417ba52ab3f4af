"""Views in space: each against scipy or torch on one sample at a time, alone and in a chain."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.spatial.views import space
from medcl.modality.spatial.views.affine import Affine, Elastic, ResizedCrop, linear_map
from medcl.modality.spatial.views.space import Flip, Geometry, Rotate90, SpatialView, centres
from tests.modality.spatial.views.images import IMAGE, VOLUME, batch, both, read, same, seeded


@both
def test_flip_mirrors_the_axes_drawn(shape: tuple[int, ...]) -> None:
    x, view = batch(shape), Flip((0, 1))
    params = view.draw(x, seeded(3))
    assert params["flip"].any()
    assert not params["flip"][:, 2:].any(), "only the axes that were asked for"
    for image, flip, y in zip(x, params["flip"], view.apply(x, params), strict=True):
        same(y, image.flip([axis + 1 for axis in range(len(flip)) if flip[axis]]))


@pytest.mark.parametrize("shape", [(16, 2, 9, 9), (16, 1, 8, 8, 5)])
def test_rotate90_turns_the_plane_as_torch_does(shape: tuple[int, ...]) -> None:
    x, view = batch(shape), Rotate90(0.6)
    params = view.draw(x, seeded())
    assert set(params["turns"].tolist()) == {0, 1, 2, 3}
    for image, turns, y in zip(x, params["turns"], view.apply(x, params), strict=True):
        same(y, torch.rot90(image, int(turns), dims=(1, 2)))
    quarter = {**Affine().draw(x, seeded()), "rotation": torch.full((16,), 90.0)}
    same(Affine().apply(x, quarter), view.apply(x, {"turns": torch.ones(16, dtype=torch.int64)}))


@both
def test_affine_is_that_of_scipy_in_millimetres(shape: tuple[int, ...]) -> None:
    x = batch(shape)
    spacing = np.array((1.5, 0.8, 3.0)[: x.ndim - 2])
    view = Affine(30, 20, (0.7, 1.4), 15, 0.2, spacing=tuple(spacing))
    params = view.draw(x, seeded())
    size = np.array(shape[2:])
    for index, (image, y) in enumerate(zip(x, view.apply(x, params), strict=True)):
        forward = np.diag(1 / spacing) @ linear_map(params)[index].double().numpy() @ np.diag(spacing)
        back, middle = np.linalg.inv(forward), (size - 1) / 2
        offset = middle - back @ (middle + params["translation"][index].numpy() * size)
        channels = [ndimage.affine_transform(c, back, offset, order=1, mode="nearest") for c in image.double().numpy()]
        same(y, torch.from_numpy(np.stack(channels)).float())


def test_affine_turns_by_its_angle_and_scales_up() -> None:
    x = torch.zeros(2, 1, 21, 21)
    x[:, :, 10, 10], x[:, :, 14, 10] = 1, 2
    params = Affine().draw(x, seeded())
    turned = Affine().apply(x, {**params, "rotation": torch.full((2,), 90.0)})
    assert turned[0, 0, 10, 14] == pytest.approx(2, abs=1e-4), "from the first axis to the second"
    larger = Affine().apply(x, {**params, "scale": torch.full((2,), 2.0)})
    assert larger[0, 0, 18, 10] == pytest.approx(2, abs=1e-4)
    moved = Affine().apply(x, {**params, "translation": torch.tensor([[2 / 21, -3 / 21]] * 2)})
    assert moved[0, 0, 12, 7] == pytest.approx(1, abs=1e-4)


@both
@pytest.mark.parametrize("points", [2, 3, 5])
def test_elastic_displaces_along_the_cubic_spline_of_scipy(shape: tuple[int, ...], points: int) -> None:
    x, view = batch(shape), Elastic(1.5, points)
    params = view.draw(x, seeded())
    voxels = np.stack(np.meshgrid(*map(np.arange, shape[2:]), indexing="ij")).astype(float)
    knots = voxels / (np.array(shape[2:]) - 1).reshape(-1, *(1,) * (x.ndim - 2)) * (points - 1)
    for image, field, y in zip(x, params["displacement"].double().numpy(), view.apply(x, params), strict=True):
        moves = [ndimage.map_coordinates(field[..., axis], knots, order=3, mode="mirror") for axis in range(x.ndim - 2)]
        same(y, read(image, voxels + np.stack(moves)))


@both
def test_a_chain_is_its_views_one_after_the_other(shape: tuple[int, ...]) -> None:
    x = batch(shape)
    smooth = centres(x).movedim(-1, 1).mul(3).cos()
    views = (ResizedCrop((0.8, 0.9)), Flip((0,)), Affine(10, 5, translation=0.02), Elastic(0.3))
    chain = Geometry(views)
    params = chain.draw(smooth, seeded())
    y = smooth
    for view in views:
        own = {key.split(".")[1]: value for key, value in params.items() if key.startswith(f"{view.name}.")}
        y = view.apply(y, own)
    inner = (slice(None), slice(None), *(slice(n // 4, -(n // 4)) for n in shape[2:]))
    same(chain.apply(smooth, params)[inner], y[inner], 0.02)
    assert len(params) > 4
    assert (y - smooth)[inner].abs().max() > 0.3


def test_a_chain_interpolates_the_batch_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    read_grid = space.grid_sample

    def counted(values: Tensor, *args: Tensor, **options: object) -> Tensor:
        reads.append(values.shape)
        return read_grid(values, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(space, "grid_sample", counted)
    chain = Geometry((ResizedCrop((0.5, 0.8)), Flip((0,)), Affine(30), Elastic(1)))
    x = batch(VOLUME)
    chain.apply(x, chain.draw(x, seeded()))
    assert reads.count(x.shape) == 1


def test_labels_move_with_the_image_and_stay_labels() -> None:
    chain = Geometry((ResizedCrop((0.5, 0.8)), Affine(30), Elastic(1)))
    x = torch.zeros(4, 1, 32, 32)
    x[:, :, 8:24, 8:24] = 1
    labels = (x * 7).to(torch.uint8)
    params = chain.draw(x, seeded())
    moved = chain.labels(labels, params)
    assert moved.dtype == torch.uint8
    assert set(moved.unique().tolist()) == {0, 7}
    assert ((moved == 7) == (chain.apply(x, params) > 0.5)).float().mean() > 0.97


def test_what_lies_outside_is_as_asked() -> None:
    x = batch((2, 1, 9, 9)) + 1
    params = {f"affine.{key}": value for key, value in Affine().draw(x, seeded()).items()}
    params["affine.translation"] = torch.full((2, 2), 3 / 9)
    border, zeros = (Geometry((Affine(),), padding).apply(x, params) for padding in ("border", "zeros"))  # type: ignore[arg-type]
    assert (zeros[:, :, :2] == 0).all()
    same(border[:, :, 0, 3:], x[:, :, 0, :-3])
    same(border[:, :, 3:, 3:], x[:, :, :-3, :-3])


NEUTRAL = [Flip((0,), 0), Rotate90(0), Affine(), Elastic(0), ResizedCrop((1, 1)), Affine(30, probability=0)]


@pytest.mark.parametrize("view", NEUTRAL, ids=lambda view: view.name)
@pytest.mark.parametrize("shape", [(3, 2, 9, 9), (3, 2, 6, 6, 5)])
def test_neutral_settings_leave_the_batch(view: SpatialView, shape: tuple[int, ...]) -> None:
    x = batch(shape)
    same(view.apply(x, view.draw(x, seeded())), x, 1e-4)


def test_an_image_is_a_volume_of_depth_one() -> None:
    views = (ResizedCrop((0.5, 0.8)), Flip((0, 1)), Rotate90(1), Affine(20, scale=(0.8, 1.2), shear=10), Elastic(1))
    x = batch((5, 2, 16, 16))
    deep = x.unsqueeze(-1)
    flat, thick = Geometry(views).draw(x, seeded()), Geometry(views).draw(deep, seeded())
    for name in ("resized_crop.start", "resized_crop.size", "flip.flip", "affine.translation"):
        thick[name][:, :2] = flat[name]
    for name in ("rotate90.turns", "affine.rotation", "affine.scale"):
        thick[name] = flat[name]
    thick["affine.shear"] = torch.nn.functional.pad(flat["affine.shear"], (0, 2))
    thick["affine.tilt"] *= 0
    thick["elastic.displacement"] = torch.nn.functional.pad(flat["elastic.displacement"], (0, 1)).unsqueeze(3)
    thick["elastic.displacement"] = thick["elastic.displacement"].expand(-1, -1, -1, 3, -1)
    same(Geometry(views).apply(deep, thick).squeeze(-1), Geometry(views).apply(x, flat), 1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Affine(rotation=200), "rotation lies between 0 and 180, got 200"),
        (lambda: Affine(scale=(1.2, 0.8)), "scale is a range from low to high, got 1.2 to 0.8"),
        (lambda: Affine(spacing=(1, 0)), "one positive length"),
        (lambda: Elastic(1, 1), "at least two points"),
        (lambda: ResizedCrop((0, 1)), "crop_side lies between 0.01 and 1, got 0"),
        (lambda: ResizedCrop((0.5, 1), margin=(0.5, 0.5)), "no room"),
        (lambda: Rotate90(2), "rotate90"),
        (lambda: Geometry((Affine(), Affine())), "more than one of: affine"),
        (lambda: Geometry((), "wrap"), "'wrap'"),  # type: ignore[arg-type]
        (lambda: Flip((2,)).draw(batch(IMAGE), seeded()), "among 0 to 1"),
        (lambda: Affine(spacing=(1, 1, 1)).apply(batch(IMAGE), Affine().draw(batch(IMAGE), seeded())), "2 axes"),
        (lambda: Rotate90(1).apply(batch(IMAGE), {"turns": torch.ones(6)}), "square plane, got 20 x 24"),
        (lambda: Elastic(1).draw(torch.rand(2, 3, 4), seeded()), r"shape \(2, 3, 4\)"),
    ],
)
def test_what_cannot_be_done_is_refused(make: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()  # type: ignore[operator]
