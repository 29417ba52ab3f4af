"""A label table is joined completely, or its faults are counted and named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medcl.archive.build import build_manifest
from medcl.archive.card import CardTable, CardTarget, DatasetCard, Folds, Lookup
from medcl.archive.config import ScanRequest
from medcl.archive.identity import PUBLIC_SALT, code
from medcl.archive.labels import join, join_card
from medcl.archive.manifest import Manifest
from medcl.archive.split import check
from medcl.errors import MedclError, UsageError

SALT = b"a salt for tests"
PTBXL = Path(__file__).parents[2].parent / "shared" / "data" / "ptbxl500"


def archive(paths: list[str], units: list[list[str]] | None = None) -> Manifest:
    n = len(paths)
    table = pa.table(
        {
            "record_id": [f"r{i}" for i in range(n)],
            "path": paths,
            "patient": pa.array(range(n), type=pa.int64()),
            "units": pa.array([["mV"]] * n if units is None else units, type=pa.list_(pa.string())),
            "split": pa.nulls(n, pa.string()),
            "status": ["ok"] * n,
        }
    )
    return Manifest(table, Path("."), {})


FOUR = archive(["a/1.hea", "a/2.hea", "b/3.hea", "b/4.hea"])


def write(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_labels_patients_and_counts(tmp_path: Path) -> None:
    table = write(
        tmp_path,
        "file,id,sex,age,site,findings,report\n"
        "a/1,15709.0,f,56.5,3,AF|LBBB,free\na/2,13243.0,m,,1,AF,text\nb/3,15709.0,f,61,2,|,is\nc/9,1.0,m,40,1,,kept\n",
    )
    joined, report = join(
        FOUR,
        table,
        record_column="file",
        patient_column="id",
        target_columns=["sex", "age", "site", "findings"],
        salt=SALT,
    )
    assert (report.records, report.rows, report.matched, report.records_absent, report.rows_absent) == (4, 4, 3, 1, 1)
    assert report.labelled == {"sex": 3, "age": 2, "site": 3, "findings": 3}
    assert {name: target.kind for name, target in joined.targets.items()} == {
        "sex": "binary",
        "age": "regression",
        "site": "multiclass",
        "findings": "multilabel",
    }
    assert joined.targets["findings"].classes == ("AF", "LBBB")
    assert joined.table.column("sex").to_pylist() == ["f", "m", "f", None]
    assert joined.table.column("findings").to_pylist() == [["AF", "LBBB"], ["AF"], [], None]
    np.testing.assert_array_equal(joined.labels("site"), [2, 0, 1, -1])
    np.testing.assert_array_equal(joined.labels("age"), np.array([56.5, np.nan, 61, np.nan], dtype=np.float32))
    # 15709.0 is the patient 15709; a record that the table does not name has no patient.
    expected = [code("patient", "15709", SALT), code("patient", "13243", SALT), code("patient", "15709", SALT), None]
    assert joined.table.column("patient").to_pylist() == expected


def test_ids_that_only_look_like_numbers_stay_what_they_are(tmp_path: Path) -> None:
    table = write(tmp_path, "file,id\n1,007\n2,7\n3,7.5\n4,7.0\n")
    joined, _ = join(FOUR, table, record_column="file", patient_column="id", salt=SALT)
    assert len(set(joined.table.column("patient").to_pylist())) == 4


@pytest.mark.parametrize(
    "keys", [["a/1.hea", "b/3.hea"], ["a/1", "b/3"], ["./a/1", "b\\3"], ["1", "3"], ["x/1.hea", "3.hea"]]
)
def test_a_record_is_named_by_path_or_by_stem(tmp_path: Path, keys: list[str]) -> None:
    table = write(tmp_path, f"file,sex\n{keys[0]},f\n{keys[1]},m\n")
    joined, report = join(FOUR, table, record_column="file", target_columns=["sex"], salt=SALT)
    assert joined.table.column("sex").to_pylist() == ["f", None, "m", None]
    assert report.matched == 2


def test_a_stem_of_two_records_is_refused(tmp_path: Path) -> None:
    table = write(tmp_path, "file,sex\n1,f\n")
    with pytest.raises(MedclError, match="table.csv, line 2, column 'file': the name of 2 records; give their paths"):
        join(archive(["a/1.hea", "b/1.hea"]), table, record_column="file", target_columns=[], salt=SALT)


def test_no_match_says_where_and_shows_no_cell(tmp_path: Path) -> None:
    table = write(tmp_path, "file,id\nrec_77,secret-id\n")
    with pytest.raises(
        MedclError, match="The first is a name of 6 characters, in .*table.csv, line 2; .*4 records, of .hea"
    ) as raised:
        join(FOUR, table, record_column="file", patient_column="id", salt=SALT)
    assert "secret-id" not in str(raised.value)
    assert "rec_77" not in str(raised.value)


def test_rows_that_contradict_each_other_are_counted(tmp_path: Path) -> None:
    table = write(tmp_path, "file,sex,visit\n1,f,1\na/1,m,2\n2,f,1\n2,f,2\n")
    with pytest.raises(MedclError, match="1 records are named by several rows of 'file' that differ in column 'sex'"):
        join(FOUR, table, record_column="file", target_columns=["sex"], salt=SALT)
    same = write(tmp_path, "file,sex,visit\n1,f,1\na/1,f,2\n2,m,1\n", "same.csv")
    joined, report = join(FOUR, same, record_column="file", target_columns=["sex"], salt=SALT)
    assert joined.table.column("sex").to_pylist() == ["f", "m", None, None]
    assert (report.matched, report.rows_absent) == (2, 0)


@pytest.mark.parametrize("missing", ["record_column", "patient_column", "target_columns"])
def test_a_missing_column_lists_those_there_are(tmp_path: Path, missing: str) -> None:
    table = write(tmp_path, "file,id,sex\n1,x,f\n2,y,m\n")
    columns = {"record_column": "file", "patient_column": "id", "target_columns": ["sex"]}
    columns[missing] = ["filename"] if missing == "target_columns" else "filename"
    with pytest.raises(UsageError, match="no column 'filename'; there are 'file', 'id', 'sex'"):
        join(FOUR, table, salt=SALT, **columns)


def infer(folder: Path, cells: list[str], column: str = "y") -> Manifest:
    paths = [f"{i}.hea" for i in range(len(cells))]
    table = write(folder, "file,y\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells)))
    return join(archive(paths), table, record_column="file", target_columns=[column], salt=SALT)[0]


@pytest.mark.parametrize(
    ("cells", "column", "kind", "classes"),
    [
        (["0", "1", "1.0", ""], "y", "binary", ("0", "1")),
        (["no", "yes", "NA"], "y", "binary", ("no", "yes")),
        (["1", "2", "10", "10"], "y", "multiclass", ("1", "2", "10")),
        ([str(i) for i in range(40)], "y", "regression", ()),
        (["0.5", "1.5", "2"], "y", "regression", ()),
        (["1", "2", "3"], "y:regression", "regression", ()),
        (["a", "b", "c"], "y", "multiclass", ("a", "b", "c")),
        (["a;b", "b", ""], "y", "multilabel", ("a", "b")),
        (["a", "b", "a"], "y:multilabel", "multilabel", ("a", "b")),
        (["a", "b", "a"], "y:multiclass", "multiclass", ("a", "b")),
    ],
)
def test_the_kind_of_a_target_is_inferred_or_given(
    tmp_path: Path, cells: list[str], column: str, kind: str, classes: tuple[str, ...]
) -> None:
    target = infer(tmp_path, cells, column).targets["y"]
    assert (target.kind, target.classes) == (kind, classes)


@pytest.mark.parametrize(
    ("cells", "column", "words"),
    [
        (["a", "a"], "y", "1 distinct values"),
        (["", ""], "y", "0 distinct values"),
        (["a", "b", "c"], "y:binary", "3 distinct values, but a binary target has two"),
        (["1", "old", "2"], "y:regression", "1 of 3 values are not numbers"),
        ([f"a finding of its own {i}" for i in range(80)], "y", "80 distinct texts in 80 rows are free text"),
    ],
)
def test_a_column_that_is_no_target_is_refused(tmp_path: Path, cells: list[str], column: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        infer(tmp_path, cells, column)


def test_a_target_cannot_take_the_name_of_a_manifest_column(tmp_path: Path) -> None:
    table = write(tmp_path, "file,split\n1,a\n2,b\n")
    with pytest.raises(UsageError, match="a target cannot be named 'split'"):
        join(FOUR, table, record_column="file", target_columns=["split"], salt=SALT)


def test_tables_of_other_formats_say_the_same(tmp_path: Path) -> None:
    rows = {"file": ["1", "2", "3"], "age": ["50", "60.5", ""], "text": ['a "quoted", two\nline cell', "b", "c"]}
    write(tmp_path, 'file,age,text\n1,50,"a ""quoted"", two\nline cell"\n2,60.5,b\n3,,c\n', "t.csv")
    write(tmp_path, '\ufefffile\tage\ttext\n1\t50\t"a ""quoted"", two\nline cell"\n2\t60.5\tb\n3\t\tc\n', "t.tsv")
    write(tmp_path, 'file;age;text\n1;50;"a ""quoted"", two\nline cell"\n2;60.5;b\n3;;c\n', "semicolon.csv")
    ages = pa.array([50, 60.5, None], type=pa.float64())
    pq.write_table(pa.table({"file": pa.array([1, 2, 3]), "age": ages, "text": rows["text"]}), tmp_path / "t.parquet")
    for name in ("t.csv", "t.tsv", "semicolon.csv", "t.parquet"):
        joined, _ = join(
            FOUR, tmp_path / name, record_column="file", target_columns=["age:regression", "text"], salt=SALT
        )
        assert joined.table.column("age").to_pylist() == [50, 60.5, None, None]
        assert joined.table.column("text").to_pylist() == [*rows["text"], None]


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("t.csv", b"file,sex\n1,f,x\n", MedclError, "line 2: 3 cells under 2 headings"),
        ("t.csv", b"file,file\n1,f\n", MedclError, "'file' occurs twice"),
        ("t.csv", b"file,sex\n", MedclError, "no rows"),
        ("t.csv", b"", MedclError, "no rows"),
        ("t.csv", "file,sex\n1,f\n2,mała\n".encode("cp1250"), MedclError, "line 3: not UTF-8.*save it as UTF-8"),
        ("t.parquet", b"file,sex\n1,f\n", MedclError, "not a Parquet file"),
        ("t.xlsx", b"", UsageError, "is .csv, .tsv, .txt, .parquet, .json or .jsonl"),
        ("absent.csv", None, UsageError, "no such file"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes | None, error: type, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=words):
        join(FOUR, tmp_path / name, record_column="file", salt=SALT)


def ward(**changes: object) -> DatasetCard:
    """A card with a lookup, codes and folds."""
    settings: dict[str, object] = {
        "name": "ward",
        "version": "1",
        "source": "here",
        "licence": "CC0",
        "citation": "nobody",
        "modality": "ecg",
        "unit": "mV",
        "table": CardTable("table.csv", "file", "id"),
        "targets": {
            "disease": CardTarget(
                "codes",
                "multilabel",
                ("NORM", "MI"),
                parse="dict",
                lookup=Lookup("codes.csv", "", "class", {"use": "1"}),
            ),
            "sex": CardTarget("sex", "binary", ("male", "female"), values={"0": "male", "1": "female"}, unknown=("9",)),
            "age": CardTarget("age", "regression", unknown=("300",)),
        },
        "folds": Folds("fold", ("1",), ("2",), ("3",)),
    }
    return DatasetCard(**{**settings, **changes})  # type: ignore[arg-type]


def write_ward(folder: Path, table: str | None = None) -> Path:
    write(
        folder,
        table
        or "file,id,codes,sex,age,fold\n1,5.0,\"{'IMI': 80.0, 'SR': 0.0}\",0,56,1\n2,5.0,\"{'SR': 0.0}\",1,300.0,1\n"
        "3,6.0,\"{'NORM': 100.0, 'AMI': 15.0, 'OLD': 1.0}\",9,,2\n4,7.0,{},1.0,41.5,3\n",
    )
    write(folder, ",class,use\nNORM,NORM,1.0\nIMI,MI,1.0\nAMI,MI,1.0\nSR,,1.0\nOLD,CD,\n", "codes.csv")
    return folder


def test_a_card_is_followed(tmp_path: Path) -> None:
    joined, report = join_card(FOUR, ward(), write_ward(tmp_path), salt=SALT)
    assert joined.table.column("disease").to_pylist() == [["MI"], None, ["NORM", "MI"], None]
    assert joined.table.column("sex").to_pylist() == ["male", "female", None, "female"]
    assert joined.table.column("age").to_pylist() == [56, None, None, 41.5]
    assert joined.column("split").tolist() == ["train", "train", "val", "test"]
    assert joined.targets["disease"].classes == ("NORM", "MI")
    assert report.labelled == {"disease": 2, "sex": 3, "age": 2}
    assert joined.table.column("patient").to_pylist()[0] == code("patient", "5", SALT)


def test_a_file_in_another_unit_than_the_card_is_quarantined(tmp_path: Path) -> None:
    paths = ["1.hea", "2.hea", "3.hea", "4.hea"]
    manifest = archive(paths, [["mV", "mV"], ["uV", "mV"], ["mV", "bpm"], ["mmHg"]])
    joined, report = join_card(manifest, ward(), write_ward(tmp_path), salt=SALT)
    assert report.other_unit == 2
    assert joined.column("status").tolist() == [
        "ok",
        "the file is in mV and uV, the data-set card says mV",
        "ok",
        "the file is in no voltage, the data-set card says mV",
    ]
    assert joined.column("split").tolist() == ["train", None, "val", None]


def test_a_split_may_be_a_file_of_its_own_and_a_column_tell_the_modality(tmp_path: Path) -> None:
    for name, rows in {"train": "1,5,ECG\n2,5,Brain\n", "test": "3,6,\n4,6,eeg\n"}.items():
        write(tmp_path, f"file,id,kind\n{rows}", f"{name}.csv")
    table = CardTable(("train.csv", "test.csv"), "file", "id", modality="kind", modality_values={"Brain": "eeg"})
    card = ward(table=table, targets={}, folds=Folds("{file}", ("train",), (), ("test",)))
    manifest = FOUR.with_column("modality", pa.array(["ecg", "ecg", "ecg", "ecg"]))
    joined, _ = join_card(manifest, card, tmp_path, salt=SALT)
    assert joined.column("modality").tolist() == ["ecg", "eeg", "ecg", "eeg"]
    assert joined.column("split").tolist() == ["train", "train", "test", "test"]
    foreign = replace(card, table=CardTable(("train.csv", "test.csv"), "file", "id", modality="kind"))
    with pytest.raises(MedclError, match="train.csv, line 3, column 'kind': none of ecg, .*`modality_values`"):
        join_card(manifest, foreign, tmp_path, salt=SALT)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (
            "file,id,codes,sex,age,fold\n1,5,{},2,56,1\n",
            "column 'sex': 1 values are no class of 'sex', the first in .*, line 2",
        ),
        ("file,id,codes,sex,age,fold\n1,5,NORM,0,56,1\n", "line 2, column 'codes': not a Python dictionary"),
        ("file,id,codes,sex,age,fold\n1,5,{},0,old,1\n", "line 2, column 'age': 1 of 1 values are not numbers"),
        (
            "file,id,codes,sex,age,fold\n1,5,{},0,56,8\n",
            "line 2, column 'fold': 1 rows have a fold that belongs to no split",
        ),
        ("file,id,codes,sex,age,fold\n1,5,{},0,56,1\n2,5,{},0,56,3\n", "1 of 1 patients are in two splits"),
        ("file,id,codes,sex,age\n1,5,{},0,56\n", "no column 'fold'"),
    ],
)
def test_a_table_that_is_not_what_the_card_says_is_refused(tmp_path: Path, table: str, words: str) -> None:
    with pytest.raises(MedclError, match=words):
        join_card(FOUR, ward(), write_ward(tmp_path, table), salt=SALT)


def test_a_code_with_two_classes_is_refused(tmp_path: Path) -> None:
    write_ward(tmp_path)
    write(tmp_path, ",class,use\nNORM,NORM,1\nNORM,MI,1\n", "codes.csv")
    with pytest.raises(
        MedclError, match="line 3, column 'class': another class than that of the same code in .*, line 2"
    ):
        join_card(FOUR, ward(), tmp_path, salt=SALT)


@pytest.mark.skipif(not PTBXL.is_dir(), reason=f"the PTB-XL subset is not at {PTBXL}")
def test_ptbxl_holds_what_its_authors_published(tmp_path: Path) -> None:
    card = Path(__file__).parents[2] / "datasets" / "ptbxl.yaml"
    report = build_manifest(ScanRequest(PTBXL, tmp_path / "ptbxl.parquet", card=card, jobs=1))
    everything = Manifest.read(tmp_path / "ptbxl.parquet")
    check(everything)
    manifest = everything.of_kind("signal")
    assert report.join is not None
    assert (report.join.matched, report.join.records_absent, report.join.rows_absent) == (500, 0, 0)
    counts = np.nansum(manifest.labels("superclass"), axis=0)
    classes = manifest.targets["superclass"].classes
    assert dict(zip(classes, counts.tolist(), strict=True)) == {"NORM": 297, "MI": 73, "STTC": 96, "CD": 78, "HYP": 40}
    assert np.isnan(manifest.labels("superclass")).any(axis=1).sum() == 12
    assert np.bincount(manifest.labels("sex")).tolist() == [249, 251]
    assert np.nanmax(manifest.labels("age")) < 100
    assert [len(manifest.split_rows(name)) for name in ("train", "val", "test")] == [353, 81, 66]
    assert len(np.unique(manifest.column("patient"))) == 466
    assert manifest.column("patient")[0] == code("patient", "15709", PUBLIC_SALT)


def test_a_card_names_words_for_missing_values_and_values_that_look_like_them(tmp_path: Path) -> None:
    target = CardTarget("result", "binary", ("-", "unknown"), values={"neg": "-"})
    targets = {"result": target, "age": CardTarget("age", "regression")}
    card = ward(table=CardTable("table.csv", "file", "id"), targets=targets, folds=None, missing=("-99", "never"))
    write(tmp_path, "file;id;result;age\n1;1;neg;30,5\n2;2;unknown;-99\n3;n/a;never;n/a\n4;4;-;41\n")
    joined, report = join_card(FOUR, card, tmp_path, salt=SALT)
    assert joined.table.column("result").to_pylist() == ["-", "unknown", None, "-"]
    assert joined.table.column("age").to_pylist() == [30.5, None, None, 41]
    assert report.dialect == "separator a semicolon"


@pytest.mark.parametrize("file", ["../table.csv", "a/../../table.csv"])
def test_the_tables_of_a_card_lie_in_its_folder(tmp_path: Path, file: str) -> None:
    (tmp_path / "set" / "a").mkdir(parents=True)
    write_ward(tmp_path)
    write_ward(tmp_path / "set")
    with pytest.raises(UsageError, match="lies outside the folder of the data set"):
        join_card(FOUR, ward(table=CardTable(file, "file", "id")), tmp_path / "set", salt=SALT)
    lookup = CardTarget("codes", "multilabel", ("NORM", "MI"), parse="dict", lookup=Lookup(file, "", "class"))
    with pytest.raises(UsageError, match="lies outside the folder of the data set"):
        join_card(FOUR, ward(targets={"disease": lookup}), tmp_path / "set", salt=SALT)
    absolute = ward(table=CardTable(str(tmp_path / "table.csv"), "file", "id"))
    assert join_card(FOUR, absolute, write_ward(tmp_path / "set"), salt=SALT)[1].matched == 4


def test_folds_and_lookups_take_words_for_missing_values_as_missing(tmp_path: Path) -> None:
    write_ward(
        tmp_path,
        "file,id,codes,sex,age,fold\n1,5,\"{'SR': 0}\",0,56,1\n2,6,{},1,n/a,2\n3,7,unknown,.,.,n/a\n4,8,{},0,1,3\n",
    )
    write(tmp_path, ",class,use\nNORM,NORM,1\nSR,n/a,1\nn/a,MI,1\n", "codes.csv")
    joined, _ = join_card(FOUR, ward(), tmp_path, salt=SALT)
    assert joined.table.column("disease").to_pylist() == [None] * 4
    assert joined.column("split").tolist() == ["train", "val", None, "test"]
