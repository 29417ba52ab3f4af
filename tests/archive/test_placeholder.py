"""A placeholder is no patient: each study that has one stands alone, in every format and table."""

from pathlib import Path

import pytest
from edfio import Patient
from PIL import Image
from pydicom.uid import generate_uid

from medcl.archive.build import BuildReport, build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.archive.path_ids import is_placeholder, zero_is_an_id
from medcl.archive.scan import scan
from tests.modality.dicom.dicom_files import series
from tests.modality.written import waves, write_edf

SALT = b"a salt for tests"
EEG = waves(scale=50)


@pytest.mark.parametrize(
    "text",
    ["", " ", "ANONYMOUS", "anon", "ANONYMIZED^^^^", "Anonymisiert", "anonymis\u00e9e", "An\u00f3nimo", "De-Identified"]
    + [
        "UNKNOWN",
        "unbekannt",
        "inconnue",
        "desconocido",
        "X",
        "XXX",
        "0",
        "000",
        "n/a",
        "N.A.",
        "NONE",
        "null",
        "NO NAME",
    ]
    + ["No_ID", "TEST", "Test^Patient", "UNKNOWN PATIENT", "patient", "?", "---", "#N/A", "kein Name", "sans nom"]
    + ["sin nombre", "REMOVED", "John Doe", "MUSTERMANN^MAX"],
)
def test_what_names_nobody(text: str) -> None:
    assert is_placeholder(text)


@pytest.mark.parametrize(
    "text",
    ["1", "007", "10", "P0", "ANON0007", "Anonymous1", "X1", "test12", "s00", "MRN5", "No 4", "\u5c71\u7530", "Nora"],
)
def test_what_names_a_patient(text: str) -> None:
    assert not is_placeholder(text)


def test_zero_is_an_id_among_numbers_that_begin_with_it() -> None:
    assert zero_is_an_id(["0", "1", "2", "0", None])
    assert zero_is_an_id(["4711", "0", "4712"])
    assert not zero_is_an_id(["4711", "0", "4712", "0"]), "more often than any other: typed where none was known"
    assert not zero_is_an_id(["0", "A1", "A2"])
    assert not zero_is_an_id(["0", "0"])


def patients(manifest: Manifest) -> list[int]:
    assert set(manifest.column("status")) == {"ok"}
    return list(manifest.column("patient"))


def test_studies_of_a_placeholder_stand_alone_in_dicom(tmp_path: Path) -> None:
    for number in range(3):
        uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
        (tmp_path / str(number)).mkdir()
        series(tmp_path / str(number), PatientID="ANONYMOUS", **uids)
    for number in (1, 2):
        uids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": f"1.2.3.{number}"}
        (tmp_path / "0" / f"b{number}").mkdir()
        series(tmp_path / "0" / f"b{number}", PatientID="", **uids)
    manifest = scan(tmp_path, salt=SALT, jobs=1)
    found = dict(zip(manifest.column("path"), patients(manifest), strict=True))
    assert len(set(found.values())) == 4, "three studies of ANONYMOUS, and one of two series"
    assert all("placeholder patient id" in flags for flags in manifest.column("flags"))
    named = scan(tmp_path, salt=SALT, jobs=1, id_pattern=r"^(?P<patient>\d)/")
    assert len(set(patients(named))) == 3
    assert not any("placeholder patient id" in flags for flags in named.column("flags"))


def test_recordings_of_a_placeholder_stand_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_edf(tmp_path / f"{name}.edf", EEG, patient=Patient())
    write_edf(tmp_path / "c.edf", EEG, patient=Patient(code="UNKNOWN"))
    manifest = scan(tmp_path, salt=SALT, jobs=1)
    assert len(set(patients(manifest))) == 3
    assert manifest.column("flags").tolist() == [["placeholder patient id"]] * 3


def test_a_placeholder_of_a_pattern_or_of_bids_is_one_too(tmp_path: Path) -> None:
    for name in (
        "sub-unknown/ses-1/sub-unknown_ses-1_run-1",
        "sub-unknown/ses-1/sub-unknown_ses-1_run-2",
        "sub-unknown/ses-2/sub-unknown_ses-2_x",
    ):
        path = tmp_path / f"{name}.edf"
        write_edf(path, EEG)
    first, same, other = patients(scan(tmp_path, salt=SALT, jobs=1))
    assert first == same != other, "a session stands alone, with all of its files"
    assert len(set(patients(scan(tmp_path, salt=SALT, jobs=1, id_pattern="sub-(?P<patient>[a-z]+)/")))) == 3


def test_a_patient_zero_of_numbered_folders_is_one(tmp_path: Path) -> None:
    for number in range(3):
        for run in "ab":
            path = tmp_path / str(number) / f"{run}.edf"
            write_edf(path, EEG)
    manifest = scan(tmp_path, salt=SALT, jobs=1, id_pattern=r"^(?P<patient>\d)/")
    assert len(set(patients(manifest))) == 3
    assert manifest.column("flags").tolist() == [[]] * 6


def images(folder: Path, ids: list[str]) -> BuildReport:
    (folder / "archive").mkdir()
    for number in range(len(ids)):
        Image.new("L", (8, 8), number).save(folder / "archive" / f"a{number}.png")
    rows = "".join(f"a{number}.png\t{one}\t{'ab'[number % 2]}\n" for number, one in enumerate(ids))
    (folder / "t.tsv").write_text(f"file\tpid\tdx\n{rows}")
    return build_manifest(
        ScanRequest(
            folder=folder / "archive",
            output=folder / "m.parquet",
            labels=folder / "t.tsv",
            record_column="file",
            patient_column="pid",
            target_columns=("dx",),
            jobs=1,
        )
    )


def test_a_placeholder_of_a_table_is_no_patient(tmp_path: Path) -> None:
    report = images(tmp_path, ["0", "1", "0", "n/a", "N/A", "ANON", "", "xx", "2", "3"])
    manifest = Manifest.read(tmp_path / "m.parquet")
    found = patients(manifest)
    assert found[0] == found[2], "0 is a patient where the others are 1, 2 and 3"
    assert len(set(found)) == 9
    assert [flags is not None and "placeholder patient id" in flags for flags in manifest.column("flags")] == (
        [False] * 3 + [True] * 5 + [False] * 2
    )
    assert report.summary.alone == 5
    assert "5 records have a placeholder patient id" in str(report)


def test_no_patient_at_all_says_what_to_do(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(Exception, match="--id-pattern.*--labels.*--patient-column.*--patient-per-record"):
        build_manifest(ScanRequest(folder=tmp_path, output=tmp_path / "m.parquet", jobs=1))
