"""EDF and BDF as recorders write them: what is set aside, what is flagged, and what is no file of its format."""

import warnings
from pathlib import Path

import edfio
import mne
import numpy as np
import pytest

from medcl.errors import UnreadableError
from medcl.modality.formats import read_header, read_signal
from medcl.modality.signal.config import Stated
from tests.modality.signal.formats.raw_edf import channel, digital, notes, write


def by_edfio(path: Path) -> list[np.ndarray]:
    """Physical values of every signal that is no annotation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [signal.data for signal in edfio.read_edf(path, header_encoding="latin-1").signals]


def test_channels_that_are_no_signal_are_set_aside_and_listed(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.edf",
        [
            channel("EEG Fpz-Cz"),
            channel("Temp rectal", "DegC", samples=1),
            channel("EEG Pz-Oz"),
            channel("Event marker", "", samples=1),
            channel("Resp", "", samples=100),
            channel("EMG", samples=1),
            channel("SaO2", "%"),
            channel("-", digital_low="0", digital_high="0"),
            channel("ref", physical_low="0", physical_high="0"),
            channel("", "uV"),
        ],
    )
    header, signal = read_header(path, "edf"), read_signal(path, "edf")
    assert header.channels == signal.channels == ("EEG Fpz-Cz", "EEG Pz-Oz")
    assert (header.sampling_rate, header.n_samples, header.modality) == (100, 400, "eeg")
    assert set(header.flags) == {
        "channels aside, no voltage: SaO2 (%)",
        "channels aside, marker: Event marker",
        "channels aside, no unit: Resp",
        "channels aside, other sampling rate: Temp rectal (1 Hz), EMG (1 Hz)",
        "channels aside, unused: unnamed",
        "channels aside, no calibration: -, ref",
    }
    values = by_edfio(path)
    np.testing.assert_allclose(signal.physical(), [values[0], values[2]], rtol=1e-5)
    beside = {name: part.physical()[i] for part in signal.aside for i, name in enumerate(part.channels)}
    assert set(beside) == {"unnamed", "Temp rectal", "Event marker", "Resp", "EMG", "SaO2"}
    np.testing.assert_allclose(beside["Temp rectal"], values[1], rtol=1e-5)
    assert signal.unusable == {"-": "no calibration", "ref": "no calibration"}


def test_a_stated_unit_fills_what_the_file_leaves_out_and_replaces_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.edf", [channel("Fp1", ""), channel("Fp2", "mV")])
    assert read_header(path, "edf").channels == ("Fp2",)
    stated = Stated(unit="uV")
    assert read_header(path, "edf", stated).units == ("uV", "mV")
    expected = np.stack([digital(0, 4, 100) / 10, digital(1, 4, 100) * 100.0])
    np.testing.assert_allclose(read_signal(path, "edf", stated).physical(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "unit", ["uV", "UV", "\u00b5V", b"\xc2\xb5V", b"\xce\xbcV", "muV", "microV", b"\x83\xcaV", "[uV]"]
)
def test_the_ways_to_write_microvolt_are_one_unit(tmp_path: Path, unit: str) -> None:
    path = write(tmp_path / "a.edf", [channel("Fp1", unit)])
    assert read_header(path, "edf").units == ("uV",)


def test_channels_of_one_name_are_numbered(tmp_path: Path) -> None:
    path = write(tmp_path / "a.edf", [channel("T8-P8"), channel("Cz"), channel("T8-P8")])
    header, signal = read_header(path, "edf"), read_signal(path, "edf")
    assert header.channels == ("T8-P8", "Cz", "T8-P8 #2")
    assert header.flags == ("channels of one name, numbered: T8-P8",)
    np.testing.assert_allclose(signal.physical(), by_edfio(path), rtol=1e-5)


@pytest.mark.parametrize("reserved", ["EDF+D", "EDF+C", ""])
def test_data_records_without_gaps_are_one_stretch(tmp_path: Path, reserved: str) -> None:
    path = write(tmp_path / "a.edf", [channel("Fp1"), notes()], reserved=reserved)
    signal = read_signal(path, "edf")
    assert (signal.starts, signal.flags) == ((0,), ())
    np.testing.assert_array_equal(signal.data[0], digital(0, 4, 100))


def test_gaps_begin_new_stretches_in_every_rate(tmp_path: Path) -> None:
    channels = [notes(), channel("Fp1"), channel("Temp", "DegC", samples=2)]
    path = write(tmp_path / "a.edf", channels, reserved="EDF+D", onsets=[0, 1, 7.5, 8.5])
    header, signal = read_header(path, "edf"), read_signal(path, "edf")
    assert header.n_samples == 400
    assert "gaps in time: 1" in header.flags
    assert signal.starts == (0, 200)
    assert signal.aside[0].starts == (0, 4)
    np.testing.assert_array_equal(signal.data[0], digital(1, 4, 100))


def test_a_data_record_without_its_time_follows_no_other(tmp_path: Path) -> None:
    path = write(tmp_path / "a.edf", [channel("Fp1"), notes()], reserved="EDF+D")
    path.write_bytes(path.read_bytes().replace(b"+2\x14", b"?2\x14"))
    assert read_signal(path, "edf").starts == (0, 200, 300)
    with pytest.raises(UnreadableError, match="without annotations"):
        read_header(write(tmp_path / "b.edf", [channel("Fp1")], reserved="EDF+D"), "edf")


@pytest.mark.parametrize(
    ("fixed", "fields", "flags"),
    [
        ({"count": "-1"}, {}, ()),
        ({"length": "768"}, {}, ("header of another length than it states",)),
        ({"length": ""}, {}, ("header of another length than it states",)),
        ({"duration": "1,0", "count": "  4"}, {"physical_low": "-3276,8", "physical_high": "3276,7"}, ()),
        ({"count": b"4\0\0\0"}, {"samples": 100, "unit": b"uV\0\0"}, ()),
        ({"count": "2"}, {}, ("more data records than the header says: read",)),
    ],
)
def test_headers_that_trusted_readers_understand_are_read(tmp_path: Path, fixed, fields, flags) -> None:  # noqa: ANN001
    path = write(tmp_path / "a.edf", [channel("Fp1", **{"unit": "uV", **fields})], **fixed)
    header, signal = read_header(path, "edf"), read_signal(path, "edf")
    assert (header.flags, header.n_samples) == (flags, 400)
    np.testing.assert_allclose(signal.physical()[0], digital(0, 4, 100) / 10, rtol=1e-5)


def test_what_stands_behind_the_last_whole_data_record_is_left_out_and_flagged(tmp_path: Path) -> None:
    path = write(tmp_path / "a.edf", [channel("Fp1")])
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    assert read_header(path, "edf").flags == ("last data record incomplete: it is left out",)
    np.testing.assert_allclose(read_signal(path, "edf").physical()[0], by_edfio(path)[0], rtol=1e-5)
    path.write_bytes(whole + b"signature")
    assert read_header(path, "edf").flags == ("bytes behind the data records: not read",)
    assert read_signal(path, "edf").data.shape == (1, 400)
    path.write_bytes(whole[:-250])
    with pytest.raises(UnreadableError, match="truncated file: 2 whole data records after the header, which says 4"):
        read_header(path, "edf")


def test_annotations_alone_are_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="annotations alone"):
        read_header(write(tmp_path / "a.edf", [notes()], duration="0", reserved="EDF+C"), "edf")


@pytest.mark.parametrize(
    ("fixed", "fields", "reason"),
    [
        ({"count": "99999999"}, {}, "truncated file"),
        ({}, {"samples": 99999999}, "truncated file"),
        ({"duration": "1e-300"}, {}, "sampling rate"),
        ({"duration": "1e9"}, {}, "unknown sampling rate"),
        ({"duration": "5000"}, {}, "sampling rate of 0.02 Hz"),
        (
            {"count": "Mueller"},
            {},
            r"damaged header: the number of data records is a text of 7 characters \(not shown\)",
        ),
        ({}, {"physical_high": "1e300"}, "no signal: no calibration"),
        ({}, {"physical_low": "nan"}, "no signal: no calibration"),
        ({}, {"samples": -4}, "damaged header"),
    ],
)
def test_what_the_file_cannot_hold_is_refused_by_its_header(tmp_path: Path, fixed, fields, reason: str) -> None:  # noqa: ANN001
    path = write(tmp_path / "a.edf", [channel("Fp1")])
    sound = path.read_bytes()[512:]
    path.write_bytes(
        write(tmp_path / "b.edf", [channel("Fp1", **fields)], records=0, **{"count": "4", **fixed}).read_bytes() + sound
    )
    with pytest.raises(UnreadableError, match=reason):
        read_header(path, "edf")


def test_the_values_are_those_that_mne_reads(tmp_path: Path) -> None:
    path = write(tmp_path / "a.edf", [channel("Fp1"), channel("Cz", digital_low="-2048", digital_high="2047"), notes()])
    expected = mne.io.read_raw_edf(path, preload=True, verbose="ERROR").get_data() * 1e6
    np.testing.assert_allclose(read_signal(path, "edf").physical(), expected, rtol=1e-4, atol=1e-3)


def test_a_bdf_has_24_bits_with_a_sign(tmp_path: Path) -> None:
    values = np.array([[-8388608, -1, 0, 1, 8388607] * 20], dtype=np.float64)
    signal = edfio.BdfSignal(values[0], 100, label="Cz", physical_dimension="uV", physical_range=(-8388608, 8388607))
    edfio.Bdf([signal], data_record_duration=1).write(tmp_path / "a.bdf")
    np.testing.assert_array_equal(read_signal(tmp_path / "a.bdf", "bdf").data, values)
