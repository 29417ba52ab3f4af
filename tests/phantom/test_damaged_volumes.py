import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from medcl.phantom.damaged_volumes import write_damaged_ct, write_damaged_mr


def test_each_series_is_damaged_in_its_own_way(tmp_path):
    folders = write_damaged_ct(tmp_path, seed=0)
    assert [folder.name for folder in folders] == [
        "empty",
        "letter",
        "no_pixels",
        "no_position",
        "truncated",
        "two_sizes",
    ]
    files = {folder.name: sorted(folder.iterdir()) for folder in folders}
    assert {len(paths) for paths in files.values()} == {4}
    for name in ("empty", "letter"):
        for path in files[name]:
            with pytest.raises(InvalidDicomError):
                dcmread(path)
    assert not any("PixelData" in dcmread(path) for path in files["no_pixels"])
    assert not any("ImagePositionPatient" in dcmread(path) for path in files["no_position"])
    for path in files["truncated"]:
        with pytest.raises((ValueError, EOFError)):
            assert dcmread(path).pixel_array.size
    assert [dcmread(path).pixel_array.shape for path in files["two_sizes"]] == [(16, 16)] * 3 + [(8, 16)]
    readable = [path for name in ("no_pixels", "no_position", "two_sizes") for path in files[name]]
    assert len({dcmread(path).SeriesInstanceUID for path in readable}) == 3


def test_each_nifti_is_damaged_in_its_own_way(tmp_path):
    files = {path.name: path for path in write_damaged_mr(tmp_path, seed=0)}
    assert sorted(files) == ["empty.nii", "flat.nii", "letter.nii", "short.nii", "truncated.nii.gz"]
    for name in ("empty.nii", "letter.nii"):
        with pytest.raises(nib.filebasedimages.ImageFileError):
            nib.load(files[name])
    for name in ("short.nii", "truncated.nii.gz"):
        with pytest.raises((EOFError, OSError, ValueError)):
            nib.load(files[name]).get_fdata()
    assert np.linalg.matrix_rank(nib.load(files["flat.nii"]).affine[:3, :3]) == 2
