from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest

from medcl.errors import UnreadableError, UsageError
from medcl.modality.volume.record import Grid, Volume

EVERY_ORIENTATION = ["".join(c) for order in permutations(("RL", "AP", "SI")) for c in product(*order)]


def grid_of(orientation: str, shape: tuple[int, int, int] = (3, 4, 5)) -> Grid:
    affine = nib.orientations.inv_ornt_aff(
        nib.orientations.ornt_transform(
            nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(orientation)
        ),
        shape,
    )
    return Grid(shape, affine @ np.diag([1.5, 2.0, 3.0, 1.0]))


@pytest.mark.parametrize("orientation", EVERY_ORIENTATION)
def test_a_volume_is_in_ras_and_comes_back(orientation: str) -> None:
    """As nibabel turns it: the same voxel is at the same place in the patient."""
    stored = grid_of(orientation)
    data = np.random.default_rng(0).integers(-100, 100, (2, 3, 4, 5)).astype(np.int16)
    volume = Volume.of(data, stored, "HU")
    assert stored.orientation == orientation
    assert volume.grid.orientation == "RAS"
    assert volume.data.dtype == np.int16
    reference = nib.as_closest_canonical(nib.Nifti1Image(data[0], stored.affine))
    np.testing.assert_array_equal(volume.data[0], np.asarray(reference.dataobj))
    np.testing.assert_allclose(volume.grid.affine, reference.affine)
    np.testing.assert_array_equal(volume.as_stored(volume.data[1]), data[1])


def test_spacing_is_that_of_the_axes() -> None:
    np.testing.assert_allclose(grid_of("RAS").spacing, [1.5, 2, 3])
    oblique = Grid((2, 2, 2), nib.affines.from_matvec(np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) * [1, 2, 3]))
    np.testing.assert_allclose(oblique.spacing, [1, 2, 3])


@pytest.mark.parametrize(
    ("shape", "affine", "reason"),
    [
        ((2, 0, 2), np.eye(4), "without voxels"),
        ((2, 2, 2), np.diag([1.0, 0.0, 1.0, 1.0]), "zero spacing"),
        ((2, 2, 2), np.diag([1e-9, 1e-9, 1e-9, 1.0]), "is the unit mm"),
        ((2, 2, 2), np.diag([1.0, np.nan, 1.0, 1.0]), "finite"),
        ((2, 2, 2), np.array([[1.0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]]), "one plane"),
    ],
)
def test_geometry_that_cannot_be_is_refused(shape: tuple[int, int, int], affine: np.ndarray, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        Grid(shape, affine)


def test_voxels_that_are_no_number_and_masks_of_another_shape_are_refused() -> None:
    data = np.zeros((1, 3, 4, 5), np.float32)
    volume = Volume.of(data, grid_of("LPS"), "stored")
    with pytest.raises(UsageError, match="does not fit"):
        volume.as_stored(np.zeros((3, 4, 6)))
    data[0, 1, 2, 3] = np.nan
    with pytest.raises(UnreadableError, match="1 of 60 voxels"):
        Volume.of(data, grid_of("LPS"), "stored")
