"""WFDB records: every way to store them, what they mean, and what is wrong with broken ones."""

from pathlib import Path

import numpy as np
import pytest
import wfdb

from medcl.errors import UnreadableError
from medcl.modality.formats import identify, read_header, read_signal
from tests.modality.written import write_wfdb

RANGES = {
    "8": 60,
    "508": 127,
    "80": 127,
    "212": 2047,
    "310": 511,
    "311": 511,
    "24": 2**23 - 1,
    "524": 2**23 - 1,
    "32": 2**23,
}
"""Largest value of the storage formats of other than 16 bits."""


def digital(limit: int = 2000, channels: int = 3, samples: int = 500, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-limit, limit, (channels, samples), endpoint=True)


@pytest.mark.parametrize(
    "storage", ["8", "16", "24", "32", "61", "80", "160", "212", "310", "311", "508", "516", "524"]
)
def test_every_storage_format_gives_back_its_values(tmp_path: Path, storage: str) -> None:
    written = digital(RANGES.get(storage, 32767))
    path = write_wfdb(tmp_path, "a", written, storage=storage, gain=400.0, baseline=7)

    header, signal = read_header(path, "wfdb"), read_signal(path, "wfdb")

    assert (header.modality, header.sampling_rate, header.n_samples) == ("ecg", 250, 500)
    assert header.channels == ("I", "II", "V1")
    assert header.units == ("mV",) * 3
    np.testing.assert_array_equal(signal.data, written)
    assert signal.data.dtype == (np.int32 if storage in ("8", "24", "32", "524") else np.int16)
    np.testing.assert_allclose(signal.physical(), (written - 7) / 400.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("stated", "kept", "factor"),
    [("mV", "mV", 1), ("uV", "mV", 1e-3), ("\u00b5V", "mV", 1e-3), ("V", "mV", 1e3), ("mmHg", "mmHg", 1)],
)
def test_voltages_of_an_ecg_are_kept_in_millivolt(tmp_path: Path, stated: str, kept: str, factor: float) -> None:
    written = digital()
    path = write_wfdb(tmp_path, "a", written, unit="XX")
    path.write_text(path.read_text().replace("XX", stated), encoding="utf-8")

    signal = read_signal(path, "wfdb")

    assert signal.units == (kept,) * 3
    np.testing.assert_allclose(signal.physical(), written / 200 * factor, rtol=1e-6)
    assert read_header(path, "wfdb").units == ("uV" if stated == "\u00b5V" else stated,) * 3


def test_the_value_that_marks_a_gap_becomes_nan(tmp_path: Path) -> None:
    written = digital()
    written[1, 10:20] = -32768
    signal = read_signal(write_wfdb(tmp_path, "a", written), "wfdb").physical()
    assert np.isnan(signal[1, 10:20]).all()
    assert np.isnan(signal).sum() == 10


def test_electrodes_make_an_eeg_in_microvolt(tmp_path: Path) -> None:
    written = digital()
    path = write_wfdb(tmp_path, "a", written, leads=("Fp1-F7", "C3-P3", "O1"), unit="mV")
    assert read_header(path, "wfdb").modality == "eeg"
    np.testing.assert_allclose(read_signal(path, "wfdb").physical(), written / 200 * 1000, rtol=1e-6)


def test_signals_in_files_of_their_own_and_behind_an_offset(tmp_path: Path) -> None:
    written = digital()
    path = write_wfdb(tmp_path, "a", written)
    record = wfdb.rdrecord(str(tmp_path / "a"), physical=False)
    record.file_name = ["a.dat", "a_2.dat", "a_2.dat"]
    record.fmt = ["16", "212", "212"]
    record.byte_offset = [24, None, None]
    record.wrsamp(write_dir=str(tmp_path))

    header, signal = read_header(path, "wfdb"), read_signal(path, "wfdb")

    assert header.files == ("a.hea", "a.dat", "a_2.dat")
    # The two formats mark gaps by different values, so the record is physical.
    assert signal.data.dtype == np.float32
    np.testing.assert_allclose(signal.physical(), written / 200, rtol=1e-6)


def test_samples_per_frame_are_a_higher_sampling_rate(tmp_path: Path) -> None:
    written = digital(samples=500)
    path = write_wfdb(tmp_path, "a", written)
    framed = written.reshape(3, 250, 2).transpose(1, 0, 2).astype("<i2")
    (tmp_path / "a.dat").write_bytes(framed.tobytes())
    text = path.read_text().replace(" 250 500", " 125 250").replace("a.dat 16 ", "a.dat 16x2 ")
    path.write_text(text)

    header, signal = read_header(path, "wfdb"), read_signal(path, "wfdb")

    assert (header.sampling_rate, header.n_samples) == (250, 500)
    np.testing.assert_array_equal(signal.data, written)


def test_skewed_signals_are_aligned_and_their_checksums_still_hold(tmp_path: Path) -> None:
    written = digital()
    path = write_wfdb(tmp_path, "a", written)
    path.write_text(path.read_text().replace("a.dat 16 ", "a.dat 16:5 ", 1))
    signal = read_signal(path, "wfdb")
    np.testing.assert_array_equal(signal.data[0, :-5], written[0, 5:])
    assert np.isnan(signal.physical()[0, -5:]).all()
    np.testing.assert_array_equal(signal.data[1:], written[1:])


def two_segments(folder: Path) -> tuple[Path, np.ndarray]:
    first, second = digital(seed=1), digital(seed=2, samples=300)
    write_wfdb(folder, "s_1", first, gain=200)
    write_wfdb(folder, "s_2", second, gain=100)
    path = folder / "s.hea"
    path.write_text("s/3 3 250 900\ns_1 500\n~ 100\ns_2 300\n")
    gap = np.full((3, 100), np.nan)
    return path, np.hstack([first / 200, gap, second / 100])


def test_segments_are_joined_with_their_own_gains_and_gaps(tmp_path: Path) -> None:
    path, expected = two_segments(tmp_path)
    header, signal = read_header(path, "wfdb"), read_signal(path, "wfdb")
    assert header.segments == ("s_1.hea", "s_2.hea")
    assert set(header.files) == {"s.hea", "s_1.hea", "s_1.dat", "s_2.hea", "s_2.dat"}
    assert header.n_samples == 900
    np.testing.assert_allclose(signal.physical(), expected, rtol=1e-6)


def test_a_variable_layout_leaves_gaps_where_a_segment_lacks_a_signal(tmp_path: Path) -> None:
    first, second = digital(seed=1), digital(seed=2, channels=1, samples=300)
    write_wfdb(tmp_path, "v_1", first)
    write_wfdb(tmp_path, "v_2", second, leads=("V1",))
    layout = "".join(f"~ 0 200/mV 0 0 0 0 0 {lead}\n" for lead in ("I", "II", "V1"))
    (tmp_path / "v_layout.hea").write_text(f"v_layout 3 250 0\n{layout}")
    path = tmp_path / "v.hea"
    path.write_text("v/3 3 250 800\nv_layout 0\nv_1 500\nv_2 300\n")

    header, signal = read_header(path, "wfdb"), read_signal(path, "wfdb").physical()

    assert header.channels == ("I", "II", "V1")
    np.testing.assert_allclose(signal[:, :500], first / 200, rtol=1e-6)
    assert np.isnan(signal[:2, 500:]).all()
    np.testing.assert_allclose(signal[2, 500:], second[0] / 200, rtol=1e-6)


def test_a_segment_that_is_missing_or_wrong_spoils_its_record(tmp_path: Path) -> None:
    path, _ = two_segments(tmp_path)
    content = bytearray((tmp_path / "s_2.dat").read_bytes())
    content[100] ^= 1
    (tmp_path / "s_2.dat").write_bytes(content)
    assert read_header(path, "wfdb").flags == ("wrong checksum: V1",)
    assert read_signal(path, "wfdb").flags == ("wrong checksum: V1",)
    (tmp_path / "s_2.hea").unlink()
    with pytest.raises(UnreadableError, match="missing segment: s_2.hea"):
        read_header(path, "wfdb")


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda text: text.replace(" 250 500", " 0 500"), "unknown sampling rate"),
        (lambda text: text.replace(" 250 500", " 250 0"), "zero length"),
        (lambda text: text.replace("a 3 ", "a 4 "), "it states 4 signals and describes 3"),
        (lambda text: text.replace("a.dat 16", "a.dat 99"), "unknown storage format: 99"),
        (lambda text: text.replace("a 3 ", "a 0 ").split("\n")[0], "no signal"),
        (lambda text: text.replace(" 250 500", " 250 600"), "truncated signal file: a.dat has 3000 bytes.* 3600"),
    ],
)
def test_a_header_that_cannot_be_meant_is_refused(tmp_path: Path, edit, reason: str) -> None:  # noqa: ANN001
    path = write_wfdb(tmp_path, "a", digital())
    path.write_text(edit(path.read_text()))
    with pytest.raises(UnreadableError, match=reason):
        read_header(path, "wfdb")


@pytest.mark.parametrize("storage", ["212", "310", "24", "80"])
def test_one_sample_too_few_is_truncated_in_every_width(tmp_path: Path, storage: str) -> None:
    path = write_wfdb(tmp_path, "a", digital(RANGES[storage]), storage=storage)
    content = (tmp_path / "a.dat").read_bytes()
    (tmp_path / "a.dat").write_bytes(content[:-4])
    with pytest.raises(UnreadableError, match="truncated signal file: a.dat"):
        read_header(path, "wfdb")


def test_a_missing_signal_file_and_a_wrong_checksum_are_named(tmp_path: Path) -> None:
    path = write_wfdb(tmp_path, "a", digital())
    content = bytearray((tmp_path / "a.dat").read_bytes())
    content[2] ^= 1
    (tmp_path / "a.dat").write_bytes(content)
    assert read_header(path, "wfdb").flags == read_signal(path, "wfdb").flags == ("wrong checksum: II",)
    (tmp_path / "a.dat").unlink()
    with pytest.raises(UnreadableError, match="missing signal file: a.dat"):
        read_header(path, "wfdb")


def test_the_length_is_taken_from_the_file_where_the_header_is_silent(tmp_path: Path) -> None:
    path = write_wfdb(tmp_path, "a", digital())
    path.write_text(path.read_text().replace(" 250 500", " 250"))
    assert read_header(path, "wfdb").n_samples == 500
    assert read_signal(path, "wfdb").data.shape == (3, 500)


def test_text_that_is_no_header_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "letter.hea").write_text("Dear colleague,\nthe recordings are on the other disk.\n")
    (tmp_path / "noise.hea").write_bytes(bytes(range(256)))
    (tmp_path / "empty.hea").write_bytes(b"")
    assert [identify(path) for path in sorted(tmp_path.iterdir())] == [None] * 3


def test_the_values_are_those_that_wfdb_reads_from_a_real_record(real_data: Path) -> None:
    path = next((real_data / "ptbxl500").rglob("*.hea"))
    expected = wfdb.rdrecord(str(path.with_suffix(""))).p_signal.T
    np.testing.assert_allclose(read_signal(path, "wfdb").physical(), expected, rtol=1e-6)
