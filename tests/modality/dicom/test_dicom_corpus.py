"""The real files that pydicom carries for its own tests: what it opens is read, with its values and without a name."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.data
import pytest
from pydicom.uid import JPEG2000, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, JPEGLSNearLossless, RLELossless

from medcl.archive.manifest import Manifest
from medcl.archive.scan import scan
from medcl.modality.dicom.pixels import read_frames
from medcl.modality.formats import identify, read_image, read_signal
from medcl.modality.rows import Source
from medcl.modality.signal.config import Stated
from medcl.modality.volume.original import read_original

ROOT = Path(pydicom.data.__file__).parent
REFUSED = {
    "liver_1frame.dcm": "its header states 1 frame and the places of 3",
    "liver_expb_1frame.dcm": "as above",
    "rtdose.dcm": "a dose, no image",
    "rtdose_1frame.dcm": "as above",
}
"""What pydicom opens and a scan refuses, by the first file of the series, and why."""


@pytest.fixture(scope="module")
def files() -> dict[Path, Any]:
    """Each DICOM file with its data set as pydicom reads it, before the pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paths = [path for path in sorted(ROOT.rglob("*")) if path.is_file() and identify(path) == "dicom"]
        return {path: pydicom.dcmread(path, force=True) for path in paths}


@pytest.fixture(scope="module")
def pixels(files: dict[Path, Any]) -> dict[Path, np.ndarray]:
    """Those of the first frame, where pydicom reads them."""
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path, dataset in files.items():
            try:
                dataset.pixel_array_options(index=0)
                found[path] = dataset.pixel_array
            except Exception:  # noqa: PERF203 -- no image, or none that pydicom reads
                continue
    return found


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return scan(ROOT, salt=b"the salt of the tests", jobs=1)


def test_the_numbers_are_those_of_pydicom(files: dict[Path, Any], pixels: dict[Path, np.ndarray]) -> None:
    read = 0
    for path, expected in pixels.items():
        if path.name in REFUSED:
            continue
        dataset = files[path]
        _, claims, frames = read_frames(path, 0)
        np.testing.assert_array_equal(frames[0], expected, err_msg=path.name)
        if claims.photometric == "MONOCHROME2" and dataset.get("Modality") not in ("RTDOSE", "SEG"):
            slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
            shown = read_image(path, "dicom-image").data[0]
            np.testing.assert_allclose(shown, expected.astype(np.float64) * slope + intercept, rtol=1e-6)
        read += 1
    assert read > 60
    syntaxes = {files[path].file_meta.get("TransferSyntaxUID") for path in pixels}
    assert syntaxes >= {DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, JPEG2000, JPEGLSNearLossless, RLELossless}


def test_no_file_that_pydicom_opens_is_quarantined(manifest: Manifest, pixels: dict[Path, np.ndarray]) -> None:
    fine = ("ok", "localizer", "derived image")
    rows = [row for row in manifest.table.to_pylist() if ROOT / row["path"] in pixels]
    assert {Path(row["path"]).name for row in rows if row["status"] not in fine} == set(REFUSED)


def test_what_a_scan_calls_ok_can_be_decoded(manifest: Manifest) -> None:
    rows = manifest.ok().table.to_pylist()
    for row in rows:
        if row["format"] == "dicom":
            source = Source(ROOT, row["path"], tuple(row["files"]), row["format"], row, Stated())
            assert list(read_original(source)[0].data.shape[1:]) == row["shape"]
        elif row["format"] == "dicom-waveform":
            assert read_signal(ROOT / row["path"], row["format"]).data.shape == (row["n_channels"], row["n_samples"])
        else:
            assert list(read_image(ROOT / row["path"], row["format"], row["part"]).data.shape[1:]) == row["shape"]
    assert len(rows) > 60


def test_no_name_is_in_the_manifest(manifest: Manifest, files: dict[Path, Any], tmp_path: Path) -> None:
    """Of any of the character sets: neither whole nor a part of it; no id, date of birth and uid."""
    manifest.write(tmp_path / "m.parquet")
    kept = (tmp_path / "m.parquet").read_bytes() + str(manifest.table.to_pylist()).encode()
    values = set()
    for dataset in files.values():
        for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            values.add(str(dataset.get(keyword) or ""))
        values |= {str(part) for part in getattr(dataset.get("PatientName"), "components", ())}
    # What stands in the name of a folder is shown as such; digits alone may be a part of any number.
    paths = str([path.relative_to(ROOT) for path in files])
    clear = {value for value in values if len(value) > 4 and value not in paths and not value.isdigit()}
    assert len(clear) > 50
    assert [value for value in clear if value.encode() in kept] == []
