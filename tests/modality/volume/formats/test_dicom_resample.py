from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from medcl.errors import UnreadableError
from medcl.modality.dicom.slice import read_slices
from medcl.modality.dicom.stacks import Stack, stacks_of
from medcl.modality.volume.formats.dicom import AIR, read_regular, read_volume
from medcl.modality.volume.record import Volume
from medcl.phantom.anatomy import grid_affine
from medcl.phantom.ct import Scan
from medcl.phantom.person import Person, Study
from medcl.phantom.scan_files import DicomSeries, write_series
from tests.modality.dicom.dicom_files import pixels_of, series

SHAPE, SPACING = (20, 24, 12), (2.0, 2.0, 5.0)
STUDY = Study(Person("1", "Nobody^Nora", date(1950, 1, 1), "F"), date(2020, 1, 1), "120000", "A1", "resample")


def plane(x: np.ndarray) -> np.ndarray:
    """A linear function of (..., 3) mm in RAS+, of about 300 to 2700."""
    return x @ (11.0, -13.0, 17.0) + 1500


def centres(volume: Volume) -> np.ndarray:
    index = np.moveaxis(np.indices(volume.grid.shape), 0, -1)
    return index @ volume.grid.affine[:3, :3].T + volume.grid.affine[:3, 3]


def written(folder: Path, tilt: float = 0.0, missing: tuple[int, ...] = (), values: Callable = plane) -> Stack:
    """A series of the phantom, of MR so that its numbers are its own."""
    affine = grid_affine(SHAPE, SPACING, tilt)
    index = np.moveaxis(np.indices(SHAPE), 0, -1)
    scan = Scan(
        np.rint(values(index @ affine[:3, :3].T + affine[:3, 3])).astype(np.float32), np.zeros(SHAPE, np.uint8), affine
    )
    paths = write_series(folder, scan, STUDY, DicomSeries("MR", 1, "Plane", "Delta", missing=missing))
    (stack,) = stacks_of([one for path in paths for one in read_slices(path, folder)])
    return stack


@pytest.mark.parametrize(("tilt", "missing"), [(0.0, ()), (15.0, ()), (-12.0, (4, 5)), (0.0, (7,))])
def test_a_linear_function_of_space_is_the_same_on_the_regular_grid(
    tmp_path: Path, tilt: float, missing: tuple[int, ...]
) -> None:
    volume = read_regular(written(tmp_path, tilt, missing), tmp_path)
    assert volume.grid.orientation == "RAS"
    assert volume.data.dtype == np.int16
    axes = volume.grid.affine[:3, :3] / volume.grid.spacing
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-6)
    step = SPACING[2] * np.cos(np.radians(tilt))
    np.testing.assert_allclose(volume.grid.spacing, [*SPACING[:2], step], rtol=1e-5)
    assert volume.grid.shape[2] == SHAPE[2]
    inside = volume.data[0] != volume.data.min()
    # Each number was rounded when it was written and once more when it was read.
    np.testing.assert_allclose(volume.data[0][inside], plane(centres(volume))[inside], atol=1.1)
    if not tilt:
        assert volume.grid.shape == SHAPE
        assert inside.mean() > 0.99
    if not missing:
        assert inside.sum() >= np.prod(SHAPE) * (1 if tilt == 0 else 0.94) - 1


def test_an_even_untilted_stack_stays_as_it_is(tmp_path: Path) -> None:
    stack = stacks_of(series(tmp_path))[0]
    regular, plain = read_regular(stack, tmp_path), read_volume(stack, tmp_path)
    np.testing.assert_array_equal(regular.data, plain.data)
    np.testing.assert_allclose(regular.grid.affine, plain.grid.affine)
    (lone,) = stacks_of(series(tmp_path, 1))
    np.testing.assert_array_equal(read_regular(lone, tmp_path).data[0, ::-1, ::-1, 0].T, pixels_of(0) - 1024)


def test_tilt_alone_is_what_scipy_makes_of_the_sheared_grid(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(1000, 300, SHAPE)
    stack = written(tmp_path, 17.0, values=lambda x: noise)
    regular, plain = read_regular(stack, tmp_path), read_volume(stack, tmp_path)
    to_sheared = np.linalg.inv(plain.grid.affine) @ regular.grid.affine
    shape = regular.grid.shape
    expected = affine_transform(
        plain.data[0].astype(np.float64), to_sheared, output_shape=shape, order=1, mode="nearest"
    )
    places = np.moveaxis(np.indices(shape), 0, -1) @ to_sheared[:3, :3].T + to_sheared[:3, 3]
    inside = ((places > -1e-3) & (places < np.array(SHAPE) - 1 + 1e-3)).all(axis=-1)
    # A slice that is moved by a part of a row has one row fewer.
    assert inside.sum() == pytest.approx(np.prod(SHAPE) * 23 / 24, rel=0.01)
    np.testing.assert_allclose(regular.data[0][inside], expected[inside], atol=2)
    assert (regular.data[0][~inside] == plain.data.min()).all()


def test_uneven_slices_lie_where_their_positions_say_and_air_is_around(tmp_path: Path) -> None:
    heights = (0.0, 1.0, 2.0, 3.0, 5.5, 7.25)
    stack = stacks_of(series(tmp_path, len(heights)))[0]
    moved = [
        replace(one, position=(-10.0, -20.0 + k, z))
        for k, (one, z) in enumerate(zip(stack.slices, heights, strict=True))
    ]
    (uneven,) = stacks_of(moved)
    assert uneven.flags[-1].startswith("uneven spacing")
    volume = read_regular(uneven, tmp_path)
    # The median gap is 1 mm; planes at 0 to 7 mm; 5 mm in plane are 10 rows of 0.5 mm.
    assert volume.grid.shape == (6, 4 + 10, 8)
    np.testing.assert_allclose(volume.grid.spacing, [0.75, 0.5, 1])
    stored = volume.as_stored(volume.data[0]).T  # (planes, rows, columns)
    for k in range(4):
        np.testing.assert_array_equal(stored[k, 2 * k : 2 * k + 4], pixels_of(k) - 1024)
        assert (np.delete(stored[k], range(2 * k, 2 * k + 4), axis=0) == AIR).all()
    # 4 mm: 3 mm and 5.5 mm, of which rows overlap by two.
    expected = 0.6 * pixels_of(3)[2:] + 0.4 * pixels_of(4)[:2] - 1024
    np.testing.assert_allclose(stored[4, 8:10], expected, atol=0.51)
    assert (np.delete(stored[4], (8, 9), axis=0) == AIR).all()


def test_positions_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    stack = stacks_of(series(tmp_path))[0]
    far = [*stack.slices[:-1], replace(stack.slices[-1], position=(-10.0, -20.0, 9000.0))]
    with pytest.raises(UnreadableError, match="too far apart to be resampled"):
        read_regular(replace(stack, slices=tuple(far)), tmp_path)


def test_the_real_ct_is_straightened(real_data: Path) -> None:
    root = real_data / "dicom_ct_dcmqa_ge"
    (stack,) = stacks_of([one for path in sorted(root.glob("GE/*.dcm")) for one in read_slices(path, root)])
    volume = read_regular(stack, root)
    axes = volume.grid.affine[:3, :3] / volume.grid.spacing
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-5)
    # Planes on which a slice lies hold that slice, shifted by a part of a pixel along one axis at most.
    plain = read_volume(stack, root)
    place = np.linalg.inv(volume.grid.affine) @ plain.grid.affine @ [0, 0, 0, 1]
    x, y, z = np.round(place[:3]).astype(int)
    first = plain.data[0, :, :, 0]
    across, down = first.shape
    straight = volume.data[0, x : x + across, y : y + down, z]
    assert np.corrcoef(straight.ravel(), first[: straight.shape[0], : straight.shape[1]].ravel())[0, 1] > 0.99
    assert volume.data.min() == min(AIR, plain.data.min())
    assert volume.data.max() <= plain.data.max()
    # As much bone as before: nothing is lost and little invented.
    bone = [(one.data > 300).sum() * np.linalg.det(one.grid.affine[:3, :3]) for one in (volume, plain)]
    assert bone[0] == pytest.approx(bone[1], rel=0.15)
