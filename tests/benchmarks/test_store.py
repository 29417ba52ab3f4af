"""The store: windows a second beside wfdb, and memory over an epoch of an archive larger than the allowed memory."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import wfdb

from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.data.decode import AppendedWriter
from medcl.data.prepare import prepare
from medcl.data.store import write_index
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.samples import SignalWindows
from medcl.modality.signal.store import INDEX, LAYOUT

LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
RATE, SECONDS, WINDOW = 500, 10, 2.5
RECORDS, BATCH, REPEATS = 24, 64, 7


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """12-lead recordings of 10 s at 500 Hz, as a resting ECG is stored."""
    folder = tmp_path_factory.mktemp("archive")
    rng = np.random.default_rng(0)
    for number in range(RECORDS):
        (folder / f"p{number}").mkdir()
        walk = rng.normal(0, 0.02, (RATE * SECONDS, len(LEADS))).cumsum(axis=0)
        wfdb.wrsamp(
            "r",
            fs=RATE,
            units=["mV"] * len(LEADS),
            sig_name=LEADS,
            p_signal=walk - walk.mean(axis=0),
            fmt=["16"] * len(LEADS),
            adc_gain=[1000.0] * len(LEADS),
            baseline=[0] * len(LEADS),
            write_dir=str(folder / f"p{number}"),
        )
    output = folder / "manifest.parquet"
    build_manifest(ScanRequest(folder=folder, output=output, id_pattern=r"(?P<patient>p\d+)/", modality="ecg", jobs=1))
    return Manifest.read(output)


def timed(read: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    values = read()
    return time.perf_counter() - start, values


@pytest.mark.benchmark
def test_random_windows_come_20_times_faster_than_from_wfdb(manifest: Manifest, tmp_path: Path) -> None:
    config = SignalConfig(window=WINDOW, stride=0.1, standardise="none")
    store = prepare(manifest, config, tmp_path, jobs=1)
    windows = SignalWindows(store, manifest, config)
    records = [str((manifest.root / path).with_suffix("")) for path in manifest.column("path")]
    rng = np.random.default_rng(0)
    ratios, rates, single_rates, wfdb_rates = [], [], [], []
    for repeat in range(REPEATS + 1):
        drawn = rng.integers(0, len(windows), BATCH)
        where = [(records[windows.rows[i]], int(windows.starts[i])) for i in drawn]

        def by_wfdb(where: list[tuple[str, int]] = where) -> np.ndarray:
            read = [wfdb.rdrecord(path, sampfrom=at, sampto=at + windows.length).p_signal.T for path, at in where]
            return np.stack(read).astype(np.float32)

        def by_store(drawn: np.ndarray = drawn) -> np.ndarray:
            x: np.ndarray = windows.__getitems__(drawn.tolist())["x"].numpy()
            return x

        def one_by_one(drawn: np.ndarray = drawn) -> np.ndarray:
            return np.stack([store.read(int(windows.rows[i]), int(windows.starts[i]), windows.length) for i in drawn])

        (wfdb_seconds, expected), (seconds, found), (single_seconds, single) = map(
            timed, (by_wfdb, by_store, one_by_one)
        )
        np.testing.assert_allclose(found, expected, atol=1e-6)
        np.testing.assert_allclose(single, expected, atol=1e-6)
        if repeat:  # the first is warming up
            ratios.append(wfdb_seconds / seconds)
            wfdb_rates.append(BATCH / wfdb_seconds)
            rates.append(BATCH / seconds)
            single_rates.append(BATCH / single_seconds)
    print(
        f"\nwindows a second: wfdb {median(wfdb_rates):.0f}, store {median(rates):.0f} in batches of {BATCH}, "
        f"{median(single_rates):.0f} one by one; ratio {median(ratios):.0f} ({min(ratios):.0f} to {max(ratios):.0f})"
    )
    assert median(ratios) >= 20


ARCHIVE_BYTES, EXTRA_BYTES = 128 << 20, 32 << 20
SCRIPT = "tests.benchmarks.epoch_in_little_memory"


@pytest.mark.benchmark
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits private memory without that of mapped files")
def test_an_epoch_of_an_archive_larger_than_the_allowed_memory(tmp_path: Path) -> None:
    n_channels, n_samples = len(LEADS), RATE * 60
    n_records = ARCHIVE_BYTES // (n_channels * n_samples * 2)
    rng = np.random.default_rng(0)
    columns: dict[str, list[object]] = {}
    writer = AppendedWriter(tmp_path, LAYOUT)
    for number in range(n_records):
        data = rng.integers(-2000, 2000, (n_samples, n_channels), dtype=np.int16)
        place = writer.append(data)
        one, zero = np.ones(n_channels), np.zeros(n_channels)
        row = {"record_id": str(number), **place, "n_samples": n_samples, "invalid": -32768}
        row |= {
            "gain": one,
            "offset": zero,
            "mean": zero,
            "std": one,
            "flags": bytes(60),
            "stretches": [0],
            "notes": [],
        }
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    about = {"key": "", "sampling_rate": float(RATE), "channels": LEADS, "unit": "mV", "quarantine": {}}
    writer.finish()
    write_index(tmp_path, INDEX, columns, about)
    on_disk = sum(path.stat().st_size for path in tmp_path.iterdir())
    command = [sys.executable, "-m", SCRIPT, str(tmp_path), str(ARCHIVE_BYTES), str(EXTRA_BYTES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    n_windows, grown = map(int, done.stdout.split())
    print(
        f"\n{ARCHIVE_BYTES >> 20} MB of recordings ({on_disk >> 20} MB on disk), {n_windows} windows; of "
        f"{EXTRA_BYTES >> 20} MB of memory allowed beside what was loaded, {grown} MB are taken at the end"
    )
    assert n_windows == n_records * 24
    assert on_disk > 2 * EXTRA_BYTES
