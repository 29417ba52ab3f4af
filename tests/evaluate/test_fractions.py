"""Label fractions: what can be asked for, and what every subset then promises."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcl.archive.manifest import Manifest, Target
from medcl.errors import MedclError, UsageError
from medcl.evaluate.fractions import UNITS, Ordering, Subset, draw, order, random_order
from medcl.evaluate.label_fraction import LabelFraction, parse

CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
PREVALENCE = np.array([0.55, 0.15, 0.2, 0.16, 0.08])


def ordering(manifest: Manifest, target: str, *, unit: str = "patient", seed: int = 0) -> Ordering:
    of, train = manifest.targets[target], manifest.split_rows("train")
    train = train[manifest.column("status")[train] == "ok"]
    patients = manifest.column("patient")
    return order(
        manifest.labels(target),
        of.kind,
        of.classes,
        patients,
        train,
        unit=unit,
        seed=seed,
        name=target,  # type: ignore[arg-type]
    )


def subset(manifest: Manifest, text: str, *, target: str, seed: int = 0) -> Subset:
    return ordering(manifest, target, seed=seed).take(parse(text))


def manifest_of(
    patients: np.ndarray, target: Target, labels: pa.Array, split: list[str | None] | None = None
) -> Manifest:
    """Readable records in one row each; all to be trained on unless told."""
    n = len(patients)
    table = pa.table(
        {
            "record_id": [f"r{i:06d}" for i in range(n)],
            "path": [f"r{i:06d}.hea" for i in range(n)],
            "patient": pa.array(patients, type=pa.int64()),
            "split": pa.array(["train"] * n if split is None else split, type=pa.string()),
            "status": ["ok"] * n,
            target.name: labels,
        }
    )
    return Manifest(table, Path("."), {}).with_targets({target.name: target})


def cohort(seed: int, n_patients: int = 300, unlabelled: float = 0.05) -> Manifest:
    """Multilabel patients with one to three recordings each; the first recordings show every class and its absence."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(rng.permutation(2**40 + np.arange(n_patients)), rng.integers(1, 4, n_patients))
    positive = rng.random((len(patients), 5)) < PREVALENCE
    positive[:5] = np.eye(5, dtype=bool)
    known = rng.random(len(patients)) >= unlabelled
    known[:5] = True
    lists = [
        [c for c, p in zip(CLASSES, row, strict=True) if p] if k else None
        for row, k in zip(positive, known, strict=True)
    ]
    return manifest_of(
        patients, Target("superclass", "multilabel", CLASSES), pa.array(lists, type=pa.list_(pa.string()))
    )


@pytest.mark.parametrize(
    ("text", "share", "count"),
    [
        ("1%", 0.01, None),
        ("10%", 0.1, None),
        ("0.5 %", 0.005, None),
        ("100%", 1.0, None),
        ("0.1", 0.1, None),
        (".25", 0.25, None),
        ("1.0", 1.0, None),
        ("1", None, 1),
        ("50", None, 50),
    ],
)
def test_what_a_fraction_means(text: str, share: float | None, count: int | None) -> None:
    assert parse(text) == LabelFraction(text, share and pytest.approx(share), count)


@pytest.mark.parametrize(
    "text", ["0%", "1000%", "100.1%", "-3", "-3%", "abc", "0", "0.0", "1.5", "nan", "inf", "", "%", "1e-2", "1 0", "٣"]
)
def test_what_is_no_fraction_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(UsageError, match="'1%'.*'0.1'.*'50'"):
        parse(text)


@settings(max_examples=25, deadline=None)
@given(data_seed=st.integers(0, 10**6), seed=st.integers(0, 10**6), unit=st.sampled_from(["patient", "record"]))
def test_every_subset_is_nested_whole_complete_and_in_proportion(data_seed: int, seed: int, unit: str) -> None:
    manifest = cohort(data_seed)
    positive = manifest.labels("superclass")
    patients = manifest.column("patient")
    labelled = np.flatnonzero(~np.isnan(positive).any(1))
    ordered = ordering(manifest, "superclass", unit=unit, seed=seed)
    before: set[int] = set()
    for text in ("1%", "2%", "10%", "0.3", "60%", "100%"):
        got = ordered.take(parse(text))
        rows = set(got.rows.tolist())
        assert before <= rows <= set(labelled.tolist())
        before = rows
        assert (got.n_records, got.n_patients) == (len(rows), len(np.unique(patients[got.rows])))
        found = positive[got.rows]
        assert found.any(0).all()
        assert not found.all(0).any()
        assert got.per_class == dict(zip(CLASSES, found.sum(0).astype(int).tolist(), strict=True))
        units, everything = (patients[got.rows], patients[labelled]) if unit == "patient" else (got.rows, labelled)
        size, total = len(np.unique(units)), len(np.unique(everything))
        if not got.raised:
            assert size == round(parse(text).share * total)
        if unit == "patient":
            rest = labelled[~np.isin(labelled, got.rows)]
            assert not set(patients[rest].tolist()) & set(patients[got.rows].tolist())
        for k in range(5):
            bearers = len(np.unique(everything[positive[labelled, k] == 1]))
            held = len(np.unique(units[found[:, k] == 1]))
            assert abs(held - size * bearers / total) <= 3
    assert before == set(labelled.tolist())


def test_the_draw_depends_on_the_seed_and_not_on_codes_or_repetition() -> None:
    manifest = cohort(1)
    recoded = manifest.with_column("patient", pa.array(manifest.column("patient") * -7 + 2**50, type=pa.int64()))
    ask = {"target": "superclass", "seed": 4}
    first = subset(manifest, "10%", **ask)
    np.testing.assert_array_equal(first.rows, subset(manifest, "10%", **ask).rows)
    np.testing.assert_array_equal(first.rows, subset(recoded, "10%", **ask).rows)
    other = subset(manifest, "10%", target="superclass", seed=5)
    assert len(set(first.rows.tolist()) & set(other.rows.tolist())) < len(first.rows) / 2


def test_only_readable_labelled_training_records_are_used() -> None:
    manifest = cohort(2)
    split = np.array(["train", "val", "test"], dtype=object)[manifest.column("patient") % 3]
    status = np.where(np.arange(len(manifest)) % 7 == 6, "truncated", "ok")
    manifest = manifest.with_column("split", pa.array(split)).with_column("status", pa.array(status))
    rows = subset(manifest, "100%", target="superclass").rows
    known = ~np.isnan(manifest.labels("superclass")).any(1)
    np.testing.assert_array_equal(rows, np.flatnonzero((split == "train") & (status == "ok") & known))


def test_a_share_below_the_minimum_is_raised_and_a_count_below_it_refused() -> None:
    manifest = cohort(3)
    ordered = ordering(manifest, "superclass", seed=0)
    one = ordered.take(parse("0.1%"))
    assert one.raised
    assert one.n_patients == ordered.minimum <= 10
    assert not ordered.take(parse(str(ordered.minimum))).raised
    with pytest.raises(UsageError, match=f"--labels 1: 1 patients, but at least {ordered.minimum} are needed"):
        ordered.take(parse("1"))
    with pytest.raises(UsageError, match="but the training split has 300 that are labelled"):
        ordering(cohort(3, unlabelled=0), "superclass").take(parse("301"))


def test_a_class_that_training_lacks_is_named() -> None:
    patients = np.arange(6)
    target = Target("superclass", "multilabel", ("NORM", "MI", "HYP"))
    lists = pa.array([["NORM"], ["NORM", "MI"], ["NORM"], ["NORM"], ["NORM", "HYP"], []], type=pa.list_(pa.string()))
    manifest = manifest_of(patients, target, lists, ["train"] * 4 + ["test"] * 2)
    with pytest.raises(MedclError, match="'superclass': no positive record of HYP in the training split"):
        ordering(manifest, "superclass")
    with pytest.raises(MedclError, match="no negative record of NORM"):
        ordering(manifest.with_column("split", pa.array(["train"] * 5 + ["test"])), "superclass")
    with pytest.raises(MedclError, match="no record of the training split has a label"):
        ordering(manifest.with_column("split", pa.array(["test"] * 6)), "superclass")


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_single_labels_show_every_class_at_any_size(kind: str) -> None:
    rng = np.random.default_rng(5)
    classes = ("a", "b") if kind == "binary" else ("a", "b", "c", "d")
    values = rng.choice(classes, 400, p=(0.9, 0.1) if kind == "binary" else (0.7, 0.2, 0.08, 0.02))
    manifest = manifest_of(rng.permutation(400), Target("y", kind, classes), pa.array(values))
    for seed in range(5):
        tiny = subset(manifest, "0.3%", target="y", seed=seed)
        assert tiny.per_class == dict.fromkeys(classes, 1)
        tenth = subset(manifest, "10%", target="y", seed=seed)
        for name in classes:
            assert tenth.per_class[name] == pytest.approx((values == name).sum() / 10, abs=1.5)


def test_regression_subsets_span_the_values() -> None:
    rng = np.random.default_rng(6)
    age = rng.normal(60, 15, 500)
    manifest = manifest_of(rng.permutation(500), Target("age", "regression"), pa.array(age))
    got = subset(manifest, "4%", target="age", seed=1)
    fifths = np.searchsorted(np.quantile(age, [0.2, 0.4, 0.6, 0.8]), age[got.rows])
    np.testing.assert_array_equal(np.bincount(fifths, minlength=5), [4, 4, 4, 4, 4])
    assert got.per_class == {}
    two = subset(manifest, "0.1%", target="age")
    assert (two.n_patients, two.raised) == (2, True)


def test_a_new_unit_counts_for_labels_and_for_label_maps_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = cohort(0)
    study = manifest.column("patient") // 2
    monkeypatch.setitem(UNITS, "study", lambda patients: np.unique(patients // 2, return_inverse=True)[1])
    rows = manifest.split_rows("train")
    orders = {
        "labels": lambda seed: ordering(manifest, "superclass", unit="study", seed=seed),
        "label maps": lambda seed: random_order(manifest.column("patient"), rows, unit="study", seed=seed),
    }
    for one in orders.values():
        drawn = draw(one, ["30", "50%"], repeats=2, seed=0)
        assert [len(np.unique(study[few.rows])) for few, _ in drawn] == [30, 30]
        assert all(set(few.rows) < set(many.rows) for few, many in drawn)
        assert set(drawn[0][0].rows) != set(drawn[1][0].rows)
