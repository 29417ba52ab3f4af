import nibabel as nib
import numpy as np
import pytest

from medcl.phantom.anatomy import grid_affine
from medcl.phantom.scan_files import write_nifti

SHAPE = (6, 5, 4)
VOXELS = np.arange(120, dtype=np.float32).reshape(SHAPE) - 30


@pytest.mark.parametrize("orientation", ["RAS", "LAS", "LPS", "PIR"])
def test_a_voxel_stays_where_it_is_whatever_the_order_of_the_axes(tmp_path, orientation):
    affine = grid_affine(SHAPE, (2, 3, 4))
    write_nifti(tmp_path / "x.nii.gz", VOXELS, affine, orientation=orientation)
    image = nib.load(tmp_path / "x.nii.gz")
    assert "".join(nib.aff2axcodes(image.affine)) == orientation
    assert image.get_data_dtype() == np.int16
    assert image.header.get_xyzt_units() == ("mm", "sec")
    np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-5)
    back = nib.as_closest_canonical(image)
    np.testing.assert_allclose(back.affine, affine, atol=1e-5)
    np.testing.assert_array_equal(back.get_fdata(), VOXELS)


def test_a_sheared_grid_is_kept_in_the_sform_alone(tmp_path):
    affine = grid_affine(SHAPE, (2, 3, 4), tilt=15)
    write_nifti(tmp_path / "x.nii", VOXELS, affine)
    image = nib.load(tmp_path / "x.nii")
    np.testing.assert_allclose(image.affine, affine, atol=1e-5)
    assert int(image.header["qform_code"]) == 0


def test_label_maps_stay_bytes_and_files_are_the_same_each_time(tmp_path):
    labels = VOXELS.clip(0, 8).astype(np.uint8)
    for name in ("a", "b"):
        write_nifti(tmp_path / name / "x.nii.gz", labels, np.eye(4))
    assert nib.load(tmp_path / "a" / "x.nii.gz").get_data_dtype() == np.uint8
    assert (tmp_path / "a" / "x.nii.gz").read_bytes() == (tmp_path / "b" / "x.nii.gz").read_bytes()
