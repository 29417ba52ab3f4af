"""Thumbnails: the right way up, in the right window and scale, small, and without a name."""

import io
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.modality.report import LETTERS
from medcl.modality.signal import thumbnail as strips
from medcl.modality.signal.record import Signal
from medcl.modality.volume import thumbnail as slices
from medcl.modality.volume.record import Grid, Volume
from medcl.show.images import LINE, TILE, contact_sheet
from medcl.show.thumbnails import thumbnail, thumbnails


def opened(png: bytes | Image.Image) -> np.ndarray:
    image = Image.open(io.BytesIO(png)) if isinstance(png, bytes) else png
    return np.asarray(image.convert("RGB")).astype(int)


def signal_of(data: np.ndarray, rate: float, channels: tuple[str, ...], unit: str) -> Signal:
    n = len(data)
    return Signal(data.astype(np.float32), rate, channels, (unit,) * n, np.ones(n), np.zeros(n))


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Two patients, 20 x 40 x 10 voxels of 2 x 1 x 3 mm: a bright block at the patient's right front."""
    folder = tmp_path_factory.mktemp("volumes")
    data = np.random.default_rng(0).integers(80, 120, (20, 40, 10)).astype(np.int16)
    data[:2] = 0
    data[14:18, 30:38, 5] = 900
    for name in ("a", "b"):
        nib.save(nib.Nifti1Image(data, np.diag([2.0, 1.0, 3.0, 1.0])), folder / f"{name}.nii.gz")
    build_manifest(ScanRequest(folder=folder, output=folder / "m.parquet", jobs=1, patient_per_record=True))
    return Manifest.read(folder / "m.parquet")


def test_a_slice_has_the_patients_right_on_the_left_and_the_shape_of_the_body(volumes: Manifest) -> None:
    shown = thumbnail(volumes, 0, 5, width=80)
    image = opened(shown.png)
    # 20 voxels of 2 mm are as long as 40 of 1 mm.
    assert image.shape[:2] == (80, 80)
    rows, columns = np.nonzero(image[..., 0] > 240)
    assert rows.mean() < 30, "the front is at the top"
    assert columns.mean() < 30, "the right of the patient is on the left"
    assert (shown.label, shown.ends) == ("axial slice 5 (0 to 9)", ("R", "L"))
    assert shown.width == 40, "20 voxels of 2 mm"
    assert shown.scale == (20, 0.5)
    sagittal = thumbnail(volumes, 0, 15, axis=0, width=80)
    assert (sagittal.label, sagittal.ends) == ("sagittal slice 15 (0 to 19)", ("A", "P"))
    side = opened(sagittal.png)
    assert side.shape[:2] == (60, 80), "10 slices of 3 mm beside 40 of 1 mm"
    assert len(shown.png) < 5000


def test_all_slices_of_a_record_are_read_in_one_go(volumes: Manifest) -> None:
    wanted = [(1, 5), (0, 0), (1, 0), (0, 5)]
    several = thumbnails(volumes, wanted)
    assert [one.png for one in several] == [thumbnail(volumes, *one).png for one in wanted]
    assert several[0] == several[3]


def test_what_has_gone_is_a_placeholder_that_says_so(volumes: Manifest) -> None:
    gone = volumes.with_column("path", pa.array(["a.nii.gz", "secret_name.nii.gz"]))
    gone = gone.with_column("files", pa.array([["a.nii.gz"], ["secret_name.nii.gz"]]))
    first, second, third = thumbnails(gone, [(0, 5), (1, 5), (0, 99)])
    assert not first.missing
    assert "cannot be read" in second.missing or "No such file" in second.missing
    assert "secret" not in second.missing
    assert third.missing == "no slice 99: the volume has 10"
    assert opened(second.png).std() > 0


def test_ct_is_shown_in_a_window_of_hu_and_mr_between_percentiles() -> None:
    grid = Grid((8, 8, 8), np.eye(4))
    data = np.full((1, 8, 8, 8), 40, dtype=np.int16)
    data[0, 0], data[0, 1] = -1000, 1500
    volume = Volume(data, grid, grid, "HU")
    grey, _ = slices.slice_image(volume, 4, 2, slices.window_of(volume, "ct"))
    assert (grey[0, 0], grey[0, -1], grey[0, -2]) == (127, 0, 255)
    # Of an MR the background that was cut out does not count.
    values = np.zeros((1, 8, 8, 8), dtype=np.float32)
    values[0, 4:] = np.linspace(100, 200, 256).reshape(4, 8, 8)
    low, high = slices.window_of(Volume(values, grid, grid, "stored"), "mr")
    assert 99 < low < 103
    assert 198 < high < 201
    flat = Volume(np.ones((1, 8, 8, 8), dtype=np.float32), grid, grid, "stored")
    slices.slice_image(flat, None, 2, slices.window_of(flat, "mr"))


def test_an_eeg_is_shown_as_a_bipolar_montage() -> None:
    names = ("EEG Fp1-REF", "EEG F7-REF", "EEG T3-REF", "EEG T5-REF", "EEG O1-REF")
    data = np.arange(5)[:, None] * np.ones((5, 512))
    rows, values = strips.montage(signal_of(data, 256, names, "uV"))
    assert rows == ["FP1-F7", "F7-T7", "T7-P7", "P7-O1"]
    assert np.all(values == -1)
    assert strips.montage(signal_of(data, 256, ("a", "b", "c", "d", "e"), "V"))[1][1, 0] == 1e6
    assert opened(strips.montage_strip(signal_of(data, 256, names, "uV"), 0.0, 300)).shape[1] == 300


def test_thinning_keeps_every_spike() -> None:
    values = np.zeros(100_000)
    values[12_345], values[77_777] = 5, -5
    places, thin = strips.thinned(values, 300)
    assert len(thin) <= 600
    assert (thin.max(), thin.min()) == (5, -5)
    assert np.all(np.diff(places) >= 0)


def test_recordings_and_reports_of_an_archive(ecg_manifest: Manifest, tmp_path: Path) -> None:
    shown = thumbnails(ecg_manifest, [(0, None), (0, 2), (1, None)])
    assert all(one.kind == "signal" and not one.missing and len(one.png) < 8000 for one in shown)
    assert shown[0].png != shown[1].png
    text = pa.array(["<b>Sinus</b>  rhythm. " + "x" * 1000] * len(ecg_manifest))
    reports = ecg_manifest.with_column("modality", pa.array(["report"] * len(ecg_manifest)))
    one = thumbnail(reports.with_column("report", text), 0)
    assert (one.kind, one.png, one.uri) == ("report", b"", "")
    assert one.text.startswith("<b>Sinus</b> rhythm. x")
    assert len(one.text) == LETTERS
    assert all(one.large for one in thumbnails(ecg_manifest, [(0, None)], enlarged=True)), "all leads"
    assert not shown[0].large
    empty = thumbnail(reports.with_column("report", pa.nulls(len(reports), pa.string())), 0)
    assert "no text" in empty.missing


def test_a_contact_sheet_shows_as_many_as_there_are(volumes: Manifest) -> None:
    images = [thumbnail(volumes, 0, number).png for number in range(7)]
    sheet = opened(contact_sheet(images, [(f"{number}", "x" * 80) for number in range(7)]))
    assert sheet.shape[1] > 5 * TILE
    assert 2 * TILE < sheet.shape[0] < 3 * TILE
    contact_sheet([], [])
    headed = opened(contact_sheet(images, [("",)] * 7, ["Nearest to: rec 5", "How to read it. " * 20]))
    plain = opened(contact_sheet(images, [("",)] * 7))
    added = len(headed) - len(plain)
    assert added > 3 * LINE, "a long line goes on below"
    assert (headed[:added] < 128).any(), "and is written"
    assert (headed[added:] == plain).all(), "above the images, which stay as they are"
