"""The store: what is in it, when it is made anew, what becomes of damaged recordings and full disks."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest
import wfdb

from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.data.prepare import prepare
from medcl.data.store import open_store
from medcl.errors import MedclError, UsageError
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.filters import CLIPPED, FLAT
from tests.data.wfdb_archive import LEADS, archive, noise, scanned, write_record

CONFIG = SignalConfig(window=1.0, stride=0.5)


def test_values_are_those_of_wfdb(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a")
    store = prepare(manifest, CONFIG, tmp_path / "store", jobs=1)
    assert store.read_native(0, 0, 1).dtype == np.int16
    for number, record_id in enumerate(store.record_ids):
        row = list(manifest.column("record_id")).index(record_id)
        path = str((manifest.root / manifest.column("path")[row]).with_suffix(""))
        expected = wfdb.rdrecord(path).p_signal.T
        np.testing.assert_allclose(store.read(number), expected, atol=1e-6)
        np.testing.assert_allclose(store.read(number, 130, 57), expected[:, 130:187], atol=1e-6)
        np.testing.assert_allclose(store.mean[number], expected.mean(axis=1), atol=1e-9)
        np.testing.assert_allclose(store.std[number], expected.std(axis=1), atol=1e-9)
    with pytest.raises(MedclError, match="outside"):
        store.read(0, 590, 20)


def test_the_store_is_made_once_and_anew_for_other_settings(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a")
    first = prepare(manifest, CONFIG, tmp_path / "store", jobs=1)
    stamp = (first.folder / "index.parquet").stat().st_mtime_ns
    again = prepare(manifest, replace(CONFIG, window=2.0, standardise="window"), tmp_path / "store", jobs=1)
    assert again.folder == first.folder
    assert (again.folder / "index.parquet").stat().st_mtime_ns == stamp
    other = prepare(manifest, replace(CONFIG, sampling_rate=50.0), tmp_path / "store", jobs=1)
    assert other.folder != first.folder
    assert other.sampling_rate == 50
    assert other.n_samples[0] == 300


def test_the_store_is_the_same_for_any_number_of_processes(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", patients=20)
    one = prepare(manifest, CONFIG, tmp_path / "one", jobs=1)
    two = prepare(manifest, CONFIG, tmp_path / "two", jobs=2)
    assert list(one.record_ids) == list(two.record_ids)
    assert all(np.array_equal(one.read(i), two.read(i)) for i in range(len(one)))


def test_a_changed_recording_is_prepared_anew(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", patients=1)
    first = prepare(manifest, CONFIG, tmp_path / "store", jobs=1)
    for path in (tmp_path / "a").rglob("*.*"):
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    later = scanned(tmp_path / "a")
    assert prepare(later, CONFIG, tmp_path / "store", jobs=1).folder != first.folder


def test_recordings_of_several_types_of_number_share_a_store(tmp_path: Path) -> None:
    signals = [noise(6, seed=seed) for seed in range(4)]
    for number, (signal, fmt) in enumerate(zip(signals, ["16", "24", "16", "24"], strict=True)):
        write_record(tmp_path / "a", f"p{number}", "r", signal, fmt=fmt)
    manifest = scanned(tmp_path / "a")
    store = prepare(manifest, CONFIG, tmp_path / "store", jobs=1)
    assert [store.read_native(number, 0, 1).dtype for number in range(4)] == [np.int16, np.int32, np.int16, np.int32]
    assert len(list(store.folder.glob("*.b2nd"))) == 2
    native = store.read_windows(np.array([3, 0, 2, 1]), np.array([5, 300, 0, 17]), 200)
    for row, (number, start) in zip(native, [(3, 5), (0, 300), (2, 0), (1, 17)], strict=True):
        np.testing.assert_array_equal(row, store.read_native(number, start, 200))
        np.testing.assert_allclose(store.read(number), signals[number].T, atol=1e-6)


def test_an_eeg_is_in_microvolts_as_mne_reads_it(phantom_archive: Path, tmp_path: Path) -> None:
    output = tmp_path / "eeg.parquet"
    request = ScanRequest(
        folder=phantom_archive / "eeg", output=output, id_pattern=r"(?P<patient>[^/]+)/[^/]*$", jobs=1
    )
    build_manifest(request)
    manifest = Manifest.read(output).ok().select([0])
    store = prepare(manifest, SignalConfig(), tmp_path / "store", jobs=1)
    raw = mne.io.read_raw(manifest.root / str(manifest.column("path")[0]), verbose="error")
    assert store.unit == "uV"
    np.testing.assert_allclose(store.read(0), raw.get_data(units="uV"), atol=1e-3)


def test_flags_are_those_of_the_recording_before_it_was_filtered(tmp_path: Path) -> None:
    signal = noise(12)
    signal[300:400, 0] = 0.1
    signal[720:740, 2] = 2.5
    write_record(tmp_path / "a", "p0", "r", signal)
    config = replace(CONFIG, sampling_rate=60.0, band=[1.0, 20.0])
    store = prepare(scanned(tmp_path / "a"), config, tmp_path / "store", jobs=1)
    assert store.n_samples.tolist() == [720]
    assert store.flags.tolist() == [0, 0, 0, FLAT, 0, 0, 0, CLIPPED, 0, 0, 0, 0]


def test_channels_come_by_name_in_the_order_asked_for(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", patients=3, trials=1)
    every = prepare(manifest, CONFIG, tmp_path / "store", jobs=1)
    some = prepare(manifest, replace(CONFIG, channels=["v1", "I"]), tmp_path / "store", jobs=1)
    np.testing.assert_array_equal(some.read(0), every.read(0)[[LEADS.index("V1"), 0]])


def test_recordings_that_cannot_be_decoded_are_quarantined_and_the_rest_goes_on(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a")
    signal = noise(6)
    signal[:, 1] = np.nan
    write_record(tmp_path / "a", "p8", "lead", signal)
    write_record(tmp_path / "a", "p9", "few", noise(6, leads=2))
    write_record(tmp_path / "a", "p7", "sum", noise(6))
    data = (tmp_path / "a" / "p7" / "sum.dat").read_bytes()
    (tmp_path / "a" / "p7" / "sum.dat").write_bytes(bytes([data[0] ^ 1]) + data[1:])
    manifest = scanned(tmp_path / "a")
    store = prepare(manifest, CONFIG, tmp_path / "store", jobs=1)
    assert len(store) == 9
    reasons = " | ".join(sorted(store.quarantine.values()))
    assert len(store.quarantine) == 2
    assert store.notes == {"wrong checksum": 1}
    assert open_store(store.folder, "signal").quarantine == store.quarantine
    assert "no value in the channels II" in reasons
    assert "lacks the channels V1" in reasons


def test_microvolts_become_millivolts(tmp_path: Path) -> None:
    signal = noise(6)
    write_record(tmp_path / "a", "p0", "mv", signal)
    write_record(tmp_path / "a", "p1", "uv", (signal * 10).round(), unit="uV")
    store = prepare(scanned(tmp_path / "a"), CONFIG, tmp_path / "store", jobs=1)
    np.testing.assert_allclose(store.read(1), (signal.T * 10).round() / 1000, atol=1e-6)


def test_resampling_and_filters_keep_a_sine_and_remove_what_they_should(tmp_path: Path) -> None:
    seconds = np.arange(2000)[:, None] / 200
    signal = np.sin(2 * np.pi * 5 * seconds) + np.sin(2 * np.pi * 50 * seconds) + 0.3
    write_record(tmp_path / "a", "p0", "r", np.repeat(signal, 3, axis=1), rate=200)
    config = replace(CONFIG, sampling_rate=160.0, band=[0.5, 30.0])
    store = prepare(scanned(tmp_path / "a"), config, tmp_path / "store", jobs=1)
    middle = store.read(0)[0, 400:1200]
    expected = np.sin(2 * np.pi * 5 * (np.arange(400, 1200) / 160))
    assert np.abs(middle - expected).max() < 0.05


def test_settings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", patients=1)
    with pytest.raises(UsageError, match="data.notch: 50 Hz is not between 1 and 49 Hz"):
        prepare(manifest, replace(CONFIG, notch=50.0), tmp_path / "store")
    write_record(tmp_path / "a", "p5", "fast", noise(6, rate=250), rate=250)
    with pytest.raises(UsageError, match=r"100, 250 Hz"):
        prepare(scanned(tmp_path / "a"), CONFIG, tmp_path / "store")


def test_an_archive_of_which_nothing_can_be_decoded_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", patients=2)
    for path in (tmp_path / "a").rglob("*.dat"):
        path.unlink()
    with pytest.raises(MedclError, match="none of 4 recordings"):
        prepare(manifest, CONFIG, tmp_path / "store", jobs=1)
    assert not list((tmp_path / "store").iterdir())
    with pytest.raises(MedclError, match="not a prepared store"):
        open_store(tmp_path / "store", "signal")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True
        ).returncode
    ):
        pytest.skip("only a machine's administrator can mount a small file system")
    yield folder
    # Lazily: a test that fails keeps its files open in its traceback.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_a_clear_error(small_disk: Path, tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", patients=2, trials=1, seconds=8000.0)
    with pytest.raises(MedclError, match="are needed"):
        prepare(manifest, CONFIG, small_disk / "store", jobs=1)
    assert not list((small_disk / "store").iterdir())


def test_a_disk_that_fills_up_meanwhile_is_a_clear_error(small_disk: Path, tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", patients=2, trials=1, seconds=3000.0)
    with pytest.raises(MedclError, match="make room"):
        prepare(manifest, CONFIG, small_disk / "store", jobs=1)
    assert not list((small_disk / "store").iterdir())
