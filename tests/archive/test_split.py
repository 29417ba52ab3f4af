"""Splits are by patient, stratified, and the same whatever the patients are called."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcl.archive.card import Folds
from medcl.archive.manifest import Manifest, Target
from medcl.archive.split import check, folds, missing_classes, missing_splits, official, split
from medcl.errors import MedclError, UsageError

CLASSES = ("NORM", "MI", "HYP")
OFFICIAL = Folds("fold", ("1", "2"), ("3",), ("4",))


def archive(patients: np.ndarray, labels: list[list[str] | None], age: np.ndarray | None = None) -> Manifest:
    """Readable records, one a row, with a multilabel target and an age, and without a split."""
    n = len(patients)
    table = pa.table(
        {
            "record_id": [f"r{i:06d}" for i in range(n)],
            "path": [f"r{i:06d}.hea" for i in range(n)],
            "patient": pa.array(patients, type=pa.int64()),
            "split": pa.nulls(n, pa.string()),
            "status": ["ok"] * n,
            "diagnosis": pa.array(labels, type=pa.list_(pa.string())),
            "age": pa.array(np.arange(n, dtype=float) if age is None else age),
        }
    )
    targets = {"diagnosis": Target("diagnosis", "multilabel", CLASSES), "age": Target("age", "regression")}
    return Manifest(table, Path("."), {"salt": "abc"}).with_targets(targets)


def cohort(seed: int, n_patients: int = 200) -> Manifest:
    rng = np.random.default_rng(seed)
    patients = np.repeat(rng.permutation(2**40 + np.arange(n_patients)), rng.integers(1, 4, n_patients))
    positive = rng.random((len(patients), 3)) < [0.6, 0.2, 0.1]
    known = rng.random(len(patients)) > 0.05
    labels = [
        [c for c, p in zip(CLASSES, row, strict=True) if p] if k else None
        for row, k in zip(positive, known, strict=True)
    ]
    return archive(patients, labels, rng.normal(60, 15, len(patients)))


def by_patient(manifest: Manifest) -> dict[int, str]:
    check(manifest)
    return dict(zip(manifest.column("patient").tolist(), manifest.column("split").tolist(), strict=True))


@settings(max_examples=25, deadline=None)
@given(data_seed=st.integers(0, 10**6), seed=st.integers(0, 10**6))
def test_a_split_is_by_patient_of_the_right_size_and_stratified(data_seed: int, seed: int) -> None:
    manifest = cohort(data_seed)
    done = split(manifest, (0.7, 0.1, 0.2), stratify="diagnosis", seed=seed)
    where = by_patient(done)
    assert set(where.values()) == {"train", "val", "test"}
    positive = manifest.labels("diagnosis") == 1
    patients = manifest.column("patient")
    for name, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        members = {patient for patient, chosen in where.items() if chosen == name}
        assert len(members) == pytest.approx(200 * share, abs=3)
        for k in range(3):
            bearers = set(patients[positive[:, k]].tolist())
            assert len(bearers & members) == pytest.approx(len(bearers) * share, abs=3)


def test_a_split_is_the_same_for_other_codes_and_another_for_another_seed() -> None:
    manifest = cohort(1)
    recoded = manifest.with_column("patient", pa.array(manifest.column("patient") * -3 + 2**45, type=pa.int64()))
    done = split(manifest, stratify="diagnosis", seed=2).column("split").tolist()
    assert done == split(manifest, stratify="diagnosis", seed=2).column("split").tolist()
    assert done == split(recoded, stratify="diagnosis", seed=2).column("split").tolist()
    assert done != split(manifest, stratify="diagnosis", seed=3).column("split").tolist()


def test_known_patients_keep_their_split_when_the_archive_grows() -> None:
    grown = cohort(4)
    patients = grown.column("patient")
    old = split(grown.select(np.isin(patients, patients[:120])), stratify="diagnosis", seed=0)
    new = split(grown, stratify="diagnosis", seed=9, keep=old)
    before, after = by_patient(old), by_patient(new)
    assert before.items() <= after.items()
    assert sum(chosen == "test" for chosen in after.values()) == pytest.approx(40, abs=3)
    other_salt = Manifest(old.table, old.root, {**old.metadata, "salt": "def"})
    with pytest.raises(UsageError, match="another salt"):
        split(grown, keep=other_salt)


def test_regression_is_stratified_by_fifths() -> None:
    age = np.arange(300.0)
    done = split(archive(np.arange(300), [["NORM"]] * 300, age), (0.5, 0.2, 0.3), stratify="age", seed=0)
    for name, count in (("train", 30), ("val", 12), ("test", 18)):
        fifth = (age[done.split_rows(name)] // 60).astype(int)
        np.testing.assert_allclose(np.bincount(fifth, minlength=5), count, atol=1)


def test_an_empty_part_stays_empty_and_quarantined_records_get_no_split() -> None:
    manifest = cohort(5)
    status = np.where(np.arange(len(manifest)) % 9 == 0, "truncated", "ok")
    done = split(manifest.with_column("status", pa.array(status)), (0.8, 0.0, 0.2), seed=0)
    chosen = np.asarray(done.column("split"), dtype=object)
    assert set(chosen[status == "ok"]) == {"train", "test"}
    assert set(chosen[status != "ok"]) == {None}


@pytest.mark.parametrize("fractions", [(0.7, 0.3), (0.7, 0.1, 0.1), (1.2, -0.1, -0.1), (0.7, float("nan"), 0.3)])
def test_shares_that_are_none_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="sum to 1"):
        split(cohort(0), fractions)


def test_a_split_in_numbers_is_met_exactly_in_patients_or_in_records() -> None:
    manifest = cohort(3)
    by_number = split(manifest, (120, 30, 50), stratify="diagnosis", seed=1)
    names = list(by_patient(by_number).values())
    assert [names.count(name) for name in ("train", "val", "test")] == [120, 30, 50]
    records = len(manifest)
    by_record = split(manifest, (records - 80, 30, 50), stratify="diagnosis", seed=1)
    assert [len(by_record.split_rows(name)) for name in ("train", "val", "test")] == [records - 80, 30, 50]
    check(by_record)
    sizes = np.bincount(np.unique(manifest.column("patient"), return_inverse=True)[1])
    assert len(set(sizes)) == 3
    with pytest.raises(UsageError, match="sum to the 200 patients, or to the"):
        split(manifest, (100, 30, 50))
    pairs = archive(np.repeat(np.arange(10), 2), [None] * 20)
    with pytest.raises(UsageError, match="whole patients cannot be divided"):
        split(pairs, (13, 3, 4))


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(UsageError, match="no target 'sex' in the manifest: it has diagnosis, age"):
        split(cohort(0), stratify="sex")
    manifest = cohort(0)
    unknown = manifest.with_column("patient", pa.nulls(len(manifest), pa.int64()))
    with pytest.raises(MedclError, match="no readable record with a patient"):
        split(unknown)


def test_cross_validation_tests_every_patient_once() -> None:
    manifest = cohort(6)
    parts = [folds(manifest, 5, fold, stratify="diagnosis", seed=1) for fold in range(5)]
    tested = [patient for part in parts for patient, name in by_patient(part).items() if name == "test"]
    assert sorted(tested) == sorted(set(manifest.column("patient").tolist()))
    for part, following in zip(parts, [*parts[1:], parts[0]], strict=True):
        np.testing.assert_array_equal(part.split_rows("val"), following.split_rows("test"))
        assert sum(name == "test" for name in by_patient(part).values()) == pytest.approx(40, abs=2)


def test_folds_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 3 folds"):
        folds(cohort(0), 2, 0)
    with pytest.raises(UsageError, match="fold 5 of 5"):
        folds(cohort(0), 5, 5)
    with pytest.raises(UsageError, match="3 patients cannot be divided into 5 folds"):
        folds(archive(np.arange(3), [["NORM"]] * 3), 5, 0)


def test_official_folds_are_taken_over() -> None:
    manifest = archive(np.array([7, 7, 8, 9, 10]), [["NORM"]] * 5)
    done = official(manifest, ["1", "2", "3", "4", None], OFFICIAL)
    assert done.column("split").tolist() == ["train", "train", "val", "test", None]
    with pytest.raises(MedclError, match="'fold': fold 5 belongs to no split"):
        official(manifest, ["1", "1", "3", "5", None], OFFICIAL)
    with pytest.raises(MedclError, match="1 of 4 patients are in two splits: 7 in train and test"):
        official(manifest, ["1", "4", "3", "4", "1"], OFFICIAL)


def test_patients_in_two_splits_are_counted_and_some_are_named() -> None:
    patients = 2**62 + np.repeat(np.arange(8), 2)
    manifest = archive(patients, [["NORM"]] * 16).with_column("split", pa.array(["train", "test"] * 8))
    with pytest.raises(MedclError, match="8 of 8 patients are in two splits") as raised:
        check(manifest)
    # Codes are named to the last digit: a float in between would have rounded them.
    assert f"{2**62 + 1} in train and test" in str(raised.value)
    assert "and 3 more" in str(raised.value)


def test_a_class_missing_from_a_split_is_named_with_it() -> None:
    labels = [["NORM"], ["MI"], ["HYP"], ["NORM", "MI"], ["NORM"], None]
    manifest = archive(np.arange(6), labels)
    manifest = manifest.with_column("split", pa.array(["train", "train", "train", "val", "test", "test"]))
    assert missing_classes(manifest, "diagnosis") == {"train": [], "val": ["HYP"], "test": ["MI", "HYP"]}
    assert missing_classes(manifest, "age") == {"train": [], "val": [], "test": []}


def test_a_split_without_test_patients_says_what_to_ask_for() -> None:
    path = Path("ct.parquet")
    assert missing_splits({"train": 7, "val": 1, "test": 2}, path) == ""
    hint = missing_splits({"train": 7, "val": 0, "test": 3}, path)
    assert "val has no patient" in hint
    assert "test has" not in hint
    assert "ct.parquet" in hint
    asked = [int(word) for word in hint.rstrip("`").split()[-3:]]
    assert asked == [7, 1, 2]
    made = split(archive(np.arange(10), [None] * 10), asked)
    assert [len(made.split_rows(name)) for name in ("train", "val", "test")] == asked
    assert "at least 3 patients" in missing_splits({"train": 2, "val": 0, "test": 0}, path)
