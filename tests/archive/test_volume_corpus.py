"""The files that nibabel tests itself with, scanned as an archive: none is refused that is whole, and values agree."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medcl.archive.manifest import Manifest
from medcl.archive.scan import scan
from medcl.modality.formats import read_volume

DATA = Path(nib.__file__).parent / "tests" / "data"
REFUSED = {
    "analyze.hdr": "the file of its voxels (.img) is not next to it",
    "nifti1.hdr": "the file of its voxels (.img) is not next to it",
    "nifti2.hdr": "the file of its voxels (.img) is not next to it",
    "row_major.dconn.nii": "6 axes",  # CIFTI: a matrix of connections, no volume
    "bad_attribute+orig.HEAD": "AFNI",
    "bad_datatype+orig.HEAD": "AFNI",
    "example4d+orig.HEAD": "AFNI",
    "scaled+tlrc.HEAD": "AFNI",
    "tinypet.v": "ECAT",
    "0.dcm": "a mosaic",
}
"""Of which not everything is there, or which is no volume, or in a format that is named and not read."""


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    if not DATA.is_dir():
        pytest.skip("nibabel is installed without the files of its tests")
    folder = tmp_path_factory.mktemp("nibabel") / "data"
    shutil.copytree(DATA, folder, ignore=shutil.ignore_patterns("*.py", "*.m", "__pycache__"))
    return scan(folder, salt=b"the salt of the tests", jobs=1)


def test_no_whole_file_is_refused(scanned: Manifest) -> None:
    status = dict(zip(scanned.column("path"), scanned.column("status"), strict=True))
    wrong = {}
    for path, reason in status.items():
        named = "MINC" if path.endswith(".mnc") else "Philips" if path.endswith(".PAR") else REFUSED.get(path, "ok")
        if not reason.startswith(named):
            wrong[path] = reason
    assert wrong == {}
    assert sum(reason == "ok" for reason in status.values()) >= 8
    assert REFUSED.keys() <= status.keys()


def test_values_and_places_are_those_of_nibabel(scanned: Manifest) -> None:
    volumes = scanned.ok().of_kind("volume")
    volumes = volumes.select(volumes.column("format") != "dicom")
    assert {"nifti", "mgh"} <= set(volumes.column("format"))
    for path, form in zip(volumes.column("path"), volumes.column("format"), strict=True):
        image = nib.load(scanned.root / path)
        volume = read_volume(scanned.root / path, form, nan="zero")
        reference = nib.as_closest_canonical(image)
        expected = reference.get_fdata().reshape(*reference.shape[:3], -1)
        np.testing.assert_allclose(volume.data, np.nan_to_num(np.moveaxis(expected, -1, 0)), rtol=1e-6, err_msg=path)
        np.testing.assert_allclose(volume.grid.affine, reference.affine, atol=1e-5, err_msg=path)
