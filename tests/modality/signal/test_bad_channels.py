"""Channels that a recording lacks, or that never change, are those that mne's splines make of the others."""

from pathlib import Path

import mne
import numpy as np
import pytest

from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.data.prepare import prepare
from medcl.errors import MedclError, UsageError
from medcl.modality.signal.config import SignalConfig

CHANNELS = ["Fp1", "Fp2", "F3", "F4", "C3", "Cz", "C4", "P3", "P4", "O1", "O2", "T7"]
RATE = 100.0


def written(folder: Path, recordings: dict[str, tuple[list[str], np.ndarray]]) -> Manifest:
    import json

    for name, (channels, x) in recordings.items():
        (folder / "a" / name).mkdir(parents=True)
        np.save(folder / "a" / name / "r.npy", x.astype(np.float32))
        about = {"sampling_rate": RATE, "channels": channels, "unit": "uV"}
        (folder / "a" / name / "r.json").write_text(json.dumps(about))
    pattern = r"(?P<patient>[^/]+)/(?P<trial>[^/.]+)"
    build_manifest(
        ScanRequest(folder=folder / "a", output=folder / "m.parquet", id_pattern=pattern, modality="eeg", jobs=1)
    )
    return Manifest.read(folder / "m.parquet")


def smooth(seed: int = 0) -> np.ndarray:
    """(12, 600) of few sources far away, so that a channel is like its neighbours."""
    rng = np.random.default_rng(seed)
    places = np.array(list(mne.channels.make_standard_montage("standard_1020").get_positions()["ch_pos"].values()))
    names = list(mne.channels.make_standard_montage("standard_1020").get_positions()["ch_pos"])
    own = np.array([places[names.index(name)] for name in CHANNELS])
    return np.asarray(10 * (1 + own / 0.1) @ rng.normal(size=(3, 600)))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_lost_and_flat_channels_are_filled_in(tmp_path: Path) -> None:
    x = smooth()
    flat = x.copy()
    flat[6] = 3.0
    without = [i for i in range(12) if i != 6]
    manifest = written(
        tmp_path,
        {"whole": (CHANNELS, x), "flat": (CHANNELS, flat), "less": ([CHANNELS[i] for i in without], x[without])},
    )
    config = SignalConfig(channels=CHANNELS, interpolate=True, standardise="none")
    store = prepare(manifest, config, tmp_path / "s", jobs=1)
    raw = mne.io.RawArray(flat, mne.create_info(CHANNELS, RATE, "eeg"), verbose="error")
    raw.set_montage("standard_1020")
    raw.info["bads"] = ["C4"]
    expected = raw.interpolate_bads(verbose="error").get_data()[6]
    number = {row: list(store.record_ids).index(manifest.column("record_id")[row]) for row in range(3)}
    by_patient = {str(path).split("/")[0]: number[row] for row, path in enumerate(manifest.column("path"))}
    np.testing.assert_allclose(store.read(by_patient["whole"]), x, atol=1e-4)
    for name in ("flat", "less"):
        found = store.read(by_patient[name])
        np.testing.assert_allclose(found[without], x[without], atol=1e-4)
        assert np.corrcoef(found[6], expected)[0, 1] > 0.99
        assert np.corrcoef(found[6], x[6])[0, 1] > 0.95
    assert store.notes["channels filled in"] == 2


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_too_many_are_refused_and_without_it_a_recording_is_left_out(tmp_path: Path) -> None:
    x = smooth()
    manifest = written(tmp_path, {"whole": (CHANNELS, x), "half": (CHANNELS[:6], x[:6])})
    filled = prepare(manifest, SignalConfig(channels=CHANNELS, interpolate=True), tmp_path / "s", jobs=1)
    assert "more than a quarter" in str(list(filled.quarantine.values()))
    strict = prepare(manifest, SignalConfig(channels=CHANNELS), tmp_path / "s", jobs=1)
    assert "lacks the channels" in str(list(strict.quarantine.values()))
    with pytest.raises((UsageError, MedclError), match="no position is known"):
        prepare(manifest, SignalConfig(channels=["C3", "X1"], interpolate=True), tmp_path / "s", jobs=1)
