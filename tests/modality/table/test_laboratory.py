"""Synthetic laboratory values: files that are read back, with a label that depends on some of them."""

import csv

import numpy as np

from medcl.modality.table.formats.tables import read_tables
from tests.modality.table.laboratory import ANALYTES, write_laboratory, write_stays


def labels(phantom):
    with phantom.labels.open() as file:
        return {row["patient_id"]: int(row["infection"]) for row in csv.DictReader(file)}


def test_laboratory_is_read_back(tmp_path):
    phantom = write_laboratory(tmp_path, 200, seed=1)
    tables = read_tables(phantom.folder / "laboratory.csv")

    assert len(tables) == phantom.n_patients == len(labels(phantom)) == 200
    assert [one.name for one in tables[0].variables] == ["sex", "ward", *(one.name for one in ANALYTES)]
    values = np.concatenate([one.values for one in tables])
    assert 0.1 < np.isnan(values[:, 2:]).mean() < 0.2
    ill = np.array([labels(phantom)[one.ids["patient"]] for one in tables], dtype=bool)
    means = [np.nanmean(values[part], axis=0) for part in (ill, ~ill)]
    spread = np.nanstd(values, axis=0)
    crp, sodium = 2, 6
    assert (means[0] - means[1])[crp] > spread[crp]
    assert abs((means[0] - means[1])[sodium]) < spread[sodium] / 2


def test_stays_are_read_back(tmp_path):
    phantom = write_stays(tmp_path, 5, seed=1, hours=12)
    files = sorted(phantom.folder.glob("*.txt"))
    tables = [read_tables(file)[0] for file in files]

    assert [one.ids["patient"] for one in tables] == [file.stem for file in files] == list(labels(phantom))
    assert all(one.times.max() < 12 and one.unusable == {} for one in tables)
    units = {one.name: one.unit for table in tables for one in table.variables}
    assert units["Na"] == "mmol/L"
    assert units["Age"] == "years"


def test_the_seed_decides(tmp_path):
    for seed, name in ((0, "a"), (0, "b"), (1, "c")):
        write_laboratory(tmp_path / name, 5, seed=seed)
    first, again, other = ((tmp_path / name / "archive" / "laboratory.csv").read_bytes() for name in "abc")
    assert first == again != other
