"""A label table is text, whatever file it comes from, or it is refused with what is wrong."""

import json
from pathlib import Path

import pytest

from medcl.archive.table import FILE_COLUMN, read_table
from medcl.errors import MedclError, UsageError

CASES = [
    {"id": 1, "Description": {"Caption": " a cyst ", "Age": 56.5}, "images": ["a", "b"], "seen": True},
    {"id": "007", "Description": {"Caption": "N/A"}, "images": [], "boxes": [[1, 2]]},
]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_objects_are_rows_and_nested_keys_are_joined_with_dots(tmp_path: Path, suffix: str) -> None:
    lines = "\n".join(json.dumps(case) for case in CASES) + "\n\n"
    table = read_table(write(tmp_path / f"t.{suffix}", json.dumps(CASES) if suffix == "json" else lines))
    assert table.columns == {
        "id": ["1", "007"],
        "Description.Caption": ["a cyst", None],
        "Description.Age": ["56.5", None],
        "images": ["a|b", None],
        "seen": ["true", None],
        "boxes": [None, "[[1, 2]]"],
    }
    assert len(table) == 2


def test_a_line_separator_within_a_text_of_json_lines_is_no_end_of_a_row(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", '{"text": "one\u2028two"}\n{"text": "three"}')
    assert read_table(path).column("text") == ["one\u2028two", "three"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.json", b'{"train": []}', "holds no list of objects, one a row, but an object"),
        ("t.json", b'[{"a": 1}, 2]', "object 2: a row is an object, not 2"),
        ("t.json", b"[{", "not JSON"),
        ("t.json", b"[]", "no rows"),
        ("t.json", b'[{"a.b": 1, "a": {"b": 2}}]', "object 1: the key 'a.b' occurs twice"),
        ("t.json", '[{"a": "männlich"}]'.encode("latin-1"), "not UTF-8"),
        ("t.jsonl", b'{"a": 1}\n{"a": \n', "line 2: not JSON"),
        ("t.jsonl", b"", "no rows"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MedclError, match=words):
        read_table(tmp_path / name)


def test_the_files_of_one_table_follow_one_another(tmp_path: Path) -> None:
    for name in ("train", "test"):
        write(tmp_path / f"{name}.csv", f"file,sex\n{name}/1,f\n{name}/2,m\n")
    by_name = read_table(tmp_path / "*.csv")
    assert by_name.column("file") == ["test/1", "test/2", "train/1", "train/2"]
    assert by_name.column(FILE_COLUMN) == ["test", "test", "train", "train"]
    assert [path.name for path in by_name.files] == ["test.csv"] * 2 + ["train.csv"] * 2
    as_listed = read_table([tmp_path / "train.csv", tmp_path / "test.csv"])
    assert as_listed.column("file") == ["train/1", "train/2", "test/1", "test/2"]
    # Codes are the same whichever file they stand in: 1.0 and 2 are two whole numbers.
    write(tmp_path / "a.jsonl", '{"id": 1.0}\n')
    write(tmp_path / "b.jsonl", '{"id": 2, "sex": "f"}\n')
    both = read_table(tmp_path / "*.jsonl")
    assert both.codes("id") == ["1", "2"]
    assert both.column("sex") == [None, "f"]


def test_files_of_one_table_that_differ_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "file,sex\n1,f\n")
    write(tmp_path / "b.csv", "file,age\n2,50\n")
    with pytest.raises(MedclError, match="a.csv: no column 'age', which another file of the table has"):
        read_table(tmp_path / "*.csv")
    with pytest.raises(UsageError, match="the pattern matches no file"):
        read_table(tmp_path / "*.tsv")
    with pytest.raises(UsageError, match="c.csv: no such file"):
        read_table([tmp_path / "a.csv", tmp_path / "c.csv"])


def test_a_file_whose_name_looks_like_a_pattern_is_read(tmp_path: Path) -> None:
    assert read_table(write(tmp_path / "t[1].csv", "a\n1\n")).column("a") == ["1"]


def test_a_report_may_be_longer_than_what_the_csv_module_allows(tmp_path: Path) -> None:
    text = "effusion " * 20_000
    table = read_table(write(tmp_path / "t.csv", f"file,report\n1,{text}\n"))
    assert table.column("report") == [text.strip()]
