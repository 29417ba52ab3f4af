"""A label table is text, whatever file it comes from, or it is refused with what is wrong."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medcl.archive import targets
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
        ("t.json", b'[{"a": 1}, 2]', "object 2: a row is an object, not a single value"),
        ("t.json", b"[{", "not JSON"),
        ("t.json", b"[]", "no rows"),
        ("t.json", b'[{"a.b": 1, "a": {"b": 2}}]', "object 1: the key 'a.b' occurs twice"),
        ("t.json", '[{"a": "männlich"}]'.encode("latin-1"), "not UTF-8"),
        ("t.jsonl", b'{"a": 1}\n{"a": \n', "line 2: not JSON"),
        ("t.jsonl", b"", "no rows"),
        ("t.json", b"[" * 10_000, "t.json: nested too deeply"),
        ("t.json", b'[{"a": ' + b"[" * 100 + b"]" * 100 + b"}]", "object 1: nested too deeply"),
        ("t.jsonl", b'{"a": 1}\n{"a": ' + b"9" * 5000 + b"}", "line 2: not JSON: a number of too many digits"),
        ("t.json", b'[{"a": "\0"}]', "line 1: binary zeros"),
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


@pytest.mark.parametrize(
    "word",
    ["n/a", "N/A", "NaN", "NA", "<NA>", "#N/A", ".", "-", "--", "?", "unknown", "UNKNOWN", "NULL", "NaT", "unbekannt"],
)
def test_a_word_for_a_missing_value_is_no_class_and_no_number(tmp_path: Path, word: str) -> None:
    table = read_table(write(tmp_path / "t.csv", f"age,group\n20.5,a\n{word},b\n30.5,{word}\n31.5, {word} \n"))
    age, group = targets.infer(table, "age"), targets.infer(table, "group")
    assert (age.target.kind, age.values) == ("regression", [20.5, None, 30.5, 31.5])
    assert (group.target.classes, group.values) == (("a", "b"), ["a", "b", None, None])


def test_what_may_be_a_value_is_one_where_its_column_says_so(tmp_path: Path) -> None:
    table = read_table(
        write(
            tmp_path / "t.csv",
            "test,grade,age,seen\n+,none,1.5,True\n-,mild,none,None\n++,none,2.5,False\n?,no,3,True\n",
        )
    )
    assert table.column("seen") == ["True", None, "False", "True"]
    assert table.column("test") == ["+", "-", "++", None]
    assert table.column("grade") == ["none", "mild", "none", "no"]
    assert table.column("age") == ["1.5", None, "2.5", "3"]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("мир", "cp1251"), ("größer", "mac_roman"), ("mała", "cp1250"), ("日本", "shift_jis"), ("мир", "koi8_r")],
)
def test_another_code_page_is_not_taken_for_windows_1252(tmp_path: Path, text: str, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes(f"a,b\n1,x\n2,{text} {text}\n".encode(encoding))
    with pytest.raises(MedclError, match="t.csv, line 3: not UTF-8 text and not Windows-1252; save it as UTF-8"):
        read_table(tmp_path / "t.csv")


def test_a_table_without_a_heading_is_not_listed(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "t.csv", "secret-7,1\nsecret-8,2\n"))
    with pytest.raises(
        UsageError, match="no column 'file'; its first line holds numbers: is the heading missing"
    ) as raised:
        table.column("file")
    assert "secret" not in str(raised.value)


def test_words_of_the_user_are_missing_in_every_format(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", "age,group\n20.5,a\n-99,b\n30.5,Not Done\n")
    write(
        tmp_path / "t.json",
        '[{"age": 20.5, "group": "a"}, {"age": -99, "group": "b"}, {"age": 30.5, "group": "not done"}]',
    )
    for name in ("t.csv", "t.json"):
        table = read_table(tmp_path / name, ["-99", "not done"])
        assert table.column("age") == ["20.5", None, "30.5"]
        assert table.column("group") == ["a", "b", None]


def test_missing_values_of_parquet_and_json(tmp_path: Path) -> None:
    columns = {"age": pa.array([1.5, float("nan"), None, 2.5]), "sex": ["f", "n/a", "m", "Unknown"]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    write(
        tmp_path / "t.json",
        '[{"age": 1.5, "sex": "f"}, {"age": NaN, "sex": "n/a"}, {"sex": "m"}, {"age": 2.5, "sex": "Unknown"}]',
    )
    for name in ("t.parquet", "t.json"):
        table = read_table(tmp_path / name)
        assert targets.infer(table, "age", "regression").values == [1.5, None, None, 2.5]
        assert targets.infer(table, "sex").values == ["f", None, "m", None]


ROWS = [["a0", "1,5", "größer"], ["a1", "2,25", "kleiner"]]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.csv", "file;dose;size\na0;1,5;größer\na1;2,25;kleiner\n", "separator a semicolon"),
        ("t.csv", "sep=;\r\nfile;dose;size\r\na0;1,5;größer\r\na1;2,25;kleiner\r\n", "separator a semicolon"),
        ("t.csv", "file\tdose\tsize\na0\t1,5\tgrößer\na1\t2,25\tkleiner\n", "separator a tab"),
        ("t.csv", "file|dose|size\na0|1,5|größer\na1|2,25|kleiner\n", "separator '|'"),
        ("t.csv", 'file,dose,size\na0,"1,5",größer\na1,"2,25",kleiner\n', ""),
        ("t.csv", "file;dose;size;;\na0;1,5;größer;;\n;;;;\na1;2,25;kleiner\n\n", "separator a semicolon"),
        ("t.csv", "\ufefffile;dose;size\na0;1,5;größer\na1;2,25;kleiner\n", "separator a semicolon"),
        ("t.tsv", "file\tdose\tsize\na0\t1,5\tgrößer\na1\t2,25\tkleiner\n", ""),
        ("t.tsv", 'sep=,\nfile,dose,size\na0,"1,5",größer\na1,"2,25",kleiner\n', "separator a comma"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_what_spreadsheets_write_is_read(tmp_path: Path, name: str, content: str, told: str, encoding: str) -> None:
    if encoding == "cp1252":
        content = content.removeprefix("\ufeff")
    (tmp_path / name).write_bytes(content.encode(encoding))
    table = read_table(tmp_path / name)
    assert [list(row) for row in zip(*table.columns.values(), strict=True)] == ROWS
    assert list(table.columns) == ["file", "dose", "size"]
    assert targets.infer(table, "dose", "regression").values == [1.5, 2.25]
    shown = {"utf-8": "", "utf-32": "UTF-32", "cp1252": "Windows-1252"}.get(encoding, "UTF-16")
    assert table.dialect == ", ".join(part for part in (shown, told) if part)


def test_a_comma_within_a_heading_is_no_separator(tmp_path: Path) -> None:
    for heading in ('file;dx;"note, free"', "file;dx;note, free"):
        for cells in ("a0;A;x\na1;B;1,5\n", "a0;A;1,5\na1;B;2,5\n"):
            table = read_table(write(tmp_path / "t.csv", f"{heading}\n{cells}"))
            assert list(table.columns) == ["file", "dx", "note, free"]
            assert table.column("dx") == ["A", "B"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("file;dx,dy\na;b,c\n", "line 1: the separator may be a comma or a semicolon"),
        ("file,dx\na,b\n\nc,d,e\n", "line 4: 3 cells under 2 headings; the separator was taken to be a comma"),
        ('file,dx\na,"two\nlines"\nb\n', "line 4: 1 cells under 2 headings"),
        ('file,dx\na,"open\nb,c\n', "line 2: a quotation mark is opened and not closed"),
        ("file,dx,\na,b,c\nd,e,\n", None),
        ("file,,\na,b,c\n", "several columns without a heading"),
        ("file,dx\na,b\0\n", "line 2: binary zeros"),
    ],
)
def test_a_dialect_that_cannot_be_told_is_refused_with_the_line(
    tmp_path: Path, content: str, words: str | None
) -> None:
    path = write(tmp_path / "t.csv", content)
    if words is None:
        assert read_table(path).column("") == ["c", None]
    else:
        with pytest.raises(MedclError, match=words):
            read_table(path)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1,5", "1,234"], [1.5, 1.234]),
        (["1.5", "1.234"], [1.5, 1.234]),
        (["0,125", "0,250"], [0.125, 0.25]),
        (["1,5e3", "-,5", "\N{MINUS SIGN}2"], [1500, -0.5, -2]),
        (["1,234", "2,345"], "line 2, column 'y': a comma that may be decimal or a separator of thousands"),
        (["1,5", "1.234"], "line 2, column 'y': a comma, while .*line 3 has a point"),
        (["12", "1.234,5"], "line 3, column 'y': a separator of thousands"),
        (["12", "1 234"], "line 3, column 'y': a separator of thousands"),
        (["12", "1'234'567"], "line 3, column 'y': a separator of thousands"),
        (["1.234", "2.345"], "line 2, column 'y': a point that may be decimal or a separator of thousands"),
        (["1.5", "7 secret"], "line 3, column 'y': 1 of 2 values are not numbers"),
        (["1_000", "3"], "line 2, column 'y': 1 of 2 values are not numbers"),
        (["1e999", "3"], "line 2, column 'y': a number too large"),
    ],
)
def test_decimal_marks_are_told_over_the_whole_column(tmp_path: Path, cells: list[str], expected: object) -> None:
    table = read_table(write(tmp_path / "t.csv", "file;y\n" + "".join(f"{i};{cell}\n" for i, cell in enumerate(cells))))
    if isinstance(expected, str):
        with pytest.raises(UsageError, match=expected) as raised:
            targets.infer(table, "y", "regression")
        assert not any(cell in str(raised.value) for cell in cells if len(cell) > 3)
    else:
        assert targets.infer(table, "y", "regression").values == expected


def test_another_column_tells_what_a_mark_means(tmp_path: Path) -> None:
    comma = read_table(write(tmp_path / "a.csv", "y;z\n1,234;0,5\n2,345;1,5\n"))
    assert targets.infer(comma, "y", "regression").values == [1.234, 2.345]
    point = read_table(write(tmp_path / "b.csv", "y;z\n1.234;0.5\n2.345;1.5\n"))
    assert targets.infer(point, "y", "regression").values == [1.234, 2.345]
    thousands = read_table(write(tmp_path / "c.csv", "y;z\n1.234;0,5\n2.345;1,5\n"))
    with pytest.raises(UsageError, match="line 2, column 'y': a point that may be decimal"):
        targets.infer(thousands, "y", "regression")


def test_a_quantity_with_a_word_in_it_is_no_class(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "t.csv", "age\n" + "".join(f"{age}\n" for age in range(30)) + ">89\n"))
    with pytest.raises(UsageError, match="line 32, column 'age': no number.*--missing WORD.*age:multiclass"):
        targets.infer(table, "age")
    assert len(targets.infer(table, "age", "multiclass").target.classes) == 31
    few = read_table(write(tmp_path / "u.csv", "dose\n0.5\n2\n-inf\n"))
    with pytest.raises(UsageError, match="line 4, column 'dose': no number"):
        targets.infer(few, "dose")
    assert targets.infer(read_table(tmp_path / "t.csv", [">89"]), "age").target.kind == "regression"
