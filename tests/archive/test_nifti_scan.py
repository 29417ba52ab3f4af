"""NIfTI archives as a user scans them: what becomes a row, under which ids, and what is refused with which reason."""

import gzip
import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medcl.archive.identity import code
from medcl.archive.manifest import Manifest
from medcl.archive.scan import scan, summary
from medcl.cli import main

SALT = b"the salt of the tests"


def write(
    path: Path, shape: tuple[int, ...] = (5, 6, 7), *, affine: np.ndarray | None = None, kind: type = nib.Nifti1Image
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = kind(
        np.arange(np.prod(shape), dtype=np.int16).reshape(shape), np.diag([1, 2, 3, 1]) if affine is None else affine
    )
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = b"Jane Doe"
    image.to_filename(path)
    return path


def rows(manifest: Manifest) -> dict[str, str]:
    return dict(zip(manifest.column("path"), manifest.column("status"), strict=True))


def test_geometry_and_numbers_of_a_volume_are_in_its_row(tmp_path: Path) -> None:
    turned = np.array([[0, 0, -3.0, 10], [-1, 0, 0, 20], [0, 2, 0, 30], [0, 0, 0, 1]])
    write(tmp_path / "a.nii.gz", (5, 6, 7), affine=turned)
    write(tmp_path / "b.nii", (5, 6, 7, 4), kind=nib.Nifti2Image)
    shutil.copy(tmp_path / "a.nii.gz", tmp_path / "no_suffix")
    (tmp_path / "other.gz").write_bytes(gzip.compress(b"a letter" * 100))

    manifest = scan(tmp_path, salt=SALT, jobs=1)

    assert rows(manifest) == dict.fromkeys(["a.nii.gz", "b.nii", "no_suffix"], "ok")
    assert manifest.column("format").tolist() == ["nifti"] * 3
    assert manifest.column("modality").tolist() == ["mr"] * 3
    assert manifest.column("shape")[0] == [7, 5, 6]
    assert manifest.column("spacing")[0] == [3, 1, 2]
    assert manifest.column("orientation")[0] == "PSL"
    assert manifest.column("n_channels").tolist() == [1, 4, 1]
    assert manifest.column("dtype").tolist() == ["int16"] * 3
    assert manifest.column("files")[0] == ["a.nii.gz"]
    assert manifest.column("part").tolist() == [0, 0, 0]
    assert len(set(manifest.column("study"))) == len(set(manifest.column("trial"))) == 3
    assert sum((summary(manifest).others or {}).values()) == 1
    ct = scan(tmp_path, salt=SALT, jobs=1, modality="ct")
    assert set(ct.column("modality")) == {"ct"}


def test_bids_gives_patient_session_and_study(tmp_path: Path) -> None:
    for subject, session, name in [("01", "a", "T1w"), ("01", "a", "T2w"), ("01", "b", "T1w"), ("02", "a", "T1w")]:
        write(tmp_path / f"sub-{subject}" / f"ses-{session}" / "anat" / f"sub-{subject}_ses-{session}_{name}.nii.gz")
    manifest = scan(tmp_path, salt=SALT, jobs=1)
    patient, study, session = (manifest.column(name).tolist() for name in ("patient", "study", "session"))
    assert patient == [code("patient", one, SALT) for one in ("01", "01", "01", "02")]
    assert study[0] == study[1]
    assert len(set(study)) == len(set(session)) == 3
    assert len(set(manifest.column("series"))) == 4


def test_an_id_pattern_gives_study_and_series(tmp_path: Path) -> None:
    for name in ("P1/E1/S1_1", "P1/E1/S1_2", "P1/E2/S1_1", "P2/E1/S1_1"):
        write(tmp_path / f"{name}.nii.gz")
    pattern = r"(?P<patient>P\d)/(?P<study>E\d)/(?P<series>S\d)_(?P<trial>\d)"
    manifest = scan(tmp_path, salt=SALT, jobs=1, id_pattern=pattern)
    counts = {name: len(set(manifest.column(name))) for name in ("patient", "study", "series", "trial")}
    assert counts == {"patient": 2, "study": 3, "series": 3, "trial": 4}


def test_no_free_text_of_a_header_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.nii.gz")
    assert main(["scan", str(tmp_path / "in"), "--patient-per-record", "-o", str(tmp_path / "m.parquet")]) == 0
    assert b"Jane" not in (tmp_path / "m.parquet").read_bytes()


def test_what_cannot_be_used_says_why_and_the_rest_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "in"
    whole = write(folder / "P1_good.nii").read_bytes()
    packed = write(folder / "P1_packed.nii.gz").read_bytes()
    (folder / "P1_cut.nii.gz").write_bytes(packed[:-20])
    (folder / "P1_cut_header.nii.gz").write_bytes(packed[:60])
    (folder / "P1_short.nii").write_bytes(whole[:-10])
    (folder / "P1_letter.nii").write_text("Dear colleague")
    (folder / "P1_empty.nii.gz").write_bytes(b"")
    write(folder / "P1_five.nii.gz", (2, 2, 2, 2, 2))
    no_spacing = bytearray(whole)
    no_spacing[280:328] = bytes(48)
    (folder / "P1_flat.nii").write_bytes(no_spacing)
    nib.Nifti1Pair(np.zeros((2, 2, 2), np.int16), np.eye(4)).to_filename(folder / "P1_pair.img")
    os.symlink(folder, folder / "circle")
    os.symlink(tmp_path / "nowhere", folder / "P1_dangling.nii.gz")
    output = tmp_path / "m.parquet"

    assert main(["scan", str(folder), "--id-pattern", r"(?P<patient>P\d)_", "-o", str(output), "--jobs", "1"]) == 0

    manifest = Manifest.read(output)
    reasons = {
        "P1_cut.nii.gz": "damaged gzip file, cut short or altered",
        "P1_cut_header.nii.gz": "not what its name says",
        "P1_dangling.nii.gz": "cannot be read: not found",
        "P1_empty.nii.gz": "empty file",
        "P1_five.nii.gz": "5 axes, shape (2, 2, 2, 2, 2): a volume has 3",
        "P1_flat.nii": "zero spacing",
        "P1_good.nii": "ok",
        "P1_letter.nii": "not what its name says: the content is not that of a .nii file",
        "P1_packed.nii.gz": "ok",
        "P1_pair.hdr": "ok",
        "P1_short.nii": "truncated file",
    }
    found = rows(manifest)
    assert found.keys() == reasons.keys()
    assert {path: status for path, status in found.items() if not status.startswith(reasons[path])} == {}
    out = capsys.readouterr().out
    assert "3 of 3 series, 3 studies" in out
    assert "quarantined    8" in out
    assert not any(word in out for word in ("hours", "sampling rate"))


def test_a_link_that_leads_out_of_the_folder_is_followed_under_its_own_name(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside" / "a.nii.gz")
    (tmp_path / "in").mkdir()
    os.symlink(outside, tmp_path / "in" / "linked.nii.gz")
    assert rows(scan(tmp_path / "in", salt=SALT, jobs=1)) == {"linked.nii.gz": "ok"}


def test_a_second_scan_opens_only_what_changed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / f"{name}.nii.gz")
    first = scan(tmp_path, salt=SALT, jobs=1)
    about = (tmp_path / "a.nii.gz").stat()
    (tmp_path / "a.nii.gz").write_bytes(bytes(about.st_size))
    os.utime(tmp_path / "a.nii.gz", ns=(about.st_atime_ns, about.st_mtime_ns))
    write(tmp_path / "b.nii.gz", (3, 3, 3))
    second = scan(tmp_path, salt=SALT, jobs=1, previous=first)
    assert rows(second) == dict.fromkeys(["a.nii.gz", "b.nii.gz"], "ok")
    assert second.column("shape").tolist() == [[5, 6, 7], [3, 3, 3]]


def test_signals_and_volumes_of_one_archive_are_told_apart_in_the_summary(
    phantom_archive: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    shutil.copytree(phantom_archive / "ecg", folder / "ecg", ignore=shutil.ignore_patterns("damaged"))
    write(folder / "mr" / "a.nii.gz")
    counted = summary(scan(folder, salt=SALT, jobs=1))
    text = str(counted)
    assert counted.formats["nifti"] == 1
    assert "voxels         5 x 6 x 7\n" in str(counted.wings["volume"])
    assert "sampling rate" in text
    assert "5 x 6 x 7" in text
    assert "None" not in str(counted.wings["signal"])


def test_the_hippocampi_are_read_whole(real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = Path(__file__).parents[2] / "datasets" / "hippocampus_msd.yaml"
    output = tmp_path / "m.parquet"
    words = ["scan", str(real_data / "hippocampus_msd"), "--card", str(card), "-o", str(output)]
    assert main([*words, "--fractions", "200", "20", "40"]) == 0
    out = capsys.readouterr().out
    assert "patients       170" in out
    assert "mask: 260 of 260" in out
    manifest = Manifest.read(output)
    assert [len(manifest.split_rows(name)) for name in ("train", "val", "test")] == [200, 20, 40]
    # 7 and 8 are both sides of one subject, 6 and 7 are not.
    patient = dict(zip(manifest.column("path"), manifest.column("patient"), strict=True))
    six, seven, eight = (patient[f"images/hippocampus_00{number}.nii.gz"] for number in (6, 7, 8))
    assert seven == eight != six
    assert manifest.masks["mask"].classes == ("background", "anterior", "posterior")
    assert manifest.column("mask")[0] == "labels/hippocampus_001.nii.gz"
    assert manifest.column("record_id")[0] == "images/hippocampus_001"


def test_brats_has_two_volumes_a_patient_and_one_label_map(real_data: Path, tmp_path: Path) -> None:
    card = Path(__file__).parents[2] / "datasets" / "brats2013.yaml"
    output = tmp_path / "m.parquet"
    folder = real_data / "brats2013_deepmedic"
    assert main(["scan", str(folder), "--card", str(card), "-o", str(output), "--fractions", "2", "2", "2"]) == 0
    manifest = Manifest.read(output)
    assert (len(manifest), len(set(manifest.column("patient"))), len(set(manifest.column("mask")))) == (12, 6, 6)
