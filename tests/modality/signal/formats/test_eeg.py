"""EDF, BDF, GDF, FIF, BrainVision and EEGLAB: found by content, read in microvolt."""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from edfio import Edf, EdfAnnotation, EdfSignal, Patient

from medcl.errors import UnreadableError
from medcl.modality.formats import identify, read_header, read_signal
from tests.modality.written import (
    ELECTRODES,
    waves,
    write_bdf,
    write_brainvision,
    write_edf,
    write_eeglab,
    write_fif,
    write_gdf,
)

VALUES = waves(scale=50)  # uV
WRITERS: dict[str, Callable[[Path], Path]] = {
    "edf": lambda folder: write_edf(folder / "a.edf", VALUES),
    "bdf": lambda folder: write_bdf(folder / "a.bdf", VALUES),
    "gdf": lambda folder: write_gdf(folder / "a.gdf", VALUES),
    "fif": lambda folder: write_fif(folder / "a_raw.fif", VALUES * 1e-6),
    "brainvision": lambda folder: write_brainvision(folder, "a", VALUES),
    "eeglab": lambda folder: write_eeglab(folder / "a.set", VALUES),
}


@pytest.mark.parametrize("form", WRITERS)
def test_every_format_is_found_and_read_in_microvolt(tmp_path: Path, form: str) -> None:
    path = WRITERS[form](tmp_path)

    assert identify(path) == form
    header, signal = read_header(path, form), read_signal(path, form)

    assert (header.modality, header.format, header.sampling_rate, header.n_samples) == ("eeg", form, 100, 500)
    assert header.channels == signal.channels == ELECTRODES
    assert header.units == (("V",) if form == "fif" else ("uV",)) * 3
    assert signal.units == ("uV",) * 3
    assert signal.data.dtype == {"edf": np.int16, "bdf": np.int32}.get(form, np.float32)
    np.testing.assert_allclose(signal.physical(), VALUES, atol=0.06)
    assert set(header.files) == {file.name for file in tmp_path.iterdir()}
    assert header.files[0] == path.name


@pytest.mark.parametrize("form", ["edf", "bdf", "gdf", "fif"])
@pytest.mark.parametrize("name", ["recording", "recording.dat", "RECORDING.EDF.OLD"])
def test_a_file_of_another_name_is_found_by_its_content(tmp_path: Path, form: str, name: str) -> None:
    path = WRITERS[form](tmp_path).rename(tmp_path / name)
    assert identify(path) == form
    assert read_header(path, form).files == (name,)
    np.testing.assert_allclose(read_signal(path, form).physical(), VALUES, atol=0.06)


@pytest.mark.parametrize(("unit", "factor"), [("mV", 1e3), ("V", 1e6), ("nV", 1e-3), ("\u00b5V", 1.0)])
def test_other_voltages_are_converted_and_the_header_keeps_what_was_stated(
    tmp_path: Path, unit: str, factor: float
) -> None:
    path = write_edf(tmp_path / "a.edf", VALUES, unit="XX")
    path.write_bytes(path.read_bytes().replace(b"XX", unit.encode("latin-1").ljust(2)))
    assert read_header(path, "edf").units == ("uV" if unit == "\u00b5V" else unit,) * 3
    np.testing.assert_allclose(read_signal(path, "edf").physical(), VALUES * factor, atol=0.06 * factor)


def test_an_edf_of_leads_is_an_ecg_in_millivolt(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "a.edf", VALUES, names=("I", "aVR", "V6"))
    assert read_header(path, "edf").modality == "ecg"
    signal = read_signal(path, "edf")
    assert signal.units == ("mV",) * 3
    np.testing.assert_allclose(signal.physical(), VALUES / 1000, atol=6e-5)


def test_the_header_gives_the_patients_code_and_nothing_else_of_the_person(tmp_path: Path) -> None:
    person = Patient(code="MCH-0234567", sex="F", birthdate=date(1951, 8, 2), name="Haagse_Harry")
    path = write_edf(tmp_path / "a.edf", VALUES, patient=person)
    assert read_header(path, "edf").ids == {"patient": "MCH-0234567"}
    anonymous = write_edf(tmp_path / "b.edf", VALUES, patient=Patient())
    assert read_header(anonymous, "edf").ids == {"patient": "X"}
    assert "Secret" not in repr(read_header(write_fif(tmp_path / "c_raw.fif", VALUES * 1e-6), "fif"))
    assert "Secret" not in repr(read_header(write_gdf(tmp_path / "d.gdf", VALUES), "gdf"))


def test_annotations_are_no_channel(tmp_path: Path) -> None:
    signals = [
        EdfSignal(row, 100, label=name, physical_dimension="uV") for name, row in zip(ELECTRODES, VALUES, strict=True)
    ]
    Edf(signals, annotations=[EdfAnnotation(1, None, "eyes closed")], data_record_duration=1).write(tmp_path / "a.edf")
    header = read_header(tmp_path / "a.edf", "edf")
    assert (header.channels, header.n_samples) == (ELECTRODES, 500)
    assert read_signal(tmp_path / "a.edf", "edf").data.shape == (3, 500)


def patched(path: Path, at: int, text: bytes) -> Path:
    content = bytearray(path.read_bytes())
    content[at : at + len(text)] = text
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("at", "text", "reason"),
    [
        (192, b"EDF+D", "a recording with gaps"),
        (236, b"7       ", "truncated file: 5 whole data records after the header, which says 7"),
        (244, b"0       ", "unknown sampling rate"),
        (236, b"zero    ", "damaged header"),
        (256 + 96 * 3, b" " * 24, "unknown unit: channels Fp1, Fz, O2 state none"),
    ],
)
def test_an_edf_header_that_cannot_be_meant_is_refused(tmp_path: Path, at: int, text: bytes, reason: str) -> None:
    path = patched(write_edf(tmp_path / "a.edf", VALUES), at, text)
    with pytest.raises(UnreadableError, match=reason):
        read_header(path, "edf")


def test_an_edf_without_calibration_is_refused(tmp_path: Path) -> None:
    path = patched(write_edf(tmp_path / "a.edf", VALUES), 256 + 104 * 3, b"0       " * 3 + b"0       " * 3)
    with pytest.raises(UnreadableError, match=r"no signal: no calibration \(Fp1, Fz, O2\)"):
        read_header(path, "edf")


def test_an_edf_of_no_length_or_cut_in_its_header_is_refused(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "a.edf", VALUES)
    content = path.read_bytes()
    path.write_bytes(content[:236] + b"0       " + content[244 : 256 * 4])
    with pytest.raises(UnreadableError, match="zero length"):
        read_header(path, "edf")
    path.write_bytes(content[:700])
    with pytest.raises(UnreadableError, match="truncated file: it ends within its header"):
        read_header(path, "edf")


@pytest.mark.parametrize(("form", "suffix"), [("brainvision", ".eeg"), ("eeglab", ".fdt"), ("gdf", ".gdf")])
def test_data_shorter_than_the_header_says_is_refused(tmp_path: Path, form: str, suffix: str) -> None:
    path = WRITERS[form](tmp_path)
    data = path.with_suffix(suffix)
    data.write_bytes(data.read_bytes()[:-600])
    with pytest.raises(UnreadableError):
        read_header(path, form)


@pytest.mark.parametrize(("form", "suffix"), [("brainvision", ".eeg"), ("eeglab", ".fdt")])
def test_missing_data_is_refused(tmp_path: Path, form: str, suffix: str) -> None:
    path = WRITERS[form](tmp_path)
    path.with_suffix(suffix).unlink()
    with pytest.raises(UnreadableError):
        read_header(path, form)


def test_a_gdf_that_does_not_say_how_long_or_in_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="unknown sampling rate"):
        read_header(write_gdf(tmp_path / "a.gdf", VALUES, seconds=0), "gdf")
    with pytest.raises(UnreadableError, match="unknown unit"):
        read_header(write_gdf(tmp_path / "a.gdf", VALUES, unit=""), "gdf")


def test_a_brainvision_header_of_another_name_says_what_to_do(tmp_path: Path) -> None:
    path = WRITERS["brainvision"](tmp_path)
    other = Path(shutil.copy(path, tmp_path / "a.txt"))
    assert identify(other) == "brainvision"
    with pytest.raises(UnreadableError, match="rename it"):
        read_header(other, "brainvision")
