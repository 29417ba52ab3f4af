"""A data-set card is read completely or refused by the name of the key that is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from medcl.archive.card import DatasetCard, Folds, load
from medcl.archive.report_read import ReportRule
from medcl.errors import UsageError

DATASETS = Path(__file__).parents[2] / "datasets"

MINIMAL = {
    "name": "ward",
    "version": 1,
    "source": "https://example.org",
    "licence": "CC0",
    "citation": "nobody",
    "modality": "ecg",
    "table": {"file": "table.csv", "key": "file", "patient": "id"},
    "targets": {"sex": {"column": "sex", "kind": "binary", "classes": ["m", "f"]}},
    "folds": {"column": "fold", "train": [1, 2], "val": [3], "test": [4]},
}


def write(folder: Path, content: object) -> Path:
    path = folder / "card.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def changed(key: str, value: object) -> dict[str, object]:
    """MINIMAL with one key, dotted, set to a value."""
    content = yaml.safe_load(yaml.safe_dump(MINIMAL))
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        place = place[parent]
    place[last] = value
    return content


@pytest.mark.parametrize("path", sorted(DATASETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_card_says_where_it_is_from_and_what_is_allowed(path: Path) -> None:
    card = load(path)
    assert card.name == path.stem
    assert all(text.strip() for text in (card.source, card.licence, card.citation, card.notes))


def test_numbers_become_the_text_that_a_table_holds(tmp_path: Path) -> None:
    card = load(write(tmp_path, MINIMAL))
    assert card.version == "1"
    assert card.folds == Folds("fold", ("1", "2"), ("3",), ("4",))
    assert card.targets["sex"].classes == ("m", "f")
    assert not card.public_ids


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("licens", "CC0", "unknown key licens; known are name"),
        ("table.colum", "id", "unknown key table.colum; known are file"),
        ("targets.sex.kind", "ternary", "targets.sex.kind is 'ternary', allowed are binary"),
        ("targets.sex.classes", "m, f", "targets.sex.classes has to be a list"),
        ("targets.sex.classes", ["m", "f", "x"], "targets.sex: a binary target has two classes"),
        ("targets.sex.kind", "multilabel", "targets.sex: a multilabel target, and only that"),
        ("folds.test", [[4]], r"folds.test\[0\] has to be str"),
        ("folds.test", [3], "folds: fold 3 is in two splits"),
        ("public_ids", "yes", "public_ids has to be bool, not 'yes'"),
        ("name", True, "name has to be str, not True"),
        ("unit", "millivolt", "unit is 'millivolt', allowed are mV, uV, V"),
        ("table", None, "the card has no `table`"),
        ("table", {"file": "table.csv"}, "key table.key is missing"),
        ("targets", ["sex"], "targets has to be a mapping"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, key: str, value: object, words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        load(write(tmp_path, changed(key, value)))
    assert "card.yaml" in str(raised.value)


def test_reports_of_the_cards_own_table_need_not_name_it(tmp_path: Path) -> None:
    rules = [
        {"column": "report"},
        {"column": "note", "key": "visit", "belongs": "study"},
        {"table": ["a.jsonl", "b.jsonl"], "sections": {"FINDINGS": "f"}, "key": "who", "belongs": "patient"},
        {"files": "reports/**/*.txt", "deidentify": "none"},
    ]
    assert load(write(tmp_path, {**MINIMAL, "reports": rules})).reports == (
        ReportRule(table="table.csv", column="report", key="file"),
        ReportRule(table="table.csv", column="note", key="visit", belongs="study"),
        ReportRule(table=("a.jsonl", "b.jsonl"), sections={"FINDINGS": "f"}, key="who", belongs="patient"),
        ReportRule(files="reports/**/*.txt", deidentify="none"),
    )


@pytest.mark.parametrize(
    ("reports", "words"),
    [
        ([{"key": "file"}], r"reports\[0\]: reports in a table: `column` names"),
        ([{"columm": "report"}], r"unknown key reports\[0\].columm"),
        ([{"column": "report", "belongs": "visit"}], "belongs is 'visit', allowed are record, study, patient"),
        ([{"column": "report", "deidentify": "well"}], "deidentify is 'well', allowed are rules, presidio, none"),
    ],
)
def test_a_wrong_rule_of_reports_is_named(tmp_path: Path, reports: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load(write(tmp_path, {**MINIMAL, "reports": reports}))
    without = {key: value for key, value in MINIMAL.items() if key not in ("table", "targets", "folds")}
    with pytest.raises(UsageError, match=r"reports\[0\] is of no `files` and no `table`"):
        load(write(tmp_path, {**without, "reports": [{"column": "report"}]}))


def test_a_table_may_be_several_files(tmp_path: Path) -> None:
    for written, file in [("one.csv", "one.csv"), (["a.csv", "b.csv"], ("a.csv", "b.csv"))]:
        table = load(write(tmp_path, changed("table.file", written))).table
        assert table is not None
        assert table.file == file
    with pytest.raises(UsageError, match="table.file has to be str, not"):
        load(write(tmp_path, changed("table.file", {"a": 1})))


def test_what_is_no_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has to be a mapping with keys"):
        load(write(tmp_path, ["name", "version"]))
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path / "absent.yaml")
    (tmp_path / "broken.yaml").write_text("name: [ward")
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path / "broken.yaml")


def test_a_python_object_in_a_card_is_not_built(tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text("name: !!python/object/apply:os.getcwd []")
    with pytest.raises(UsageError, match="card.yaml, line 1: cannot be read: not YAML: a tag"):
        load(tmp_path / "card.yaml")


def test_cards_are_read_without_heavy_imports() -> None:
    code = "import sys, medcl.archive.card; print({'torch', 'mne', 'pandas', 'sklearn', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_card_is_frozen(tmp_path: Path) -> None:
    card = load(write(tmp_path, MINIMAL))
    assert isinstance(card, DatasetCard)
    with pytest.raises(AttributeError):
        card.name = "other"  # type: ignore[misc]
