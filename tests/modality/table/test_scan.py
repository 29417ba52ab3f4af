"""Tables found by a scan: a row of the manifest for each patient."""

import shutil

import numpy as np
import pytest

from medcl.archive.scan import scan, summary
from tests.modality.table.laboratory import write_laboratory, write_stays

SALT = b"of these tests"


def test_a_row_a_patient_of_one_file(tmp_path):
    phantom = write_laboratory(tmp_path, 12)

    manifest = scan(phantom.folder, salt=SALT, jobs=1)

    assert len(manifest) == len(set(manifest.column("record_id"))) == len(set(manifest.column("patient"))) == 12
    assert set(manifest.column("status")) == {"ok"}
    assert manifest.column("part").tolist() == list(range(12))
    assert set(manifest.kinds) == {"table"}
    assert "tables         12 in 1 files" in str(summary(manifest))
    assert "P0001" not in str(manifest.table.to_pylist()) + str(manifest.metadata)
    again = scan(phantom.folder, salt=SALT, jobs=1, previous=manifest)
    assert again.table.equals(manifest.table)
    assert again.metadata["scan"]["reused"] == 12


def test_stays_and_laboratory_share_their_patients(tmp_path):
    write_laboratory(tmp_path, 5)
    phantom = write_stays(tmp_path, 5)

    manifest = scan(phantom.folder, salt=SALT, jobs=1, id_pattern=r"(?P<patient>P\d+)\.txt|laboratory")

    patients = manifest.column("patient").reshape(2, 5)
    assert set(patients[0]) == set(patients[1])
    assert len(set(patients[0])) == 5


def test_what_is_wrong_with_a_table_is_its_reason(tmp_path):
    phantom = write_stays(tmp_path, 3)
    (phantom.folder / "P0001.txt").write_text("Time,Parameter,Value\n00:00,HR,80\n00:61,HR,80\n")
    laboratory = write_laboratory(tmp_path, 3).folder / "laboratory.csv"
    laboratory.write_text(laboratory.read_text() + "P0000" + ",1" * 10 + "\n")

    manifest = scan(phantom.folder, salt=SALT, jobs=1)

    status = dict(zip(manifest.column("path"), manifest.column("status"), strict=True))
    assert status["P0000.txt"] == "ok"
    assert status["P0001.txt"].startswith("line 3: not a time like the others")
    assert "line 2 and line 5 have the same ids" in status["laboratory.csv"]


def test_stays_of_physionet(tmp_path, real_data):
    files = sorted((real_data / "physionet2012" / "set-a").iterdir())[:40]
    for file in files:
        shutil.copy(file, tmp_path / file.name)

    manifest = scan(tmp_path, salt=SALT, jobs=1)

    assert set(manifest.column("status")) == {"ok"}
    assert set(manifest.column("format")) == {"time-table"}
    assert len(set(manifest.column("patient"))) == 40
    assert np.median(manifest.column("n_samples")) > 40


@pytest.mark.parametrize("name", ["labels.csv", "participants.tsv"])
def test_label_tables_are_no_records(tmp_path, name):
    separator = "," if name.endswith("csv") else "\t"
    (tmp_path / name).write_text(
        separator.join(("participant_id", "age")) + "\n" + separator.join(("sub-01", "5")) + "\n"
    )
    (tmp_path / name).with_suffix(".json").write_text('{"age": {"Units": "years"}}')

    assert len(scan(tmp_path, salt=SALT, jobs=1)) == 0
