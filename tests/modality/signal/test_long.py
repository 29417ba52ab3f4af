"""A recording that is prepared in pieces becomes what it becomes as a whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.file_state import scanned
from medcl.archive.manifest import Manifest
from medcl.data.decode import sources
from medcl.data.prepare import prepare
from medcl.modality import wing
from medcl.modality.formats import pieces, read_signal
from medcl.modality.signal import long
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.prepare import decode, resolve
from medcl.modality.storing import OnDisk
from tests.modality.signal.formats import raw_edf
from tests.modality.signal.formats.write_signals import write_eeglab73, write_epochs, write_npy
from tests.modality.written import (
    waves,
    write_brainvision,
    write_eeglab,
    write_fif,
    write_gdf,
    write_wfdb,
)

VALUES = waves(scale=50)
STEPS = np.random.default_rng(0).integers(-9, 9, (3, 300))
SPANS = ((0, 300), (7, 50), (101, 102), (250, 300))
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
    whole, parts = both(manifest, SignalConfig(**settings), tmp_path, monkeypatch)
    assert not list((tmp_path / "pieces").rglob("recording-*")), "what was written on the way is removed"
    for field in ("n_samples", "stretches", "flags", "gain", "offset", "invalid"):
        np.testing.assert_array_equal(getattr(parts, field), getattr(whole, field), err_msg=field)
    assert parts.notes == whole.notes
    x, expected = parts.read(0), whole.read(0)
    assert np.array_equal(np.isnan(x), np.isnan(expected))
    # Resampling takes a line off each piece, whose ends are not those of the whole; of filters the rounding differs.
    limit = {"as stored": 0.0, "bipolar": 0.0}.get(name, 2.0 if "resampled" in name else 1e-3)
    np.testing.assert_allclose(x, expected, atol=limit)
    assert np.nanmean(np.abs(x - expected)) <= 0.02 * np.nanstd(expected)
    np.testing.assert_allclose(parts.mean, whole.mean, atol=max(limit / 100, 1e-6))
    np.testing.assert_allclose(parts.std, whole.std, rtol=1e-3, atol=1e-6)
    if name == "as stored":
        assert parts.std[0, 2] == 0, "a flat channel never changes"
        assert np.unique(parts.flags).tolist() == [2, 6]


@pytest.mark.parametrize("storage", ["16", "212", "24", "80", "310"])
def test_a_span_of_a_wfdb_record_is_that_of_the_whole(tmp_path: Path, storage: str) -> None:
    digital = np.random.default_rng(0).integers(-100, 100, (3, 300))
    path = write_wfdb(tmp_path, "r", digital, storage=storage)
    with pieces(path, "wfdb") as opened:
        assert opened is not None
        assert opened.starts == (0,)
        for span in SPANS:
            np.testing.assert_array_equal(opened.read(*span).data, digital[:, slice(*span)])


def eeglab_with_gaps(folder: Path) -> Path:
    """With two boundaries."""
    path = write_eeglab(folder / "a.set", VALUES)
    content = scipy.io.loadmat(path, simplify_cells=True)["EEG"]
    locations = np.array([(name,) for name in ("Fp1", "Fz", "O2")], dtype=[("labels", object)])
    marks = np.array([("boundary", 100.5), ("boundary", 250.5)], dtype=[("type", object), ("latency", object)])
    scipy.io.savemat(path, {"EEG": {**content, "chanlocs": locations, "event": marks}}, appendmat=False)
    return path


STREAMED: dict[str, tuple[str, Callable[[Path], Path]]] = {
    # A channel of half the rate is set aside.
    "gdf": ("gdf", lambda folder: write_gdf(folder / "a.gdf", VALUES, rates=(100, 100, 50))),
    "fif": ("fif", lambda folder: write_fif(folder / "a_raw.fif", VALUES * 1e-6)),
    "fif of another name": ("fif", lambda folder: write_fif(folder / "a_raw.fif", VALUES * 1e-6).rename(folder / "a")),
    "brainvision": ("brainvision", lambda folder: write_brainvision(folder, "a", VALUES)),
    "eeglab": ("eeglab", eeglab_with_gaps),
    "eeglab v7.3": ("eeglab", lambda folder: write_eeglab73(folder / "a.set", VALUES)),
    "eeglab v7.3, samples beside": ("eeglab", lambda folder: write_eeglab73(folder / "a.set", VALUES, fdt=True)),
}


@pytest.mark.parametrize("name", STREAMED)
def test_a_span_of_a_recording_is_that_of_the_whole(tmp_path: Path, name: str) -> None:
    form, write = STREAMED[name]
    path = write(tmp_path)
    whole = read_signal(path, form)
    with pieces(path, form) as opened:
        assert opened is not None
        assert opened.starts == whole.starts == ((0, 100, 250) if name == "eeglab" else (0,))
        for span in SPANS:
            part = opened.read(*span)
            np.testing.assert_array_equal(part.data, whole.data[:, slice(*span)])
            assert (part.channels, part.units, part.starts) == (whole.channels, whole.units, (0,))
            assert len(part.aside) == (name == "gdf")
            for one, other in zip(part.aside, whole.aside, strict=True):
                half = slice(round(span[0] / 2), round(span[1] / 2))
                np.testing.assert_array_equal(one.data, other.data[:, half])


@pytest.mark.parametrize("band", [None, [10.0, 30.0]])
@pytest.mark.parametrize("name", STREAMED)
def test_a_recording_of_another_format_is_prepared_in_pieces(
    tmp_path: Path, name: str, band: list[float | None] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    STREAMED[name][1](tmp_path)
    build_manifest(ScanRequest(tmp_path, tmp_path / "m.parquet", patient_per_record=True, jobs=1))
    manifest = Manifest.read(tmp_path / "m.parquet")
    config = resolve(manifest, SignalConfig(channels=["Fp1", "Fz"], band=band))
    (source,) = sources(manifest, wing("signal"), scanned(manifest))
    whole = decode(source, config)
    monkeypatch.setattr(long, "LONGEST", 100)
    monkeypatch.setattr(long, "_PIECE", 300)
    parts = decode(source, config)
    held = parts.arrays[None]
    assert isinstance(held, OnDisk), "it is read in pieces"
    found, expected = np.concatenate(list(held.pieces(64))), whole.arrays[None]
    held.remove()
    np.testing.assert_allclose(found, expected, atol=0 if band is None else 1e-3)
    for field in ("n_samples", "stretches", "notes", "flags"):
        assert parts.row[field] == whole.row[field], field
    np.testing.assert_allclose(parts.row["std"], whole.row["std"], rtol=1e-5)


@pytest.mark.parametrize(
    ("form", "write"),
    [
        ("wfdb", lambda folder: write_wfdb(folder, "steps", np.cumsum(STEPS, axis=1), storage="8")),
        ("wfdb", lambda folder: write_wfdb(folder, "packed", np.cumsum(STEPS, axis=1), storage="516")),
        ("fif", lambda folder: write_fif(folder / "a_raw.fif.gz", VALUES * 1e-6)),
        ("fif", lambda folder: write_epochs(folder / "a-epo.fif", VALUES * 1e-6)),
        ("eeglab", lambda folder: write_eeglab73(folder / "a.set", VALUES, trials=5)),
        ("npy", lambda folder: write_npy(folder / "a.npy", VALUES)),
    ],
)
def test_what_builds_on_what_comes_before_is_read_as_a_whole(
    tmp_path: Path, form: str, write: Callable[[Path], Path]
) -> None:
    with pieces(write(tmp_path), form) as opened:
        assert opened is None
