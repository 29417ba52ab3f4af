"""Columns of tables as a baseline."""

import io
from dataclasses import replace

import numpy as np

from medcl.modality import wing
from medcl.modality.table.config import TableConfig
from tests.modality.table.test_samples import CONFIG, Stored, samples

NAN = np.nan
PLAIN = replace(CONFIG, scaling="none")


def test_a_row_a_patient_is_its_values_classes_and_what_is_missing():
    own = samples(Stored([[NAN, 1, NAN, 0]], [[NAN, 3, 5, 1]], [[NAN, 5, 9, NAN]]), PLAIN)
    columns = wing("table").baselines(own.config)["columns"]
    rows = np.arange(3)

    found = columns.transform(own, rows, columns.fit(own, rows))

    # a, b, sex f, sex m; then a, b and sex missing.
    expected = [[1, 7, 1, 0, 0, 1, 0], [3, 5, 0, 1, 0, 0, 0], [5, 9, 0.5, 0.5, 0, 0, 1]]
    np.testing.assert_allclose(found, expected)


def test_what_is_missing_in_training_or_only_later_is_filled_by_what_was_learned():
    store = Stored([[NAN, 1, NAN, 0]], [[NAN, 3, NAN, 1]], [[NAN, NAN, 9, NAN]])
    own = samples(store, PLAIN)
    columns = wing("table").baselines(own.config)["columns"]
    file = io.BytesIO()
    np.savez(file, **columns.fit(own, np.array([0, 1])))
    file.seek(0)

    found = columns.transform(own, np.array([2]), dict(np.load(file, allow_pickle=False)))

    np.testing.assert_allclose(found, [[2, 9, 0.5, 0.5, 1, 0, 1]])


def test_tables_in_time_have_statistics_of_each_variable():
    rows = [[0, 1, NAN, 0], [1, 4, NAN, 1], [3, -2, NAN, NAN]]
    own = samples(Stored(rows), replace(PLAIN, window=4, step=1))
    columns = wing("table").baselines(own.config)["columns"]

    (found,) = columns.transform(own, np.array([0]), columns.fit(own, np.array([0])))

    # Last, mean, lowest, highest, share of the steps; b has no value anywhere; classes of sex, share.
    expected = [-2, 1, -2, 4, 0.75, 0, 0, 0, 0, 0, 0, 1, 0.5, 0, 1, 0]
    np.testing.assert_allclose(found, expected)


def test_last_values_alone_are_a_baseline_of_tables_in_time():
    own = samples(Stored([[0, 1, NAN, 0], [1, 4, NAN, 1], [3, -2, NAN, NAN]]), replace(PLAIN, window=4, step=1))
    last = wing("table").baselines(own.config)["last"]

    (found,) = last.transform(own, np.array([0]), last.fit(own, np.array([0])))

    # a, b (without a value anywhere), classes of sex; then which of them are missing.
    np.testing.assert_allclose(found, [-2, 0, 0, 1, 0, 1, 0])


def test_windows_of_a_record_are_averaged():
    rows = [[0, 1, 1, 0], [1, 4, 1, 1], [2, 7, 1, 1], [3, 2, 1, 1]]
    own = samples(Stored(rows), replace(PLAIN, window=2, step=1, stride=2))
    columns = wing("table").baselines(own.config)["columns"]

    (found,) = columns.transform(own, np.array([0]), columns.fit(own, np.array([0])))

    assert len(own) == 2
    np.testing.assert_allclose(found[:5], [3, 3.5, 1.5, 5.5, 1])


def test_the_statistics_are_those_of_a_slow_loop():
    rng = np.random.default_rng(0)
    tables = []
    for _ in range(7):
        rows = np.column_stack([np.arange(12.0), rng.normal(size=(12, 2)), rng.integers(0, 2, 12)])
        rows[:, 1:][rng.random((12, 3)) < 0.6] = NAN
        tables.append(rows)
    own = samples(Stored(*tables), replace(PLAIN, window=12, step=1))
    columns = wing("table").baselines(own.config)["columns"]
    state = columns.fit(own, np.arange(7))

    found = columns.transform(own, np.arange(7), state)

    assert np.isfinite(found).all()
    for table, features in zip(tables, found, strict=True):
        for column in (0, 1):
            known = table[~np.isnan(table[:, 1 + column]), 1 + column]
            if len(known):
                expected = [known[-1], known.mean(), known.min(), known.max(), len(known) / 12]
                np.testing.assert_allclose(features[5 * column : 5 * column + 5], expected, rtol=1e-5)
    assert wing("table").baselines(TableConfig(columns=["a"]))["columns"].title == "the columns themselves"
