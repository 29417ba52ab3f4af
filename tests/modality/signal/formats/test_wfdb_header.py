"""WFDB headers as databases have them: defaults, dates, names of files, channels of several kinds, and hostile ones."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import wfdb

from medcl.errors import UnreadableError
from medcl.modality.content import IncompleteError
from medcl.modality.formats import identify, read_header, read_signal
from medcl.modality.signal.config import Stated

VALUES = np.random.default_rng(0).integers(-2000, 2000, 1200).astype("<i2")


def record(folder: Path, text: str, name: str = "r", values: np.ndarray = VALUES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.dat").write_bytes(values.tobytes())
    path = folder / f"{name}.hea"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "r 2 360 600\nr.dat 16 200 11 0 0 0 0 MLII\nr.dat 16 200 11 0 0 0 0 V5\n",
        "r 2\nr.dat 16\nr.dat 16\n",
        "r 2 250\nr.dat 16 0\nr.dat 16 0(5)\n",
        "r 2 360/60(3.5) 600 0:0:0 1/1/1990\nr.dat 16 100.5/mV 12 1024 7 0 0 I\nr.dat 16 1e2(-7)/mV 12 1024 7 0 0 II\n",
        "# a comment\nr 2 125.5 600\n# another\nr.dat 16 -200 12 -3\nr.dat 16 200/uV 12\n# <age>: 60\n",
        "r 2 100 600\r\nr.dat 16 200\tECG one\r\nr.dat\t16\t200/mV\t12\t5\t0\t0\t0\tECG two\r\n",
        "r 2 500 300\nr.dat 16x2 200 12 0 0 0 0 I\nr.dat 16x2 200 12 9 0 0 0 II\n",
        "r 2 500 590\nr.dat 16:5 200 12 0 0 0 0 I\nr.dat 16:0 200 12 9 0 0 0 II\n",
    ],
)
def test_defaults_are_those_of_wfdb(tmp_path: Path, text: str) -> None:
    path = record(tmp_path, text)
    expected = wfdb.rdrecord(str(tmp_path / "r"), smooth_frames="x2" not in text)
    values = np.stack(expected.e_p_signal) if "x2" in text else expected.p_signal.T
    header, signal = read_header(path, "wfdb"), read_signal(path, "wfdb")
    factor = np.array([[1e-3 if unit == "uV" else 1] for unit in expected.units])
    np.testing.assert_allclose(signal.physical(), values * factor, rtol=1e-5)
    assert header.sampling_rate == signal.sampling_rate == expected.fs * (2 if "x2" in text else 1)
    assert header.n_samples == values.shape[1]
    assert header.units == tuple(expected.units)


@pytest.mark.parametrize(
    "behind",
    [
        "",
        " 12:30:00 17/3/89",
        " 2014-05-08 05:05:15",
        " 05-May-2020 09:49:17",
        " 1.1.2020",
        " Tuesday",
        " 25:99:99 40/40/0",
    ],
)
def test_any_date_and_time_is_passed_over(tmp_path: Path, behind: str) -> None:
    header = read_header(record(tmp_path, f"r 2 500 600{behind}\nr.dat 16 200/mV\nr.dat 16 200/mV\n"), "wfdb")
    assert (header.sampling_rate, header.n_samples) == (500, 600)


def test_records_of_the_challenges_are_read(tmp_path: Path) -> None:
    path = tmp_path / "E00001.hea"
    scipy.io.savemat(tmp_path / "E00001.mat", {"val": VALUES.reshape(2, 600)}, format="4")
    lines = "".join(f"E00001.mat 16+24 1000/mV 16 0 0 0 0 {lead}\n" for lead in ("I", "II"))
    path.write_text(f"E00001.mat 2 500 600 05-May-2020 09:49:17\n{lines}#Age: 57\n#Dx: 426783006\n")
    assert identify(path) == "wfdb"
    signal = read_signal(path, "wfdb")
    np.testing.assert_allclose(signal.physical(), VALUES.reshape(2, 600) / 1000, rtol=1e-6)
    assert signal.flags == ()


def test_a_checksum_of_zero_was_never_computed(tmp_path: Path) -> None:
    path = record(tmp_path, "r 1 300 1200\nr.dat 16 1000/mV 16 0 -127 0 0 ECG\n")
    assert read_header(path, "wfdb").flags == read_signal(path, "wfdb").flags == ()


def test_a_stated_unit_stands_in_the_place_of_the_default(tmp_path: Path) -> None:
    path = record(tmp_path, "r 2 300 600\nr.dat 16 200 16 0 0 0 0 I\nr.dat 16 200/mV 16 0 0 0 0 II\n")
    assert read_header(path, "wfdb").units == ("mV", "mV")
    assert read_header(path, "wfdb", Stated(unit="uV")).units == ("uV", "mV")


def test_a_gain_that_is_not_stated_is_200_and_said_to_be(tmp_path: Path) -> None:
    path = record(tmp_path, "r 2 300 600\nr.dat 16 0/mV 16 0 0 0 0 I\nr.dat 16 100/mV 16 0 0 0 0 II\n")
    assert read_header(path, "wfdb").flags == ("no gain stated, 200 values a unit as the format has it: I",)


def test_signals_of_several_rates_and_units(tmp_path: Path) -> None:
    lines = "r.dat 16x4 200/mV 12 0 0 0 0 II\nr.dat 16x4 200/mV 12 0 0 0 0 V\n"
    path = record(tmp_path, f"r 4 60 120\n{lines}r.dat 16 10/NU 12 0 0 0 0 Resp\nr.dat 16 10/mmHg 12 0 0 0 0 ABP\n")
    expected = wfdb.rdrecord(str(tmp_path / "r"), smooth_frames=False).e_p_signal
    header, signal = read_header(path, "wfdb"), read_signal(path, "wfdb")
    assert (header.channels, header.sampling_rate, header.n_samples) == (("II", "V"), 240, 480)
    assert header.flags == ("channels aside, other sampling rate: Resp (60 Hz), ABP (60 Hz)",)
    np.testing.assert_allclose(signal.physical(), np.stack(expected[:2]), rtol=1e-5)
    np.testing.assert_allclose(signal.aside[0].physical(), np.stack(expected[2:]), rtol=1e-5)


def test_a_file_name_that_may_be_a_person_is_quoted_nowhere(tmp_path: Path) -> None:
    path = record(tmp_path, "r 1 300 1200\nMueller_Hans.dat 16 200/mV 16 0 0 0 0 I\n")
    with pytest.raises(IncompleteError) as caught:
        read_header(path, "wfdb")
    assert (str(caught.value), caught.value.files) == ("missing signal file: the signal file number 1", ("r.hea",))
    path.write_text("r/1 1 300 1200\nMueller_Hans 1200\n")
    with pytest.raises(IncompleteError, match="missing segment: number 1") as caught:
        read_header(path, "wfdb")
    assert caught.value.files == ("r.hea",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("r/3 1 250 20000000000\n~ 10000000000\nr_1 1200\n~ 9999998800\n", "hold next to none"),
        ("r/1 1 250 20000000000\n~ 20000000000\n", "no signal|hold next to none"),
        ("r/2 1 250 2400\nr_1 1200\nr_1 1200\n", "one segment twice"),
        ("r/1 1 250 9000000000\nr_1 1200\n", "it states 9000000000 frames, its segments have 1200"),
        ("r/1 1 250 9000000000\nr_1 9000000000\n", "segment 1 is not as long"),
        ("r/999999999999 1 250 1\nr_1 1\n", "it states 999999999999 segments and describes 1"),
        ("r 999999999 250 1200\nr.dat 16 200 16 0 0 0 0 I\n", "it states 999999999 signals and describes 1"),
        ("r 1 250 99999999999\nr.dat 16 200 16 0 0 0 0 I\n", "truncated signal file: r.dat has 2400 bytes"),
        ("r 1 250 99999999999\nr.dat 516 200 16 0 0 0 0 I\n", "no FLAC stream"),
        ("r 1 250 1200\nr.dat 16x999999999 200 16 0 0 0 0 I\n", "truncated signal file"),
        ("r 1 250 1200\nr.dat 16x0 200 16 0 0 0 0 I\n", "no sample in a frame"),
        ("r 1 250 1200\nr.dat 16 1e-308/mV 16 0 0 0 0 I\n", r"no signal: no calibration \(I\)"),
        ("r 1 250 1200\nr.dat 16 1e308/mV 16 0 0 0 0 I\n", r"no signal: no calibration \(I\)"),
        ("r 1 250 1200\nr.dat 16 1e999/mV 16 0 0 0 0 I\n", "no signal: no calibration"),
        ("r 1 250 1200\nr.dat 16 2o0/mV 16 0 0 0 0 I\n", r"the gain of signal 0 is no number: a text of 6 characters"),
        ("r 1 0.1 1200\nr.dat 16 200/mV 16 0 0 0 0 I\n", "sampling rate of 0.1 Hz"),
        ("r 1 1e30 1200\nr.dat 16 200/mV 16 0 0 0 0 I\n", "sampling rate of 1e\\+30 Hz"),
        ("r 1 1e999 1200\nr.dat 16 200/mV 16 0 0 0 0 I\n", "unknown sampling rate"),
        ("r 1 Mueller 1200\nr.dat 16 200/mV 16 0 0 0 0 I\n", "unknown sampling rate: the header states a text of 7"),
        ("r 1 250 12oo\nr.dat 16 200/mV 16 0 0 0 0 I\n", "a text of 4 characters .* is no number of samples"),
        (
            "r 1 250 1200\n../r.dat 16 200/mV 16 0 0 0 0 I\n",
            "leads outside its folder: the name of the file of signal 0",
        ),
        ("r 1 250 1200\n/etc/passwd 8 200/mV 16 0 0 0 0 I\n", "leads outside its folder"),
        ("r 1 250 1200\n..\\r.dat 16 200/mV 16 0 0 0 0 I\n", "leads outside its folder"),
        ("r/1 1 250 1200\n../r_1 1200\n", "leads outside its folder: the name of segment 1"),
        ("r/1 1 250 1200\nr 1200\n", "segment 1 has segments of its own"),
    ],
)
def test_a_header_that_its_bytes_cannot_hold_is_refused_at_once(tmp_path: Path, text: str, reason: str) -> None:
    record(tmp_path, "r_1 1 250 1200\nr_1.dat 16 200/mV 16 0 0 0 0 I\n", name="r_1")
    path = record(tmp_path, text)
    read_header(tmp_path / "r_1.hea", "wfdb")
    tracemalloc.start()
    with pytest.raises(UnreadableError, match=reason):
        read_header(path, "wfdb")
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()
