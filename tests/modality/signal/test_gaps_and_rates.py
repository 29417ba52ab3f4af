"""Recordings with gaps in time and with channels of several rates: what is kept apart, and what is brought together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import resample_poly

from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.data.prepare import prepare
from medcl.errors import MedclError
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.filters import NAN
from medcl.modality.signal.samples import SignalWindows
from medcl.modality.signal.store import SignalStore
from tests.modality.signal.formats.raw_edf import channel, digital, notes, write
from tests.modality.written import write_wfdb

CONFIG = SignalConfig(window=2.0, stride=1.0)


def scanned(folder: Path) -> Manifest:
    output = folder.with_suffix(".parquet")
    build_manifest(ScanRequest(folder=folder, output=output, patient_per_record=True, jobs=1))
    return Manifest.read(output)


def stored(folder: Path, config: SignalConfig = CONFIG) -> tuple[SignalStore, Manifest]:
    manifest = scanned(folder)
    return prepare(manifest, config, folder.with_suffix(".store"), jobs=1), manifest


def test_no_window_crosses_a_gap(tmp_path: Path) -> None:
    channels = [channel("Fp1"), channel("Cz"), notes()]
    onsets = [0, 1, 2, 100, 101, 200, 201, 202, 203]
    write(tmp_path / "a/a.edf", channels, records=9, reserved="EDF+D", onsets=onsets)
    write(tmp_path / "a/b.edf", channels, records=4, reserved="EDF+D")
    store, manifest = stored(tmp_path / "a")
    windows = SignalWindows(store, manifest, CONFIG)
    assert store.notes == {"gaps in time": 1}
    assert windows.starts[windows.rows == 0].tolist() == [0, 100, 300, 500, 600, 700]
    assert windows.starts[windows.rows == 1].tolist() == [0, 100, 200]
    assert len(np.unique(windows.ids["sample"])) == len(windows) == 9
    raw = SignalWindows(store, manifest, replace(CONFIG, standardise="none"))
    expected = digital(0, 9, 100)[500:700] / 10
    np.testing.assert_allclose(raw[3]["x"][0, 0].numpy(), expected, atol=1e-3)
    none = SignalWindows(store, manifest, replace(CONFIG, window=5.0))
    assert (len(none), none.too_short) == (0, 2)


def test_each_stretch_is_resampled_by_itself(tmp_path: Path) -> None:
    write(tmp_path / "a/a.edf", [channel("Cz"), notes()], reserved="EDF+D", onsets=[0, 1, 9, 10])
    store, _ = stored(tmp_path / "a", replace(CONFIG, sampling_rate=50.0))
    halves = np.split(digital(0, 4, 100) / 10, 2)
    expected = [resample_poly(half, 1, 2, padtype="line") for half in halves]
    np.testing.assert_allclose(store.read(0)[0], np.concatenate(expected), atol=1e-3)
    assert store.stretches.tolist() == [0, 100]
    assert store.notes == {"gaps in time": 1, "resampled from 100 to 50 Hz": 1}


def test_a_stretch_that_is_shorter_than_a_filter_has_no_values(tmp_path: Path) -> None:
    onsets = [*range(10), 100, *range(200, 210)]
    write(tmp_path / "a/a.edf", [channel("Cz"), notes()], records=21, reserved="EDF+D", onsets=onsets)
    store, manifest = stored(tmp_path / "a", replace(CONFIG, band=[1.0, 30.0]))
    assert np.flatnonzero(np.isnan(store.read(0)[0])).tolist() == list(range(1000, 1100))
    assert np.flatnonzero(store.flags & NAN).tolist() == [10]
    assert 1000 not in SignalWindows(store, manifest, CONFIG).starts


def test_a_segment_in_which_nothing_was_recorded_does_not_stop_a_filter(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-2000, 2000, (3, 5000))
    for name in ("s_1", "s_2"):
        write_wfdb(tmp_path / "a", name, values)
    (tmp_path / "a/s.hea").write_text("s/3 3 250 10250\ns_1 5000\n~ 250\ns_2 5000\n")
    store, manifest = stored(tmp_path / "a", replace(CONFIG, sampling_rate=125.0, band=[1.0, 40.0]))
    gone = np.isnan(store.read(0))
    assert np.flatnonzero(gone[0]).tolist() == list(range(2500, 2625))
    assert store.n_samples.tolist() == [5125]
    windows = SignalWindows(store, manifest, CONFIG)
    assert not any(start < 2625 and start + 250 > 2500 for start in windows.starts)


def test_a_channel_of_another_rate_that_is_asked_for_is_resampled_and_that_is_said(tmp_path: Path) -> None:
    channels = [channel("EEG Fpz-Cz"), channel("Temp rectal", "DegC", samples=1), channel("Pz")]
    write(tmp_path / "a/a.edf", channels, records=30)
    every, _ = stored(tmp_path / "a")
    assert every.channels == ["Fpz-Cz", "Pz"]
    store, _ = stored(tmp_path / "a", replace(CONFIG, channels=["Pz", "Temp rectal"]))
    assert (store.sampling_rate, store.n_samples.tolist()) == (100, [3000])
    temperature = digital(1, 30, 1) / 10
    expected = resample_poly(temperature, 100, 1, padtype="line")
    np.testing.assert_allclose(store.read(0), [digital(2, 30, 100) / 10, expected], rtol=1e-4, atol=1e-2)
    assert store.notes == {"resampled from 1 to 100 Hz": 1, "channel in DegC": 1}


def test_names_of_other_laboratories_are_said_in_the_recipe(tmp_path: Path) -> None:
    write(tmp_path / "a/a.edf", [channel("Kanal 1"), channel("MDC_ECG_LEAD_II"), channel("T3"), channel("T7")])
    named = replace(CONFIG, channels=["Cz", "T7"], channel_names={"kanal 1": "Cz", "T3": "old T3"})
    with pytest.raises(MedclError, match="has more than one channel that is called T7: T3, T7"):
        stored(tmp_path / "a", replace(CONFIG, channels=["T7"]))
    with pytest.raises(MedclError, match="lacks the channels C4; it has Kanal 1, MDC_ECG_LEAD_II, T3, T7"):
        stored(tmp_path / "a", replace(CONFIG, channels=["C4"]))
    store, _ = stored(tmp_path / "a", named)
    np.testing.assert_allclose(store.read(0), np.stack([digital(0, 4, 100), digital(3, 4, 100)]) / 10, atol=1e-3)


def test_a_dead_channel_that_is_asked_for_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a/a.edf", [channel("Cz"), channel("Pz", digital_low="0", digital_high="0")])
    with pytest.raises(MedclError, match="channel Pz cannot be used: no calibration"):
        stored(tmp_path / "a", replace(CONFIG, channels=["Cz", "Pz"]))


def test_values_that_no_body_has_are_quarantined(tmp_path: Path) -> None:
    write(tmp_path / "a/a.edf", [channel("Cz")])
    write(tmp_path / "a/b.edf", [channel("Cz", physical_low="-3e10", physical_high="3e10")])
    store, _ = stored(tmp_path / "a")
    assert len(store) == 1
    assert "absurd values" in " ".join(store.quarantine.values())


def test_prepare_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a/a.edf", [channel("Cz"), notes()], reserved="EDF+D", onsets=[0, 1, 9, 10])
    scanned(tmp_path / "a")
    assert (
        main(["prepare", "--manifest", str(tmp_path / "a.parquet"), "--data.sampling_rate", "50", "--jobs", "1"]) == 0
    )
    said = capsys.readouterr().out
    assert "1  gaps in time" in said
    assert "1  resampled from 100 to 50 Hz" in said
