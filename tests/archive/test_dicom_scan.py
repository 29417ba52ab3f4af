"""DICOM archives as a user scans them: one row a volume, codes instead of ids, days instead of dates, reasons."""

import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pydicom.data
import pytest

from medcl.archive.dicom_file_record import recipe
from medcl.archive.dicom_scan import Spool, files_of
from medcl.archive.identity import code
from medcl.archive.manifest import Manifest
from medcl.archive.scan import scan, scan_to, summary
from medcl.cli import main
from medcl.errors import UnreadableError
from medcl.modality.dicom.slice import KEYWORDS, read_slices
from medcl.modality.dicom.stacks import stacks_of
from medcl.modality.volume.formats.dicom import read_header
from medcl.phantom.volumes import write_volumes
from tests.modality.dicom.dicom_files import enhanced, write

SALT = b"the salt of the tests"
SECRETS = (b"secret-id", b"Secret", b"19500101", b"secret-accession", b"20240131", b"1.2.3.4")


def series(folder: Path, count: int = 4, uid: str = "1.2.3.4", start: int = 0, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        write(folder / f"{number}.dcm", number, SeriesInstanceUID=uid, SOPInstanceUID=f"{uid}.{number}", **changes)
    return folder


def statuses(manifest: Manifest) -> dict[str, str]:
    return dict(zip(manifest.column("path"), manifest.column("status"), strict=True))


def row(manifest: Manifest, number: int = 0) -> dict[str, Any]:
    return dict(manifest.table.to_pylist()[number])


def test_a_series_is_one_row_of_codes_and_geometry(tmp_path: Path) -> None:
    series(tmp_path / "a")
    found = row(scan(tmp_path, salt=SALT, jobs=1))
    assert (found["modality"], found["format"], found["status"]) == ("ct", "dicom", "ok")
    assert (found["shape"], found["spacing"], found["orientation"]) == ([6, 4, 4], [0.75, 0.5, 2.5], "LPS")
    assert (found["patient"], found["days"], found["part"]) == (code("patient", "secret-id", SALT), 0, 0)
    assert found["study"] == code("study", "1.2.3", SALT)
    assert found["series"] == code("series", "1.2.3.4", SALT)
    assert (found["path"], found["files"]) == ("a/0.dcm", ["0.dcm", "1.dcm", "2.dcm", "3.dcm"])


def test_files_of_one_series_in_several_folders_are_relative_to_the_first(tmp_path: Path) -> None:
    series(tmp_path / "a", 2)
    series(tmp_path / "b", 2, start=2)
    found = row(scan(tmp_path, salt=SALT, jobs=1))
    assert found["files"] == ["0.dcm", "1.dcm", "../b/2.dcm", "../b/3.dcm"]
    assert files_of(found) == ["a/0.dcm", "a/1.dcm", "b/2.dcm", "b/3.dcm"]


def test_nothing_that_names_a_person_is_kept_while_a_scan_runs_or_after(tmp_path: Path) -> None:
    series(tmp_path / "in")
    (tmp_path / "in" / "broken.dcm").write_bytes((tmp_path / "in" / "0.dcm").read_bytes()[:-9])
    seen = b""

    def look(*_: object) -> None:
        nonlocal seen
        seen += b"".join(path.read_bytes() for path in tmp_path.glob("m.parquet*"))

    original, Spool.series = Spool.series, lambda self: (look(), original(self))[1]  # type: ignore[method-assign]
    try:
        scan_to(tmp_path / "in", tmp_path / "m.parquet", salt=SALT, jobs=1)
    finally:
        Spool.series = original  # type: ignore[method-assign]
    assert len(seen) > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "m.parquet"]
    kept = seen + (tmp_path / "m.parquet").read_bytes()
    assert [secret for secret in SECRETS if secret in kept] == []


def test_days_are_counted_from_the_first_study_of_a_patient(tmp_path: Path) -> None:
    series(tmp_path / "b", uid="1.5", StudyInstanceUID="1.50", AcquisitionDate="20240110")
    series(tmp_path / "c", uid="1.6", StudyInstanceUID="1.60", AcquisitionDate="20240112", PatientID="other")
    first = scan(tmp_path, salt=SALT, jobs=1)
    assert first.column("days").tolist() == [0, 0]
    series(tmp_path / "a", uid="1.4", StudyInstanceUID="1.40", AcquisitionDate="20231231")
    for again in (scan(tmp_path, salt=SALT, jobs=1), scan(tmp_path, salt=SALT, jobs=1, previous=first)):
        assert dict(zip(again.column("path"), again.column("days"), strict=True)) == {
            "a/0.dcm": 0,
            "b/0.dcm": 10,
            "c/0.dcm": 0,
        }


def test_several_volumes_of_a_series_are_rows_that_can_be_told_apart(tmp_path: Path) -> None:
    enhanced(tmp_path / "echoes.dcm", echoes=(5.0, 10.0))
    series(tmp_path / "two", 3, "1.7", ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    series(tmp_path / "two", 1, "1.7", 5, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    manifest = scan(tmp_path, salt=SALT, jobs=1, modality="ct")
    assert manifest.column("path").tolist() == ["echoes.dcm", "echoes.dcm", "two/0.dcm", "two/5.dcm"]
    assert len(set(manifest.column("record_id"))) == len(set(manifest.column("trial"))) == 4
    assert len(set(manifest.column("series"))) == 2
    assert set(manifest.column("modality")[:2]) == {"mr"}
    assert any("stacks" in flag for flag in manifest.column("flags")[0])
    for found in manifest.table.to_pylist():
        slices = [one for file in files_of(found) for one in read_slices(tmp_path / file, tmp_path)]
        header = read_header(stacks_of(slices)[found["part"]])
        assert list(header.grid.to_ras().shape) == found["shape"]
        assert header.files[0] == found["path"]


def test_localizers_and_derived_images_are_listed_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    series(folder / "a", uid="1.4")
    series(folder / "b", 1, "1.5", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    series(folder / "c", uid="1.6", ImageType=["DERIVED", "SECONDARY", "REFORMATTED"])
    words = ["scan", str(folder), "-o", str(tmp_path / "m.parquet"), "--jobs", "1", "--fractions", "1", "0", "0"]
    assert main(words) == 0
    assert "localizer: 1, derived image: 1" in capsys.readouterr().out
    manifest = Manifest.read(tmp_path / "m.parquet")
    assert manifest.column("status").tolist() == ["ok", "localizer", "derived image"]
    assert main([*words, "--images", "all"]) == 0
    assert Manifest.read(tmp_path / "m.parquet").column("status").tolist() == ["ok"] * 3


def test_what_cannot_be_used_says_why_and_the_rest_goes_on(tmp_path: Path) -> None:
    series(tmp_path / "good", uid="1.1")
    series(tmp_path / "patients", 2, "1.2")
    series(tmp_path / "patients", 2, "1.2", 2, PatientID="other")
    series(tmp_path / "no_pixels", 1, "1.3", PixelData=None)
    series(tmp_path / "long", 1, "1.4", PixelData=bytes(range(250)) * 2)
    series(tmp_path / "zero", 2, "1.5", PixelSpacing=[0, 0.5])
    series(tmp_path / "truncated", 1, "1.6")
    series(tmp_path / "sizes", 3, "1.7")
    series(tmp_path / "sizes", 2, "1.7", 3, Rows=2, PixelData=bytes(24))
    series(tmp_path / "twice", 3, "1.8")
    shutil.copytree(tmp_path / "twice", tmp_path / "twice_again")
    cut = tmp_path / "truncated" / "0.dcm"
    cut.write_bytes(cut.read_bytes()[:-9])
    header = (tmp_path / "good" / "0.dcm").read_bytes()[:300]
    (tmp_path / "cut_header.dcm").write_bytes(header)
    (tmp_path / "letter.dcm").write_text("Dear colleague")
    os.symlink(tmp_path, tmp_path / "good" / "circle")

    manifest = scan(tmp_path, salt=SALT, jobs=1)

    reasons = {
        "cut_header.dcm": "damaged header",
        "good/0.dcm": "ok",
        "letter.dcm": "not what its name says: the content is not that of a .dcm file",
        "long/0.dcm": "wrong pixel data length",
        "no_pixels/0.dcm": "no pixel data",
        "patients/0.dcm": "2 patients in one series",
        "sizes/0.dcm": "ok",
        "sizes/3.dcm": "ok",
        "truncated/0.dcm": "truncated file",
        "twice/0.dcm": "ok",
        "zero/0.dcm": "zero spacing",
    }
    found = statuses(manifest)
    assert found.keys() == reasons.keys()
    assert {path: status for path, status in found.items() if not status.startswith(reasons[path])} == {}
    flags = dict(zip(manifest.column("path"), manifest.column("flags"), strict=True))
    assert flags["twice/0.dcm"] == ["duplicate SOP instances: 3 left out"]
    assert flags["sizes/0.dcm"] == flags["sizes/3.dcm"] == ["series of 2 stacks: orientation, size or contrast differ"]
    files = dict(zip(manifest.column("path"), manifest.column("files"), strict=True))
    assert len(files["twice/0.dcm"]) == 6
    assert manifest.column("patient")[list(found).index("patients/0.dcm")] == -1


def spoil(folder: Path) -> None:
    """Other content, same size and time: who opens the files notices, who does not cannot."""
    for path in folder.iterdir():
        about = path.stat()
        path.write_bytes(bytes(about.st_size))
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def test_a_second_scan_opens_only_the_series_that_changed(tmp_path: Path) -> None:
    for name, uid in (("a", "1.1"), ("b", "1.2"), ("c", "1.3"), ("d", "1.4")):
        series(tmp_path / name, uid=uid, PatientID=name)
    first = scan(tmp_path, salt=SALT, jobs=1)
    spoil(tmp_path / "a")
    series(tmp_path / "b_more", 2, "1.2", 4, PatientID="b")
    os.utime(tmp_path / "c" / "1.dcm")
    (tmp_path / "d" / "3.dcm").unlink()

    second = scan(tmp_path, salt=SALT, jobs=1, previous=first)

    assert statuses(second) == dict.fromkeys([f"{name}/0.dcm" for name in "abcd"], "ok")
    assert [shape[2] for shape in second.column("shape")] == [4, 6, 4, 3]
    assert second.table.slice(0, 1).equals(first.table.slice(0, 1))
    assert summary(second).reused == 1
    shutil.rmtree(tmp_path / "a")
    assert scan(tmp_path, salt=SALT, jobs=1, previous=first).table.equals(scan(tmp_path, salt=SALT, jobs=1).table)


def test_a_scan_goes_on_from_the_spool_of_one_that_was_cut_off(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    series(folder / "a", uid="1.1")
    series(folder / "b", uid="1.2")
    whole = scan(folder, salt=SALT, jobs=1)

    class CutError(Exception):
        pass

    def cut(self: Spool) -> set[int]:
        raise CutError

    original, Spool.series = Spool.series, cut  # type: ignore[method-assign]
    try:
        with pytest.raises(CutError):
            scan_to(folder, tmp_path / "m.parquet", salt=SALT, jobs=1)
    finally:
        Spool.series = original  # type: ignore[method-assign]
    spool = tmp_path / "m.parquet.journal.slices"
    kept = sqlite3.connect(spool).execute("SELECT COUNT(*) FROM files").fetchone()
    assert kept == (8,)
    spoil(folder / "a")
    (folder / "b" / "3.dcm").unlink()
    resumed = scan_to(folder, tmp_path / "m.parquet", salt=SALT, jobs=1)
    assert not spool.exists()
    assert resumed.table.slice(0, 1).equals(whole.table.slice(0, 1))
    assert [shape[2] for shape in resumed.column("shape")] == [4, 3]


def test_a_damaged_spool_costs_time_only(tmp_path: Path) -> None:
    series(tmp_path / "in")
    (tmp_path / "m.parquet.journal.slices").write_bytes(b"no database" * 100)
    assert len(scan_to(tmp_path / "in", tmp_path / "m.parquet", salt=SALT, jobs=1).ok()) == 1


def test_an_id_pattern_goes_before_the_header(tmp_path: Path) -> None:
    series(tmp_path / "P1" / "E1" / "S", uid="1.1")
    series(tmp_path / "P2" / "E1" / "S", uid="1.2")
    manifest = scan(tmp_path, salt=SALT, jobs=1, id_pattern=r"(?P<patient>P\d)/(?P<study>E\d)")
    assert manifest.column("patient").tolist() == [code("patient", name, SALT) for name in ("P1", "P2")]
    assert len(set(manifest.column("study"))) == 2


def test_the_rows_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    for number in range(80):
        series(tmp_path / f"s{number:02}", uid=f"1.{number}", PatientID=f"p{number % 9}")
    one, two = scan(tmp_path, salt=SALT, jobs=1), scan(tmp_path, salt=SALT, jobs=2)
    assert one.table.equals(two.table)
    assert one.metadata == two.metadata


def test_the_synthetic_archive_is_found_whole_and_joined_by_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_volumes(tmp_path / "v", ct_patients=2, mr_patients=1)
    ct = tmp_path / "v" / "ct"
    table = ["--labels", str(ct / "labels.csv"), "--record-column", "record", "--target-columns", "lesion"]
    include = ["--include", "P*/**"]
    words = ["scan", str(ct), "-o", str(tmp_path / "m.parquet"), *table, *include, "--fractions", "1", "0", "0"]
    assert main(words) == 0
    manifest = Manifest.read(tmp_path / "m.parquet")
    assert len(manifest.ok()) == written.ct_series
    assert None not in manifest.ok().column("lesion")
    broken = scan(ct, salt=SALT, jobs=1, include="damaged/**")
    ok = {Path(path).parent.name for path in broken.ok().column("path")}
    assert ok == {"two_sizes"}, "slices of two sizes are two volumes, and a flag says so"


@pytest.mark.parametrize("given", ["", "DICOMDIR"])
def test_an_archive_with_a_dicomdir_is_found_by_content(given: str) -> None:
    folder = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests"
    if not folder.is_dir():
        pytest.skip("this pydicom comes without its test files")
    manifest = scan(folder / given, salt=SALT, jobs=1, include="*/*/*")
    known = manifest.select(manifest.column("series") >= 0)
    counts = [len(set(known.column(name))) for name in ("found_patient", "study", "series")]
    assert counts == [2, 6, 13]
    used = ("ok", "localizer", "derived image")
    assert set(known.column("status")) <= set(used)
    radiographs = known.of_kind("image")
    assert len(radiographs) == 3
    assert set(radiographs.column("modality")) == {"xray"}


def test_the_hard_case_is_one_volume_with_its_flags(real_data: Path) -> None:
    manifest = scan(real_data / "dicom_ct_dcmqa_ge", salt=SALT, jobs=1)
    assert len(manifest) == 1
    assert [flag.split()[0] for flag in manifest.column("flags")[0]] == ["gantry", "uneven"]
    assert manifest.column("shape")[0] == [512, 512, 28]


def test_the_summary_says_what_becomes_of_irregular_volumes(tmp_path: Path) -> None:
    series(tmp_path / "even")
    assert "irregular" not in str(summary(scan(tmp_path, salt=SALT, jobs=1)))
    gap = series(tmp_path / "gap", 8, "1.2.3.9")
    (gap / "3.dcm").unlink()
    told = str(summary(scan(tmp_path, salt=SALT, jobs=1)))
    assert "1  missing slices" in told
    assert "1 of 2 volumes lie on no even, upright grid" in told
    assert "--data.irregular is resample or keep" in told


def test_the_recipe_names_every_element_that_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["scan", "--deid-recipe"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert out.strip() == recipe()
    assert all(keyword in out for keyword in KEYWORDS)
    assert not any(keyword in out for keyword in ("PatientName", "PatientBirthDate", "AccessionNumber"))


def test_a_file_that_is_no_image_is_another_file(tmp_path: Path) -> None:
    write(tmp_path / "report.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Modality="SR", Rows=None, Columns=None)
    with pytest.raises(UnreadableError, match="no image"):
        read_slices(tmp_path / "report.dcm", tmp_path)
    manifest = scan(tmp_path, salt=SALT, jobs=1)
    assert len(manifest) == 0
    assert sum((summary(manifest).others or {}).values()) == 1
