import json
import math
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from medcl.errors import MedclError
from medcl.evaluate import results, results_tables
from medcl.evaluate.results import Estimate, Results
from tests.evaluate.made_results import make_results


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_saved_results_load_as_they_were(tmp_path: Path, kind: str) -> None:
    classes = {"regression": (), "binary": ("no", "yes")}.get(kind, ("NORM", "MI", "STTC"))
    results = make_results(kind=kind, classes=classes)
    results.save(tmp_path / "eval" / "results.json")
    assert Results.load(tmp_path / "eval" / "results.json") == results
    assert [p.name for p in (tmp_path / "eval").iterdir()] == ["results.json"]


def test_numbers_that_are_none_are_null_and_come_back_as_nan(tmp_path: Path) -> None:
    results = make_results(repeats=1)
    results = replace(results, summary=(replace(results.summary[0], low=math.nan),))
    results.save(tmp_path / "results.json")
    text = (tmp_path / "results.json").read_text()
    assert json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))["summary"][0]["low"] is None
    assert math.isnan(Results.load(tmp_path / "results.json").summary[0].low)


def test_numpy_values_and_paths_are_saved(tmp_path: Path) -> None:
    config = {
        "lr": np.float32(0.5),
        "steps": np.int64(3),
        "cuts": np.arange(2),
        "store": Path("store"),
        "low": math.inf,
    }
    replace(make_results(), config=config).save(tmp_path / "results.json")
    loaded = Results.load(tmp_path / "results.json")
    assert loaded.config == {"lr": 0.5, "steps": 3, "cuts": [0, 1], "store": "store", "low": None}


def test_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    make_results().save(path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        replace(make_results(), config={"function": print}).save(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("not json", "damaged, or not written by medcl"),
        ("[1, 2]", "damaged, or not written by medcl"),
        ('{"version": "one"}', "no version"),
        ('{"version": 99}', "update medcl"),
        ('{"version": 1, "run": "runs/x"}', "lacks"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(MedclError, match=complaint) as caught:
        Results.load(path)
    assert str(path) in str(caught.value)


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.json", tmp_path):
        with pytest.raises(MedclError, match=r"results\.json of a finished evaluation"):
            Results.load(path)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda c: c["summary"][2].update(mean="high"), r"summary\[2\]\.mean"),
        (lambda c: c["arms"][0].update(kind="imagenet"), r"arms\[0\]\.kind"),
        (lambda c: c["scores"][0].update(repeat=True), r"scores\[0\]\.repeat"),
        (lambda c: c["splits"].update(test=[]), r"splits\.test"),
        (lambda c: c["fractions"][1].pop("patients"), r"fractions\[1\] lacks patients"),
        (lambda c: c["target"].update(kind="dream"), r"target\.kind"),
        (lambda c: c["splits"].pop("test"), "test split"),
    ],
)
def test_a_damaged_entry_is_named(tmp_path: Path, change, where: str) -> None:
    path = tmp_path / "results.json"
    make_results().save(path)
    content = json.loads(path.read_text())
    del content["crc32"]
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(MedclError, match=where):
        Results.load(path)


def test_unknown_entries_of_the_same_version_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results = make_results()
    results.save(path)
    content = json.loads(path.read_text()) | {"later": 1}
    del content["crc32"]
    path.write_text(json.dumps(content))
    assert Results.load(path) == results


@pytest.mark.parametrize(
    ("low", "high", "excludes"),
    [(0.01, 0.1, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0.0, 0.1, False), (math.nan, math.nan, False)],
)
def test_an_interval_excludes_zero_only_if_it_lies_on_one_side(low: float, high: float, excludes: bool) -> None:
    assert Estimate("1%", "auroc", 0.0, low, high, 5).excludes_zero is excludes


def test_results_of_version_1_say_the_same_in_arms() -> None:
    path = next((Path(__file__).parents[1] / "fixtures" / "v0_1" / "results").glob("signal/results.json"))
    old, new = json.loads(path.read_text()), Results.load(path)
    assert [(arm.name, arm.kind) for arm in new.arms] == [("pretrained", "run"), ("random", "random")]
    for row in old["summary"]:
        found = new.find(row["protocol"], row["init"], row["label"], row["metric"])
        assert found is not None
        assert found.mean == row["mean"]
        assert (found.repeats_low, found.repeats_high) == pytest.approx((row["low"], row["high"]), nan_ok=True)
    for row in old["differences"]:
        found = new.difference(row["protocol"], "pretrained", "random", row["label"], row["metric"])
        assert found is not None
        assert found.mean == row["mean"]


def test_retrieval_of_version_0_1_says_the_same_in_arms() -> None:
    path = Path(__file__).parents[1] / "fixtures" / "v0_1" / "results" / "joint" / "results.json"
    old, new = json.loads(path.read_text()), Results.load(path)
    assert [(arm.name, arm.kind) for arm in new.arms] == [("pretrained", "run"), ("chance", "baseline")]
    for one, queries in zip(old["retrieval"], new.queries, strict=False):
        assert queries.protocol == f"{one['query']} to {one['candidate']}: {one['hit']}"
        assert (queries.records, queries.candidates) == (one["found"]["queries"], one["found"]["candidates"])
        for measure in one["found"]["measures"]:
            cell = queries.protocol, "0", measure["metric"].replace(" ", "_")
            run, chance = (new.find(cell[0], arm, *cell[1:]) for arm in ("pretrained", "chance"))
            assert run is not None
            assert chance is not None
            assert (run.mean, run.low, run.high) == (measure["value"], measure["low"], measure["high"])
            assert chance.mean == measure["chance"]
            gap = new.difference(cell[0], "pretrained", "chance", *cell[1:])
            assert gap is not None
            assert gap.mean == pytest.approx(measure["value"] - measure["chance"])
            assert math.isnan(gap.low)
    (classified,) = (one["result"] for one in old["zero_shot"])
    for name, value in classified["per_class"].items():
        found = new.find("zero-shot lesion of images", "pretrained", "0", "auroc", name)
        assert found is not None
        assert found.mean == value
    (gap_of_old,) = (one["gap"] for one in old["gaps"])
    found = new.find("modality gap of images and reports", "pretrained", "0", "centroid_distance")
    assert found is not None
    assert found.mean == gap_of_old["distance"]
    assert new.splits["test"].records == sum(old["records"].values())


def test_the_schema_page_names_every_key_of_the_file() -> None:
    page = (Path(__file__).parents[2] / "docs" / "results-schema.md").read_text()
    kinds = [kind for module in (results, results_tables) for kind in vars(module).values()]
    for kind in filter(is_dataclass, kinds):
        for one in fields(kind):
            assert f"| `{one.name}` |" in page, f"{kind.__name__}.{one.name}"
    assert f"version {results.VERSION} of the schema" in page
