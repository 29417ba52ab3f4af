"""Windows of tables on a grid of steps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medcl.errors import MedclError
from medcl.modality.table.config import TableConfig
from medcl.modality.table.samples import TableSamples

CONFIG = TableConfig(columns=["a", "b", "sex"], units={}, classes={"sex": ["f", "m"]})


class Stored:
    """Prepared tables in memory."""

    folder, quarantine = Path("store"), {"r9": "no value"}
    columns, units, classes = CONFIG.columns, {}, CONFIG.classes

    def __init__(self, *records):
        self.records = [np.array(one, dtype=np.float64) for one in records]
        self.record_ids = np.array([f"r{i}" for i in range(len(records))], dtype=object)
        self.times = [one[:, 0] for one in self.records]

    def read(self, record):
        return self.records[record]


class Manifest:
    """Records of a store, by their numbers."""

    def __init__(self, numbers):
        self.columns = {
            "record_id": np.array([f"r{i}" for i in numbers], dtype=object),
            "patient": np.array(numbers) * 100,
            "status": np.array(["ok"] * len(numbers), dtype=object),
        }
        self.kinds = np.array(["table"] * len(numbers), dtype=object)

    def has(self, name):
        return name in self.columns

    def column(self, name):
        return self.columns[name]


def samples(store, config, numbers=None):
    return TableSamples(store, Manifest(numbers or range(len(store.records))), config)


def test_a_row_a_patient_is_one_sample():
    nan = np.nan
    own = samples(Stored([[nan, 1, nan, 0]], [[nan, 3, 5, 1]], [[nan, 5, 9, nan]]), CONFIG)

    batch = own.__getitems__([0, 2])

    assert batch["x"].shape == (2, 3, 1)
    assert batch["x"].dtype == torch.float32
    spread = np.std([1, 3, 5])
    expected = [[-2 / spread, nan, 0], [2 / spread, 1, nan]]
    np.testing.assert_allclose(batch["x"][:, :, 0].numpy(), expected, rtol=1e-6)
    assert batch["ids"]["patient"].tolist() == [0, 200]
    assert batch["index"].tolist() == [0, 2]
    assert own.config.scale["a"] == [3, spread]
    assert own.places(np.array([0])) is None


def test_the_scale_of_training_patients_is_used_for_all():
    nan = np.nan
    store = Stored([[nan, 1, 1, 0]], [[nan, 3, 1, 1]], [[nan, 1000, 1, 0]])
    training = samples(store, CONFIG, [0, 1])

    test = samples(store, training.config, [2, 9])

    assert test.config.scale == training.config.scale == {"a": [2, 1], "b": [1, 0]}
    # A variable that never changed in training is 0.
    assert test[0]["x"][0, :, 0].tolist() == [998, 0, 0]


def test_percentiles_cut_off_what_lies_far_beyond():
    nan = np.nan
    config = replace(CONFIG, scaling="percentile", scale={"a": [10.0, 2.0], "b": [0.0, 1.0]})

    x = samples(Stored([[nan, 1000, -0.5, 1]]), config)[0]["x"]

    assert x[0, :, 0].tolist() == [3, -0.5, 1]


def test_ranks_are_those_among_the_training_values():
    nan = np.nan
    training = [[[nan, float(value), nan if value % 2 else 7.0, 0]] for value in range(1, 101)]
    others = [[nan, 200, 7, 1]], [[nan, -3, 9, 1]], [[nan, nan, 5, nan]]
    own = samples(Stored(*training, *others), replace(CONFIG, scaling="rank"), range(100))

    x = samples(own.store, own.config, [0, 49, 99, 100, 101, 102]).__getitems__([*range(6)])["x"][:, :, 0].numpy()

    # From -1 below all of them to 1 above; the middle of equal values; NaN stays for the indicator.
    np.testing.assert_allclose(x[:, 0], [-0.99, -0.01, 0.99, 1, -1, nan], atol=0.011)
    np.testing.assert_allclose(x[:, 1], [nan, 0, 0, 0, 1, -1])
    np.testing.assert_allclose(x[:, 2], [0, 0, 0, 1, 1, nan])


def test_steps_average_numbers_and_take_the_last_of_categories():
    nan = np.nan
    rows = [[0, 1, nan, 0], [0.5, 3, nan, 1], [1, nan, 4, nan], [1, nan, 8, nan], [2.999, 7, nan, 0], [3, 100, 100, 1]]
    config = replace(CONFIG, window=3, step=1, scaling="none")

    x = samples(Stored(rows), config)[0]["x"][0]

    np.testing.assert_array_equal(x, [[2, nan, 7], [nan, 6, nan], [1, nan, 0]])


def test_the_grid_is_that_of_a_slow_loop():
    rng = np.random.default_rng(1)
    times = np.sort(rng.integers(0, 48 * 60, 200)) / 60
    rows = np.column_stack([times, rng.normal(size=(200, 2)), rng.integers(0, 2, 200)])
    rows[:, 1:][rng.random((200, 3)) < 0.5] = np.nan
    config = replace(CONFIG, window=6, step=0.5, stride=3, start=1, scaling="none")
    own = samples(Stored(rows), config)

    for number, start in enumerate(own.starts):
        expected = np.full((3, 12), np.nan)
        for step in range(12):
            first = start + step / 2
            part = rows[(times >= first) & (times < first + 0.5), 1:]
            for column in range(3):
                known = part[~np.isnan(part[:, column]), column]
                if len(known):
                    expected[column, step] = known[-1] if column == 2 else known.mean()
        np.testing.assert_allclose(own[number]["x"][0], expected, rtol=1e-6)
    assert own.starts.tolist() == list(range(1, 48, 3))
    assert own.samples_of(0).tolist() == list(range(16))
    assert own.places(np.array([1])) == [[4.0]]


def test_windows_without_a_value_are_left_out():
    rows = [[0.5, 1, 1, 0], [9.5, 1, 1, 0]]

    own = samples(Stored(rows), replace(CONFIG, window=2, stride=2))

    assert own.starts.tolist() == [0, 8]
    with pytest.raises(MedclError, match=r"data\.window"):
        samples(Stored(rows), replace(CONFIG, window=2, start=20))


def test_minutes_fall_into_the_step_that_begins_with_them():
    minutes = np.arange(0, 48 * 60, 10)
    rows = np.column_stack([minutes / 60, minutes, minutes, 0 * minutes])

    x = samples(Stored(rows), replace(CONFIG, window=48, step=10 / 60, scaling="none"))[0]["x"][0]

    np.testing.assert_array_equal(x[0], minutes)


def test_a_store_of_other_variables_or_records():
    store = Stored([[np.nan, 1, 1, 1]])

    with pytest.raises(MedclError, match=r"data\.columns"):
        samples(store, TableConfig(columns=["a"]))
    with pytest.raises(MedclError, match="other records"):
        samples(store, CONFIG, [0, 5])
    assert samples(store, TableConfig()).config.columns == CONFIG.columns
