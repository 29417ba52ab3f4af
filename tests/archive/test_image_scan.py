"""ImageSamples in an archive: found by content, each a row, beside volumes that stay what they were."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from medcl.archive.manifest import Manifest
from medcl.archive.masks import MaskRule
from medcl.archive.scan import scan, summary
from medcl.data.prepare import prepare
from medcl.errors import UsageError
from medcl.modality.formats import read_image
from medcl.modality.image.config import ImageConfig
from medcl.modality.image.samples import ImageSamples
from medcl.modality.volume.config import VolumeConfig
from tests.modality.dicom import dicom_files
from tests.modality.dicom.pydicom_files import pydicom_file

SALT = b"the salt of the tests"


def _pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def _scan(folder: Path, **options: Any) -> Manifest:
    return scan(folder, salt=SALT, jobs=1, **options)


def test_jpeg_and_png_are_found_by_content(tmp_path: Path) -> None:
    PillowImage.fromarray(_pixels(30, 40)).save(tmp_path / "p1_a.jpg")
    PillowImage.fromarray(_pixels(20, 10, 3)).save(tmp_path / "p1_b", "PNG")
    PillowImage.fromarray(_pixels(9, 9).astype(np.uint16)).save(tmp_path / "p2_c.png")
    manifest = _scan(tmp_path, id_pattern=r"(?P<patient>p\d+)_", modality="xray", public_ids=True)
    assert manifest.column("record_id").tolist() == ["p1_a", "p1_b", "p2_c"]
    assert manifest.column("status").tolist() == ["ok"] * 3
    assert manifest.column("format").tolist() == ["jpeg", "png", "png"]
    assert set(manifest.column("modality")) == {"xray"}
    assert set(manifest.kinds) == {"image"}
    assert manifest.column("shape").tolist() == [[30, 40], [20, 10], [9, 9]]
    assert manifest.column("n_channels").tolist() == [1, 3, 1]
    assert manifest.column("dtype").tolist() == ["uint8", "uint8", "uint16"]
    assert manifest.column("part").tolist() == [0, 0, 0]
    patient = manifest.column("patient").tolist()
    assert patient[0] == patient[1] != patient[2]
    assert len(set(manifest.column("trial"))) == 3


def test_without_a_pattern_the_patient_is_unknown(tmp_path: Path) -> None:
    PillowImage.fromarray(_pixels(5, 5)).save(tmp_path / "a.png")
    manifest = _scan(tmp_path)
    assert manifest.column("patient").tolist() == [-1]
    assert manifest.column("modality").tolist() == ["image"]


def test_what_is_broken_is_quarantined_with_the_reason(tmp_path: Path) -> None:
    PillowImage.fromarray(_pixels(60, 60)).save(tmp_path / "cut.jpg")
    PillowImage.fromarray(_pixels(60, 60)).save(tmp_path / "cut.png")
    for name in ("cut.jpg", "cut.png"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:900])
    (tmp_path / "text.jpg").write_text("no acute findings")
    (tmp_path / "empty.png").touch()
    (tmp_path / "head.jpg").write_bytes(b"\xff\xd8\xff" + bytes(100) + b"\xff\xd9")
    status = dict(zip(*map(_scan(tmp_path).column, ("path", "status")), strict=True))
    assert status["cut.jpg"] == "truncated file: the end of its JPEG image is missing"
    assert status["cut.png"] == "truncated file: the end of its PNG image is missing"
    assert status["text.jpg"] == "not what its name says: the content is not that of a .jpg file"
    assert status["empty.png"] == "empty file"
    assert status["head.jpg"].startswith("damaged")


def test_label_maps_of_a_rule_are_no_images(tmp_path: Path) -> None:
    PillowImage.fromarray(_pixels(5, 5)).save(tmp_path / "a.png")
    PillowImage.fromarray(_pixels(5, 5)).save(tmp_path / "a_mask.png")
    rule = MaskRule("{stem}_mask.png", ("background", "lesion"))
    assert _scan(tmp_path, masks=rule).column("path").tolist() == ["a.png"]


def test_radiographs_have_the_codes_of_their_study(tmp_path: Path) -> None:
    dicom_files.radiograph(tmp_path / "a.dcm", 0, ImageType=["DERIVED", "PRIMARY"], AcquisitionDate="20240131")
    dicom_files.radiograph(tmp_path / "b.dcm", 1, AcquisitionDate="20240210", BurnedInAnnotation="YES")
    dicom_files.radiograph(tmp_path / "c.dcm", 2, Modality="MG", PhotometricInterpretation="MONOCHROME1")
    dicom_files.radiograph(tmp_path / "d.dcm", 3, Modality="CR", SeriesInstanceUID="1.2.3.5.0")
    manifest = _scan(tmp_path)
    assert manifest.column("status").tolist() == ["ok"] * 4
    assert manifest.column("modality").tolist() == ["xray", "xray", "mg", "xray"]
    assert set(manifest.column("format")) == {"dicom-image"}
    assert manifest.column("shape").tolist() == [[4, 6]] * 4
    assert len(set(manifest.column("patient"))) == len(set(manifest.column("study"))) == 1
    series = manifest.column("series").tolist()
    assert series[0] == series[3]
    assert len(set(series)) == 3
    assert len(set(manifest.column("trial"))) == len(set(manifest.column("record_id"))) == 4
    assert manifest.column("days").tolist() == [0, 10, 0, 0]
    assert [list(flags) for flags in manifest.column("flags")] == [[], ["burned-in annotation"], [], []]
    assert "secret" not in str(manifest.table.to_pylist())


def test_each_frame_is_a_row(tmp_path: Path) -> None:
    shutil.copy(pydicom_file("examples_ybr_color.dcm"), tmp_path / "a.dcm")
    manifest = _scan(tmp_path)
    assert manifest.column("part").tolist() == list(range(30))
    assert set(manifest.column("modality")) == {"us"}
    assert len(set(manifest.column("record_id"))) == len(set(manifest.column("trial"))) == 30
    assert set(manifest.column("n_channels")) == {3}
    config = ImageConfig(size=(240, 320), colour=True)
    images = ImageSamples(prepare(manifest, config, tmp_path / "store", jobs=1), manifest, config)
    shown = images.__getitems__([17])["x"][0].numpy() * 255
    np.testing.assert_allclose(shown, read_image(tmp_path / "a.dcm", "dicom-image", 17).data, atol=1e-3)


def test_what_was_a_volume_stays_one_and_lost_places_make_no_images(tmp_path: Path) -> None:
    for folder in ("ct", "lost"):
        (tmp_path / folder).mkdir()
    dicom_files.series(tmp_path / "ct")
    lost = {"ImagePositionPatient": None, "SeriesInstanceUID": "1.2.9"}
    dicom_files.series(tmp_path / "lost", **lost)
    dicom_files.write(tmp_path / "shot.dcm", 9, **{**lost, "SeriesInstanceUID": "1.2.10"})
    dicom_files.write(tmp_path / "dose.dcm", 9, Modality="RTDOSE", SeriesInstanceUID="1.2.11")
    manifest = _scan(tmp_path)
    rows = {row["path"]: row for row in manifest.table.to_pylist()}
    assert rows["ct/0.dcm"]["format"] == "dicom"
    assert rows["ct/0.dcm"]["shape"] == [6, 4, 5]
    assert "not slices of a volume" in next(row["status"] for path, row in rows.items() if path.startswith("lost"))
    assert (rows["shot.dcm"]["format"], rows["shot.dcm"]["modality"]) == ("dicom-image", "ct")
    assert rows["dose.dcm"]["status"].startswith("modality RTDOSE")
    with_volumes = prepare(manifest, VolumeConfig(size=(4, 4, 4)), tmp_path / "s", jobs=1)
    assert with_volumes.record_ids.tolist() == [rows["ct/0.dcm"]["record_id"]]
    with pytest.raises(UsageError, match="for volumes .*holds ct: "):
        prepare(manifest.of_kind("image"), VolumeConfig(), tmp_path / "s")


def test_a_second_scan_opens_nothing_again(tmp_path: Path) -> None:
    for number in range(3):
        dicom_files.radiograph(tmp_path / f"{number}.dcm", number)
    dicom_files.radiograph(tmp_path / "copy.dcm", 0)
    shutil.copy(pydicom_file("examples_ybr_color.dcm"), tmp_path / "us.dcm")
    PillowImage.fromarray(_pixels(5, 5)).save(tmp_path / "a.png")
    first = _scan(tmp_path)
    assert first.metadata["scan"]["reused"] == 0
    again = _scan(tmp_path, previous=first)
    assert again.metadata["scan"]["reused"] == len(first) == 34
    assert again.table.equals(first.table)
    dicom_files.radiograph(tmp_path / "new.dcm", 7, SeriesInstanceUID="1.2.3.5.1")
    grown = _scan(tmp_path, previous=again)
    assert len(grown) == 35
    assert grown.metadata["scan"]["reused"] == 33


def test_the_summary_counts_images(tmp_path: Path) -> None:
    PillowImage.fromarray(_pixels(30, 40)).save(tmp_path / "a.jpg")
    PillowImage.fromarray(_pixels(20, 10, 3)).save(tmp_path / "b.png")
    told = str(summary(_scan(tmp_path)))
    assert "images         2 (1 grey, 1 colour) in 2 files, 2 studies" in told
    assert "30 x 40: 1, 20 x 10: 1; sides of 10 to 40" in told
    assert "hours" not in told
    assert "volumes" not in told
