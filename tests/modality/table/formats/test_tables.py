"""Tables as laboratories and registries write them, and what is wrong with some."""

import json

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medcl.errors import UnreadableError
from medcl.modality.table.formats import is_patient_table, is_time_table
from medcl.modality.table.formats.tables import read_headers, read_table, read_tables

PATIENT = {"medcl": {"patient": "pid"}}


def write(folder, text, about=None, name="labs.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    if about is not None:
        path.with_suffix(".json").write_text(json.dumps(about))
    return path


def test_a_row_a_patient_with_units_in_the_heading(tmp_path):
    path = write(tmp_path, "pid,glucose [mmol/l],Na (mmol/l),score (0-10)\n007,5.5,n/a,3\n8,,141,4\n", PATIENT)

    first, second = read_tables(path)

    assert [(one.name, one.unit) for one in first.variables] == [
        ("glucose", "mmol/L"),
        ("Na", "mmol/L"),
        ("score (0-10)", ""),
    ]
    np.testing.assert_array_equal(first.values, [[5.5, np.nan, 3]])
    np.testing.assert_array_equal(second.values, [[np.nan, 141, 4]])
    assert first.times is None
    assert (first.ids, second.ids) == ({"patient": "007"}, {"patient": "8"})
    assert read_table(path, 1).ids == second.ids


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labs.csv", "pid;glucose\n;mmol/l\nA;5,5\nB;6,25\n"),
        ("labs.tsv", "pid\tglucose\nunit\tmmol/l\nA\t5.5\nB\t6.25\n"),
        ("labs.csv", "pid,glucose\n,[mmol/l]\nA,5.5\nB,6.25\n"),
    ],
)
def test_units_in_a_second_row_and_a_decimal_comma(tmp_path, name, text):
    first, second = read_tables(write(tmp_path, text, PATIENT, name))

    assert first.variables[0].unit == "mmol/L"
    assert [first.values[0, 0], second.values[0, 0]] == [5.5, 6.25]


def test_the_first_patient_is_not_taken_for_a_row_of_units(tmp_path):
    tables = read_tables(write(tmp_path, "pid,ward\nA,surgery\nB,surgery\n", PATIENT))

    assert [one.ids["patient"] for one in tables] == ["A", "B"]


def test_what_a_side_car_says(tmp_path):
    about = PATIENT | {
        "sex": {"Levels": {"0": "female", "1": "male"}},
        "weight": {"Units": "kg", "Missing": [-1]},
        "stage": {"Levels": {"I": {"Description": "early"}, "II": "late"}},
    }
    first, second = read_tables(write(tmp_path, "pid,sex,weight,stage\nA,1,-1,II\nB,0,70,\n", about))

    sex, weight, stage = first.variables
    assert (sex.classes, stage.classes, weight.classes) == (("female", "male"), ("early", "late"), None)
    assert weight.unit == "kg"
    np.testing.assert_array_equal([first.values[0], second.values[0]], [[1, np.nan, 1], [0, 70, np.nan]])


def test_parquet_has_the_values_of_csv(tmp_path):
    text = write(tmp_path, "pid,glucose [mmol/l],sex\nA,5.5,f\nB,,m\n", PATIENT)
    table = pa.table({"pid": ["A", "B"], "glucose [mmol/l]": [5.5, None], "sex": ["f", "m"]})
    pq.write_table(table, tmp_path / "other.parquet")
    (tmp_path / "other.json").write_text(json.dumps(PATIENT))

    for one, other in zip(read_tables(text), read_tables(tmp_path / "other.parquet"), strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        assert (one.variables, one.ids) == (other.variables, other.ids)


def test_a_stay_in_long_form(tmp_path):
    rows = [
        "Time,Parameter,Value",
        "00:00,RecordID,132539",
        "00:00,Age,54",
        "30:30,Na,140",
        "01:15,HR,80",
        "01:15,HR,84",
    ]
    path = write(tmp_path, "\n".join(rows) + "\n", name="132539.txt")

    table = read_table(path)

    assert is_time_table(path.read_bytes(), path)
    assert table.ids == {"patient": "132539"}
    assert [one.name for one in table.variables] == ["Age", "Na", "HR"]
    # Two values at one time are two rows: none is lost.
    np.testing.assert_array_equal(table.times, [0, 1.25, 1.25, 30.5])
    np.testing.assert_array_equal(table.values[:, 2], [np.nan, 80, 84, np.nan])
    assert table.values[3, 1] == 140, "Na is sodium, not a missing value"
    (header,) = read_headers(path, "time-table")
    assert (header.n_rows, header.files, header.ids) == (4, ("132539.txt",), table.ids)


def test_long_form_of_several_patients_with_a_column_of_units(tmp_path):
    text = (
        "subject_id,charttime,item,value,valueuom\n1,2130-03-01 06:00:00,Glucose,5.5,mmol/l\n"
        "2,2130-05-01 06:00,Glucose,6,mmol/L\n1,2130-03-01 07:30:00,Glucose,6.5,mmol/L\n"
    )
    first, second = read_tables(write(tmp_path, text))

    assert (first.ids["patient"], second.ids["patient"]) == ("1", "2")
    np.testing.assert_array_equal(first.times, [0, 1.5])
    np.testing.assert_array_equal(first.values[:, 0], [5.5, 6.5])
    assert first.variables[0].unit == "mmol/L"


@pytest.mark.parametrize(
    ("heading", "cells", "hours"),
    [
        ("time [h]", ["0.5", "2"], [0.5, 2]),
        ("time [min]", ["30", "90"], [0.5, 1.5]),
        ("days", ["0", "2"], [0, 48]),
        ("time_s", ["0", "1800"], [0, 0.5]),
        ("hours_since_admission", ["1", "3"], [1, 3]),
        ("time", ["00:30", "49:00:36"], [0.5, 49.01]),
        ("charttime", ["2020-03-01T10:00", "2020-03-02T10:00"], [0, 24]),
        ("charttime", ["2020-03-01 10:00+00:00", "2020-03-01 12:00+01:00"], [0, 1]),
    ],
)
def test_times_are_hours(tmp_path, heading, cells, hours):
    about = {"medcl": {"time": heading}}
    text = f"{heading},pulse\n{cells[0]},60\n{cells[1]},70\n"

    np.testing.assert_allclose(read_table(write(tmp_path, text, about)).times, hours, rtol=1e-12)


def test_a_row_a_time_is_sorted_by_time(tmp_path):
    table = read_table(write(tmp_path, "hours,pulse\n2,70\n1,60\n", {"medcl": {"time": "hours"}}))

    np.testing.assert_array_equal(table.times, [1, 2])
    np.testing.assert_array_equal(table.values[:, 0], [60, 70])


def test_only_tables_that_say_so_are_records(tmp_path):
    labels = write(tmp_path, "patient_id,diagnosis\nA,1\n", {"diagnosis": {"Levels": {"1": "yes"}}}, "labels.csv")
    own = write(tmp_path, "pid,glucose\nA,1\n", PATIENT)

    assert not is_patient_table(labels.read_bytes(), labels)
    labels.with_suffix(".json").write_text("{ damaged")
    assert not is_patient_table(labels.read_bytes(), labels)
    assert not is_time_table(labels.read_bytes(), labels)
    assert is_patient_table(own.read_bytes(), own)


@pytest.mark.parametrize(
    ("text", "about", "words"),
    [
        ("pid,a\nA,1\nA,2\n", PATIENT, "line 2 and line 3 have the same ids"),
        ("pid,a\nA,1\n,2\n", PATIENT, "line 3: no patient id"),
        ("pid,a\nA,1\nB\nC,1,2\n", PATIENT, "line 3: 1 cells under 2 headings"),
        ("pid,a,a\nA,1,2\n", PATIENT, "'a' occurs twice"),
        ("pid,a [g/l],a [mg/l]\nA,1,2\n", PATIENT, "'a' occurs twice"),
        ("pid,a\n", PATIENT, "no rows"),
        ("pid\nA\n", PATIENT, "no variable"),
        ("", PATIENT, ""),
        ("1.5,2.5\n1,2\n", {"medcl": {}}, "heading missing"),
        ('pid,a\nA,"1\n', PATIENT, "quotation mark"),
        ("x,a\nA,1\nB,2\n", {"medcl": {"patient": "pid"}}, "names the patient column"),
        ("x,a\n1,1\n2,2\n", {"medcl": {}}, "no patient column"),
        ("pid,a [g/l]\nA,1\n", PATIENT | {"a": {"Units": "mg/l"}}, "units g/L and mg/L"),
        ("time,a\n1,1\n2,2\n", {"medcl": {"time": "time"}}, "unknown unit of time"),
        ("time [h],a\n1,1\n,2\n", {"medcl": {"time": "time"}}, "line 3: no time"),
        ("time,a\n01:00,1\nnoon,2\n", {"medcl": {"time": "time"}}, "not a time like the others"),
        ("pid,a\nA,1\n", {"medcl": {"patients": "pid"}}, "gives names of columns"),
        ("pid,time [h],parameter,value,unit\nA,1,x,1,g/l\nA,2,x,1,mg/l\n", None, "units g/L and mg/L"),
        ("time [h],parameter,value\n1,PatientID,A\n1,PatientID,B\n1,x,1\n", None, "several patient ids"),
        ("parameter,value\nx,1\nx,2\n", None, "twice"),
    ],
)
def test_tables_that_are_refused(tmp_path, text, about, words):
    with pytest.raises(UnreadableError) as caught:
        read_tables(write(tmp_path, text, about))

    assert words in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_damaged_files_and_side_cars(tmp_path):
    parquet = write(tmp_path, "PAR1 and nothing more", PATIENT, "labs.parquet")
    with pytest.raises(UnreadableError, match="not a Parquet file"):
        read_tables(parquet)
    path = write(tmp_path, "pid,a\nA,1\n")
    path.with_suffix(".json").write_text('{"medcl": ')
    with pytest.raises(UnreadableError, match=r"labs.json: line 1"):
        read_tables(path)
    with pytest.raises(UnreadableError, match="no record 2"):
        read_table(write(tmp_path, "pid,a\nA,1\nB,2\n", PATIENT, "two.csv"), 2)
    binary = write(tmp_path, "pid,a\nA,\0\n", PATIENT, "zero.csv")
    with pytest.raises(UnreadableError, match="binary zeros"):
        read_tables(binary)


@pytest.mark.parametrize("cell", ["<0.3", "haemolysed", "1.234,5"])
def test_a_column_of_numbers_and_others_is_neither_and_costs_no_other(tmp_path, cell):
    path = write(tmp_path, f'pid,a,b\nA,1.5,1\nB,"{cell}",2\n', PATIENT)

    table = read_table(path)

    assert set(table.unusable) == {"a"}
    assert "line 3" in table.unusable["a"]
    assert cell not in table.unusable["a"]
    np.testing.assert_array_equal(table.values, [[np.nan, 1]])


def test_a_category_that_the_levels_do_not_have(tmp_path):
    table = read_table(write(tmp_path, "pid,sex,b\nA,0,1\nB,7,1\n", PATIENT | {"sex": {"Levels": {"0": "female"}}}))

    assert "line 3" in table.unusable["sex"]


def test_a_file_that_changes_is_read_again(tmp_path):
    path = write(tmp_path, "pid,a\nA,1\n", PATIENT)
    assert read_table(path).values[0, 0] == 1
    write(tmp_path, "pid,a\nA,12\n", PATIENT)
    assert read_table(path).values[0, 0] == 12


def test_clinical_columns_of_a_survival_study(tmp_path, real_data):
    with h5py.File(real_data / "deepsurv_survival" / "whas_train_test.h5") as file:
        study = {name: file["train"][name][:] for name in "xte"}
    names = [f"x{i}" for i in range(study["x"].shape[1])]
    lines = [f"W{i},{','.join(f'{value:.9g}' for value in row)}" for i, row in enumerate(study["x"])]
    path = write(tmp_path, "\n".join([",".join(["pid", *names]), *lines, ""]), PATIENT)

    tables = read_tables(path)

    assert len(tables) == 1310
    np.testing.assert_array_equal(np.concatenate([one.values for one in tables]).astype(np.float32), study["x"])
