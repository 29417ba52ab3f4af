"""A recording that is prepared in pieces becomes what it becomes as a whole."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.data.prepare import prepare
from medcl.modality.formats import read_signal, stretches
from medcl.modality.signal import long
from medcl.modality.signal.config import SignalConfig
from tests.modality.signal.formats import raw_edf
from tests.modality.written import write_wfdb

CONFIGS = {
    "as stored": {},
    "filtered": {"band": [1.0, 30.0]},
    "resampled": {"sampling_rate": 64.0},
    "resampled, filtered, average": {"sampling_rate": 80.0, "band": [1.0, 30.0], "reference": "average"},
    "bipolar": {"channels": ["Fp1-F7", "F7"]},
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """A recording with gaps, clipped and flat stretches, and a channel of another rate; and one in another format."""
    folder = tmp_path_factory.mktemp("archive")
    names = ("Fp1", "F7", "T7")
    channels = [*map(raw_edf.channel, names), raw_edf.channel("C3", samples=50), raw_edf.notes()]
    onsets = [*range(70), *range(100, 134)]
    path = raw_edf.write(folder / "a" / "gaps.edf", channels, records=104, onsets=onsets, reserved="EDF+D")
    head = 256 * 6
    frame = np.frombuffer(path.read_bytes()[head:], dtype="<i2").reshape(104, 380).copy()
    frame[20:22, :100], frame[40, 100:150], frame[:, 200:300] = 777, 30000, 5
    path.write_bytes(path.read_bytes()[:head] + frame.tobytes())
    build_manifest(ScanRequest(folder, folder / "m.parquet", patient_per_record=True, jobs=1))
    return Manifest.read(folder / "m.parquet")


def both(manifest: Manifest, config: SignalConfig, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    whole = prepare(manifest, config, folder / "whole", jobs=1)
    monkeypatch.setattr(long, "LONGEST", 100)
    monkeypatch.setattr(long, "_PIECE", 3000)
    return [whole, prepare(manifest, config, folder / "pieces", jobs=1)]


@pytest.mark.parametrize("name", CONFIGS)
def test_pieces_are_the_whole(manifest: Manifest, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"channels": ["Fp1", "F7", "T7"], **CONFIGS[name]}
    whole, pieces = both(manifest, SignalConfig(**settings), tmp_path, monkeypatch)
    assert not list((tmp_path / "pieces").rglob("recording-*")), "what was written on the way is removed"
    for field in ("n_samples", "stretches", "flags", "gain", "offset", "invalid"):
        np.testing.assert_array_equal(getattr(pieces, field), getattr(whole, field), err_msg=field)
    assert pieces.notes == whole.notes
    x, expected = pieces.read(0), whole.read(0)
    assert np.array_equal(np.isnan(x), np.isnan(expected))
    # Resampling takes a line off each piece, whose ends are not those of the whole; of filters the rounding differs.
    limit = {"as stored": 0.0, "bipolar": 0.0}.get(name, 2.0 if "resampled" in name else 1e-3)
    np.testing.assert_allclose(x, expected, atol=limit)
    assert np.nanmean(np.abs(x - expected)) <= 0.02 * np.nanstd(expected)
    np.testing.assert_allclose(pieces.mean, whole.mean, atol=max(limit / 100, 1e-6))
    np.testing.assert_allclose(pieces.std, whole.std, rtol=1e-3, atol=1e-6)
    if name == "as stored":
        assert pieces.std[0, 2] == 0, "a flat channel never changes"
        assert np.unique(pieces.flags).tolist() == [2, 6]


@pytest.mark.parametrize("storage", ["16", "212", "24", "80", "310"])
def test_a_span_of_a_wfdb_record_is_that_of_the_whole(tmp_path: Path, storage: str) -> None:
    digital = np.random.default_rng(0).integers(-100, 100, (3, 300))
    path = write_wfdb(tmp_path, "r", digital, storage=storage)
    assert stretches(path, "wfdb") == (0,)
    for span in ((0, 300), (7, 50), (101, 102), (250, 300)):
        np.testing.assert_array_equal(read_signal(path, "wfdb", span=span).data, digital[:, slice(*span)])


def test_records_that_build_on_what_comes_before_have_no_spans(tmp_path: Path) -> None:
    digital = np.cumsum(np.random.default_rng(0).integers(-9, 9, (3, 300)), axis=1)
    assert stretches(write_wfdb(tmp_path, "steps", digital, storage="8"), "wfdb") is None
    assert stretches(write_wfdb(tmp_path, "packed", digital, storage="516"), "wfdb") is None
