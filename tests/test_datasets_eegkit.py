import csv
import importlib.util
import sys
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest

from medcl.archive.card import load
from medcl.errors import UnreadableError, UsageError

DATASETS = Path(__file__).parent.parent / "datasets"


@pytest.fixture(scope="module")
def converter():
    spec = importlib.util.spec_from_file_location("eegkit_alcohol", DATASETS / "eegkit_alcohol.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def long_table(seed=0):
    """Three trials of two subjects, in the shape and with the types of eegkitdata's table; one channel is flat."""
    rng = np.random.default_rng(seed)
    parts = []
    for subject, group, trial in (("co2a01", "a", 0), ("co2a01", "a", 12), ("co2c02", "c", 2)):
        for scale, channel in ((10, "FP1"), (150, "X"), (0, "nd")):
            voltage = np.round(scale * rng.standard_normal(256), 3)
            part = {"subject": subject, "group": group, "condition": "S1", "trial": trial, "channel": channel}
            parts.append(pd.DataFrame({**part, "time": np.arange(256), "voltage": voltage}))
    table = pd.concat(parts, ignore_index=True).astype({"trial": "Int32", "time": "Int32"})
    return table.astype({name: "category" for name in ("subject", "group", "condition", "channel")})


def test_each_trial_becomes_an_edf_file_that_differs_by_less_than_half_a_step(converter, tmp_path):
    table = long_table()
    done = converter.convert(table.sample(frac=1, random_state=0).sort_values("channel", kind="stable"), tmp_path)
    assert (done.subjects, done.trials, done.duplicates) == (2, 3, 0)
    for (subject, trial), part in table.groupby(["subject", "trial"], observed=True):
        path = tmp_path / subject / f"{subject}_t{trial:03d}.edf"
        raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
        assert raw.info["sfreq"] == 256
        assert raw.ch_names == ["FP1", "X", "nd"]
        assert path.read_bytes()[8:88].decode().split() == [subject, "X", "X", "X"]
        for channel, voltage in part.groupby("channel", observed=True)["voltage"]:
            error = np.abs(raw.get_data(channel)[0] * 1e6 - voltage.to_numpy()).max()
            assert error <= 0.5 * (np.ptp(voltage) + 2) / 65535 + 1e-9
            assert error <= done.error + 1e-9
    with (tmp_path / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"record": "co2a01/co2a01_t000", "subject": "co2a01", "group": "alcoholic"}
    assert [row["group"] for row in rows] == ["alcoholic", "alcoholic", "control"]


def test_a_trial_stored_twice_is_written_once_and_counted(converter, tmp_path):
    table = long_table()
    twice = pd.concat([table, table[(table["subject"] == "co2a01") & (table["trial"] == 0)]], ignore_index=True)
    done = converter.convert(twice, tmp_path / "twice")
    converter.convert(table, tmp_path / "once")
    assert done.duplicates == 3 * 256
    for path in (tmp_path / "once").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "twice" / path.relative_to(tmp_path / "once")).read_bytes()


def with_cell(table, column, value):
    changed = table.astype({column: object})
    changed.loc[5, column] = value
    return changed


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda table: pd.concat([table, with_cell(table, "voltage", 999.0)]), "two different voltages"),
        (lambda table: table.drop(index=5), "FP1 lacks samples"),
        (lambda table: table[table["time"] != 7], "sample numbers are missing"),
        (lambda table: with_cell(table, "group", "c"), "group a, c"),
        (lambda table: with_cell(table, "voltage", np.nan), "FP1 lacks samples or holds one that is not a number"),
    ],
)
def test_a_table_that_is_not_a_full_grid_is_refused(converter, tmp_path, spoil, message):
    with pytest.raises(UnreadableError, match=message):
        converter.convert(spoil(long_table()), tmp_path)


def test_a_folder_without_the_file_is_a_wrong_call(converter, tmp_path, monkeypatch, capsys):
    with pytest.raises(UsageError, match="eegdata.rda"):
        converter.read(tmp_path)
    monkeypatch.setattr(sys, "argv", ["eegkit_alcohol.py", str(tmp_path), str(tmp_path / "out")])
    assert converter.main() == 2
    assert "eegdata.rda" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::UserWarning:rdata")
def test_a_file_that_is_not_rda_is_refused(converter, tmp_path):
    pytest.importorskip("rdata")
    (tmp_path / "eegdata.rda").write_bytes(b"not an R file")
    with pytest.raises(UnreadableError, match="eegdata.rda"):
        converter.read(tmp_path)


def test_the_card_describes_what_the_converter_writes(converter, tmp_path):
    card = load(DATASETS / "eegkit_alcohol.yaml")
    converter.convert(long_table(), tmp_path)
    with (tmp_path / card.table.file).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row[card.targets["group"].column] for row in rows} == set(card.targets["group"].classes)
    assert {row[card.table.key] for row in rows} == {
        path.relative_to(tmp_path).with_suffix("").as_posix() for path in tmp_path.glob(card.records)
    }
    assert {row[card.table.patient] for row in rows} == {"co2a01", "co2c02"}
