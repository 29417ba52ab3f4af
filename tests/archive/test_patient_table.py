"""A table with one row a patient, such as BIDS's participants.tsv, describes all records of the patient."""

from pathlib import Path

import numpy as np
import pytest
from edfio import Patient

from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.errors import MedclError, UsageError
from medcl.phantom.scan_files import write_nifti
from tests.modality.written import waves, write_brainvision, write_edf


def bids(root: Path) -> Path:
    """Three subjects: EDF and a brain; BrainVision in two sessions; a brain alone. A fourth has no files."""
    brain = np.random.default_rng(0).integers(0, 100, (4, 5, 6)).astype(np.int16)
    write_edf(root / "sub-01/eeg/sub-01_task-rest_eeg.edf", waves(), patient=Patient(code="other"))
    for session in ("a", "b"):
        name = f"sub-02_ses-{session}_task-rest_eeg"
        write_brainvision(root / f"sub-02/ses-{session}/eeg", name, waves())
    for subject in ("01", "03"):
        write_nifti(root / f"sub-{subject}/anat/sub-{subject}_T1w.nii.gz", brain, np.eye(4))
    (root / "participants.tsv").write_text(
        "participant_id\tage\tsex\nsub-01\t31\tF\nsub-02\tn/a\tM\nsub-03\t47.5\tn/a\nsub-04\t20\tF\n"
    )
    return root


def scanned(root: Path, table: Path, **options: object) -> tuple[Manifest, object]:
    request = ScanRequest(folder=root, output=root.parent / "m.parquet", labels=table, jobs=1, **options)
    report = build_manifest(request).join
    return Manifest.read(root.parent / "m.parquet"), report


@pytest.mark.parametrize("options", [{}, {"patient_column": "participant_id"}])
def test_participants_describe_the_records_of_their_folders(tmp_path: Path, options: dict[str, str]) -> None:
    root = bids(tmp_path / "bids")
    manifest, report = scanned(root, root / "participants.tsv", target_columns=("age", "sex"), **options)
    assert set(manifest.column("status")) == {"ok"}
    of_path = dict(
        zip(
            manifest.column("path"),
            zip(manifest.table["age"].to_pylist(), manifest.table["sex"].to_pylist(), strict=True),
            strict=True,
        )
    )
    assert of_path == {
        "sub-01/anat/sub-01_T1w.nii.gz": (31, "F"),
        "sub-01/eeg/sub-01_task-rest_eeg.edf": (31, "F"),
        "sub-02/ses-a/eeg/sub-02_ses-a_task-rest_eeg.vhdr": (None, "M"),
        "sub-02/ses-b/eeg/sub-02_ses-b_task-rest_eeg.vhdr": (None, "M"),
        "sub-03/anat/sub-03_T1w.nii.gz": (47.5, None),
    }
    assert {name: target.kind for name, target in manifest.targets.items()} == {"age": "regression", "sex": "binary"}
    assert len(set(manifest.column("patient"))) == 3
    assert (report.matched, report.records_absent, report.rows_absent) == (5, 0, 1)
    assert report.labelled == {"age": 3, "sex": 4}


def test_a_table_of_the_ids_in_headers_and_of_an_id_pattern(tmp_path: Path) -> None:
    write_edf(tmp_path / "archive/a1/a.edf", waves(), patient=Patient(code="P1"))
    write_edf(tmp_path / "archive/b1/b.edf", waves(seed=1), patient=Patient(code="P2"))
    (tmp_path / "t.csv").write_text("id,grade\nP2,high\nP1,low\na1,low\nb1,high\n")
    for pattern in (None, "(?P<patient>.*)/"):
        options = {"patient_column": "id", "target_columns": ("grade",), "id_pattern": pattern}
        manifest, report = scanned(tmp_path / "archive", tmp_path / "t.csv", **options)
        assert dict(zip(manifest.column("path"), manifest.column("grade"), strict=True)) == {
            "a1/a.edf": "low",
            "b1/b.edf": "high",
        }
        assert report.rows_absent == 2


def test_visits_of_a_patient_that_differ_and_tables_of_others_are_refused(tmp_path: Path) -> None:
    root, table = bids(tmp_path / "bids"), tmp_path / "t.tsv"
    table.write_text("participant_id\tage\nsub-01\t31\nsub-01\t32\nsub-03\t5\n")
    options = {"patient_column": "participant_id", "target_columns": ("age",)}
    with pytest.raises(MedclError, match=r"2 records are named by several rows .* differ in column 'age'"):
        scanned(root, table, **options)
    table.write_text("participant_id\tage\nsub-11\t31\nn/a\t32\n")
    with pytest.raises(MedclError, match="names a patient of the archive"):
        scanned(root, table, **options)
    with pytest.raises(UsageError, match=r"--record-column, .* or --patient-column alone"):
        scanned(root, table, target_columns=("age",))
