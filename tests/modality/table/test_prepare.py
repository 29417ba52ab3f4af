"""Records in the order, the units and the codes that hold for all of them."""

import numpy as np
import pytest

from medcl.errors import MedclError, UnreadableError, UsageError
from medcl.modality.table.config import TableConfig
from medcl.modality.table.prepare import decode, fit_scale, fitted, resolve
from medcl.modality.table.record import PatientTable, Variable


def table(times=None, unusable=None, **variables):
    """name -> (unit or classes, values)."""
    columns = [
        Variable(name, about) if isinstance(about, str) else Variable(name, "", about)
        for name, (about, _) in variables.items()
    ]
    values = np.array([values for _, values in variables.values()], dtype=np.float64).T
    return PatientTable(tuple(columns), values, None if times is None else np.array(times), {}, unusable or {})


def test_variables_of_all_records_in_the_order_in_which_they_occur():
    records = [table(a=("g/L", [1])), table(b=("", [2]), a=("", [3]))]

    config = resolve(records, TableConfig())

    assert (config.columns, config.units, config.classes) == (["a", "b"], {"a": "g/L"}, {})
    np.testing.assert_array_equal(decode(records[0], config).arrays[None], [[np.nan, 1, np.nan]])
    np.testing.assert_array_equal(decode(records[1], config).arrays[None], [[np.nan, 3, 2]])


def test_codes_of_a_category_are_the_same_in_all_records():
    records = [table(ward=(("B", "C"), [1]), a=("", [0])), table(ward=(("A", "C"), [1]), a=("", [0]))]

    config = resolve(records, TableConfig(columns=["ward"]))

    assert config.classes == {"ward": ["A", "B", "C"]}
    assert [decode(one, config).arrays[None][0, 1] for one in records] == [2, 2]


def test_text_may_be_a_name_and_is_taken_only_where_it_is_asked_for():
    records = [table(surname=(("Doe",), [0]), a=("", [1]))]

    assert resolve(records, TableConfig()).columns == ["a"]
    assert resolve(records, TableConfig(columns=["surname"])).columns == ["surname"]
    assert resolve(records, TableConfig(categories=["surname"])).columns == ["surname", "a"]


def test_numbers_that_are_codes_and_numbers_that_are_missing():
    records = [table(unit=("", [4]), height=("", [-1]), a=("", [-1])), table(unit=("", [1]), height=("", [180]))]

    config = resolve(records, TableConfig(categories=["unit"], missing={"height": [-1]}))

    assert config.classes == {"unit": ["1", "4"]}
    np.testing.assert_array_equal(decode(records[0], config).arrays[None], [[np.nan, 1, np.nan, -1]])


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (table(a=("mg/L", [1]), b=("", [1])), "in mg/L here, in g/L elsewhere"),
        (table(a=(("low",), [0]), b=("", [1])), "text here, numbers elsewhere"),
        (table(a=("g/L", [np.nan]), b=("", [np.nan])), "no value"),
        (table(c=("g/L", [1])), "no value"),
        (table(a=("", [1]), sex=(("x",), [0])), "not among the 2 known"),
        (table(a=("", [np.nan]), unusable={"a": "line 3: 1 cells are not numbers"}), "leave it out of data.columns"),
        (table([0.0], a=("", [1])), "set data.window"),
    ],
)
def test_records_that_are_refused(record, words):
    config = TableConfig(columns=["a", "b", "sex"], units={"a": "g/L"}, classes={"sex": ["f", "m"]})

    with pytest.raises(UnreadableError, match=words):
        decode(record, config)


def test_tables_of_another_kind_are_told_before_they_are_scaled():
    records = [table([0.0], a=("", [1])), table([1.0], a=("", [2]))]

    with pytest.raises(MedclError, match="the first: a table with times: set data.window, the hours of a sample"):
        fitted(records, resolve(records, TableConfig()))


def test_a_column_that_is_not_wanted_costs_nothing():
    record = table(a=("", [np.nan]), b=("", [1]), unusable={"a": "not numbers"})

    assert decode(record, resolve([record], TableConfig(columns=["b"]))).arrays[None][0, 1] == 1


def test_a_variable_that_no_record_can_use_is_left_out():
    broken = table(a=("", [np.nan]), b=("", [1]), unusable={"a": "not numbers"})

    assert resolve([broken], TableConfig()).columns == ["b"]
    assert resolve([broken, table(a=("", [2]))], TableConfig()).columns == ["a", "b"]


def test_rows_without_a_value_are_left_out():
    record = table([0.0, 1.0, 2.0], a=("", [np.nan, 1, np.nan]), b=("", [1, 2, 3]))

    data = decode(record, resolve([record], TableConfig(columns=["a"], window=4))).arrays[None]

    np.testing.assert_array_equal(data, [[1, 1]])


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match="creatinine"):
        resolve([table(creatinine=("", [1]))], TableConfig(columns=["creatinin"]))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"window": 0}, "data.window"),
        ({"window": float("nan")}, "data.window"),
        ({"stride": 2}, "data.stride"),
        ({"window": 5, "step": 2}, "do not divide"),
        ({"scaling": "minmax"}, "data.scaling"),
        ({"columns": []}, "data.columns"),
        ({"columns": ["a", "a"]}, "data.columns"),
    ],
)
def test_invalid_settings(settings, words):
    with pytest.raises(UsageError, match=words):
        TableConfig(**settings).check()


@pytest.mark.parametrize("scaling", ["z-score", "percentile"])
def test_scale_is_that_of_numpy_without_what_is_missing(scaling):
    rng = np.random.default_rng(0)
    values = rng.lognormal(3, 1, (50, 1, 3))
    values[rng.random(values.shape) < 0.3] = np.nan
    values[:, :, 2] = 7
    parts = [np.column_stack([[np.nan], one]) for one in values]

    scale = fit_scale(parts, TableConfig(columns=["a", "b", "c"], classes={}, scaling=scaling))

    for column, name in enumerate("abc"):
        known = values[:, 0, column]
        low, high = np.nanpercentile(known, [1, 99])
        expected = (
            [np.nanmean(known), np.nanstd(known)] if scaling == "z-score" else [(low + high) / 2, (high - low) / 2]
        )
        np.testing.assert_allclose(scale[name], expected, rtol=1e-12, atol=1e-12)
