"""Signals in the formats of laboratories and hospitals: the right values, or a reason in our words."""

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import mne
import numpy as np
import pydicom
import pytest
import scipy.io
from pydicom.data import get_testdata_file

from medcl.errors import UnreadableError
from medcl.modality.formats import BY_NAME, SUFFIXES, identify, read_header, read_signal
from medcl.modality.signal.config import Stated
from medcl.modality.signal.formats.matlab import check_counts, values
from medcl.modality.signal.record import Signal, SignalHeader
from tests.modality.signal.formats import write_signals as write
from tests.modality.written import ELECTRODES, waves, write_brainvision, write_fif, write_gdf

VALUES = waves(scale=50)  # uV
STATED = Stated(100.0, ELECTRODES, "uV")


def read(path: Path, stated: Stated | None = None) -> tuple[SignalHeader, Signal]:
    form = identify(path, stated)
    assert form is not None
    header = read_header(path, form, stated)
    assert isinstance(header, SignalHeader)
    return header, read_signal(path, form, stated)


@pytest.mark.parametrize("form", write.WRITERS)
def test_header_and_samples_of_every_format_agree_and_nothing_names_a_person(tmp_path: Path, form: str) -> None:
    path = write.WRITERS[form](tmp_path)
    header, signal = read(path)
    assert signal.data.shape == (len(header.channels), header.n_samples)
    assert (signal.channels, signal.sampling_rate) == (header.channels, header.sampling_rate)
    assert header.files[0] == path.name
    assert set(header.files) == {file.name for file in tmp_path.iterdir()}
    assert "Planted" not in repr(header)
    if header.modality == "eeg":
        assert (header.sampling_rate, header.channels, signal.units) == (100, ELECTRODES, ("uV",) * 3)
        np.testing.assert_allclose(signal.physical(), VALUES, atol=1e-4)


@pytest.mark.parametrize("trials", [1, 5])
@pytest.mark.parametrize("fdt", [False, True])
def test_eeglab_7_3_is_read_with_its_epochs(tmp_path: Path, trials: int, fdt: bool) -> None:
    _, signal = read(write.write_eeglab73(tmp_path / "a.set", VALUES, trials=trials, fdt=fdt))
    np.testing.assert_allclose(signal.physical(), VALUES, atol=1e-4)
    assert signal.starts == tuple(range(0, 500, 500 // trials))


def test_eeglab_boundaries_are_gaps(tmp_path: Path) -> None:
    path = write.write_eeglab(tmp_path / "a.set", VALUES)
    content = scipy.io.loadmat(path, struct_as_record=True)["EEG"]
    events = np.array(
        [("stim", 10.0), ("boundary", 200.5), ("boundary", 350.5)], dtype=[("type", "O"), ("latency", "O")]
    )
    fields = {name: content[name][0, 0] for name in content.dtype.names}
    scipy.io.savemat(path, {"EEG": fields | {"event": events}}, appendmat=False)
    _, signal = read(path)
    assert signal.starts == (0, 200, 350)


def test_fif_epochs_are_stretches(tmp_path: Path) -> None:
    header, signal = read(write.write_epochs(tmp_path / "a-epo.fif", VALUES * 1e-6))
    assert signal.starts == (0, 100, 200, 300, 400)
    assert "epochs, with a gap behind each: 5" in header.flags


def test_the_parts_of_a_split_fif_are_one_recording(tmp_path: Path) -> None:
    values = waves(samples=300_000, scale=50e-6)
    whole = mne.io.read_raw_fif(write_fif(tmp_path / "b_raw.fif", values), verbose="ERROR")
    (tmp_path / "parts").mkdir()
    whole.save(tmp_path / "parts" / "a_raw.fif", split_size="2MB", verbose="ERROR")
    header, signal = read(tmp_path / "parts" / "a_raw.fif")
    assert set(header.files) == {file.name for file in (tmp_path / "parts").iterdir()}
    assert len(header.files) > 1
    np.testing.assert_allclose(signal.physical(), values * 1e6, atol=1e-3)
    (tmp_path / "parts" / header.files[-1]).unlink()
    with pytest.raises(UnreadableError, match="missing part"):
        read_header(tmp_path / "parts" / "a_raw.fif", "fif")


@pytest.mark.parametrize("elsewhere", ["../b_raw.fif", "/etc/passwd"])
def test_a_part_of_a_fif_outside_its_folder_is_refused(tmp_path: Path, elsewhere: str) -> None:
    raw = mne.io.read_raw_fif(write_fif(tmp_path / "b_raw.fif", waves(samples=300_000, scale=50e-6)), verbose="ERROR")
    (tmp_path / "in").mkdir()
    raw.save(tmp_path / "in" / "a_raw.fif", split_size="2MB", verbose="ERROR")
    content = (tmp_path / "in" / "a_raw.fif").read_bytes()
    name = b"a_raw-1.fif"
    assert name in content
    (tmp_path / "in" / "a_raw.fif").write_bytes(content.replace(name, elsewhere.encode()[:11].ljust(11, b"x")))
    with pytest.raises(UnreadableError, match="outside its own folder"):
        read_header(tmp_path / "in" / "a_raw.fif", "fif")


def test_a_fif_without_a_recording_says_so(tmp_path: Path) -> None:
    mne.write_trans(tmp_path / "a-trans.fif", mne.transforms.Transform("head", "mri"), verbose="ERROR")
    with pytest.raises(UnreadableError, match="neither raw data nor epochs"):
        read_header(tmp_path / "a-trans.fif", "fif")


def test_a_fif_channel_of_an_unknown_kind_is_set_aside(tmp_path: Path) -> None:
    path = write_fif(tmp_path / "a_raw.fif", VALUES * 1e-6)
    content = path.read_bytes()
    # The kind of a channel is the third number of its tag (203, 96 bytes): 502 is MISC.
    place = content.index(b"\x00\x00\x00\xcb\x00\x00\x00\x1e\x00\x00\x00\x60") + 16 + 8
    path.write_bytes(content[:place] + (7777).to_bytes(4, "big") + content[place + 4 :])
    header, signal = read(path)
    assert header.channels == ELECTRODES[1:]
    assert "channels aside, unknown kind: Fp1" in header.flags
    np.testing.assert_allclose(signal.physical(), VALUES[1:], atol=1e-3)


OUTSIDE = ["../b.eeg", "/tmp/b.eeg", "C:\\data\\b.eeg", "sub/../../b.eeg", "..\\b.eeg"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_samples_outside_the_folder_of_their_header_are_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    path = write_brainvision(folder, "a", VALUES)
    (folder / "a.eeg").rename(tmp_path / "b.eeg")
    path.write_text(path.read_text(encoding="utf-8").replace("DataFile=a.eeg", f"DataFile={name}"), encoding="utf-8")
    with pytest.raises(UnreadableError, match="outside its own folder") as found:
        read_header(path, "brainvision")
    assert name not in str(found.value)
    other = write.write_eeglab73(folder / "c.set", VALUES, fdt=True)
    other.write_bytes(other.read_bytes().replace("c.fdt".encode("utf-16-le"), "../x.".encode("utf-16-le")))
    (folder / "c.fdt").unlink()
    with pytest.raises(UnreadableError, match="outside its own folder"):
        read_header(other, "eeglab")


@pytest.mark.parametrize("packed", [False, True])
def test_more_structures_than_the_file_has_bytes_for_are_refused(tmp_path: Path, packed: bool) -> None:
    inner = np.array([[(1.0,), (2.0,)]], dtype=[("value", object)])
    scipy.io.savemat(tmp_path / "a.mat", {"sound": {"cells": inner, "text": "a", "numbers": VALUES}})
    check_counts(tmp_path / "a.mat")
    content = (tmp_path / "a.mat").read_bytes()
    head, body = content[:128], bytearray(content[128:])
    dimensions = np.array([1, 2], "<i4").tobytes()
    place = body.index(b"\x05\0\0\0\x08\0\0\0" + dimensions) + 8
    body[place : place + 8] = np.array([1, 1 << 23], "<i4").tobytes()
    if packed:
        small = zlib.compress(bytes(body))
        body = bytearray(struct.pack("<II", 15, len(small)) + small)
    (tmp_path / "a.mat").write_bytes(head + body)
    with pytest.raises(UnreadableError, match="more cells or structures"):
        values(tmp_path / "a.mat", ["sound"])


@pytest.mark.parametrize("name", ["x" * 5000, "x\udcff" * 200])
def test_a_name_too_long_for_the_system_is_that_of_a_missing_file(tmp_path: Path, name: str) -> None:
    path = write_brainvision(tmp_path, "a", VALUES)
    (tmp_path / "a.eeg").unlink()
    text = path.read_text(encoding="utf-8").replace("DataFile=a.eeg", f"DataFile={name}")
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    segments = tmp_path / "s.hea"
    segments.write_text(f"s/1 2 100 10\n{name} 10\n", encoding="utf-8", errors="surrogateescape")
    for header, kind in ((path, "brainvision"), (segments, "wfdb")):
        with pytest.raises(UnreadableError, match="missing"):
            read_header(header, kind)


def test_a_renamed_recording_is_read_with_the_file_of_its_own_name(tmp_path: Path) -> None:
    write_brainvision(tmp_path, "Smith_Jane", VALUES)
    for suffix in (".vhdr", ".eeg", ".vmrk"):
        (tmp_path / f"Smith_Jane{suffix}").rename(tmp_path / f"s1{suffix}")
    write.write_eeglab(tmp_path / "Smith_Jane.set", VALUES)
    for suffix in (".set", ".fdt"):
        (tmp_path / f"Smith_Jane{suffix}").rename(tmp_path / f"s2{suffix}")
    for name in ("s1.vhdr", "s2.set"):
        header, signal = read(tmp_path / name)
        assert "the header names another file of samples" in header.flags[0]
        assert "Smith" not in repr(header)
        np.testing.assert_allclose(signal.physical(), VALUES, atol=0.06)
    (tmp_path / "s1.eeg").unlink()
    with pytest.raises(UnreadableError, match="missing file of samples") as found:
        read_header(tmp_path / "s1.vhdr", "brainvision")
    assert "Smith" not in str(found.value)


def test_gdf_channels_of_other_rates_units_and_markers_are_set_aside(tmp_path: Path) -> None:
    path = write_gdf(tmp_path / "a.gdf", VALUES, rates=(100, 100, 1), units=("uV", "mV", "uV"))
    header, signal = read(path)
    assert header.channels == ELECTRODES[:2]
    assert header.flags == ("channels aside, other sampling rate: O2 (1 Hz)",)
    np.testing.assert_allclose(signal.physical(), VALUES[:2] * [[1], [1000]], atol=60)
    assert [one.sampling_rate for one in signal.aside] == [1]
    np.testing.assert_allclose(signal.aside[0].physical()[0], VALUES[2, ::100], atol=0.06)


def test_the_user_states_the_unit_that_a_file_leaves_out(tmp_path: Path) -> None:
    path = write_gdf(tmp_path / "a.gdf", VALUES, unit="")
    with pytest.raises(UnreadableError, match="--unit"):
        read_header(path, "gdf")
    np.testing.assert_allclose(read(path, Stated(unit="mV"))[1].physical(), VALUES * 1000, atol=60)


def test_muse_is_read_and_the_limb_leads_follow_from_two(tmp_path: Path) -> None:
    digital = write.beats(8).astype(np.int16)
    header, signal = read(write.write_muse(tmp_path / "a.xml", digital))
    volts = {name: row * 4.88e-3 for name, row in zip(write.EIGHT, digital.astype(float), strict=True)}
    one, two = volts["I"], volts["II"]
    expected = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    assert header.channels == write.TWELVE
    assert header.flags == ("leads computed from I and II: III, aVR, aVL, aVF",)
    assert (header.ids, header.sampling_rate, signal.units[0]) == ({"patient": "P7"}, 500, "mV")
    np.testing.assert_allclose(signal.physical()[:6], expected, atol=1e-5)
    np.testing.assert_allclose(signal.physical()[6:], [volts[name] for name in write.EIGHT[2:]], atol=1e-5)


@pytest.mark.parametrize("packing", ["XLI", "Uncompressed", "Plain"])
def test_philips_is_read_packed_and_plain(tmp_path: Path, packing: str) -> None:
    digital = write.beats()
    header, signal = read(write.write_philips(tmp_path / "a.xml", digital, packing=packing))
    assert (header.channels, header.sampling_rate, header.ids) == (write.TWELVE, 500, {"patient": "P7"})
    np.testing.assert_allclose(signal.physical(), digital * 5e-3, atol=1e-5)


def test_an_unknown_packing_of_philips_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="export the ECG uncompressed"):
        read(write.write_philips(tmp_path / "a.xml", write.beats(), packing="Other"))


def test_aecg_is_read(tmp_path: Path) -> None:
    digital = write.beats()
    header, signal = read(write.write_aecg(tmp_path / "a.xml", digital))
    assert (header.channels, header.sampling_rate, header.ids) == (write.TWELVE, 500, {"patient": "P7"})
    np.testing.assert_allclose(signal.physical(), digital * 5e-3, atol=1e-5)


BOMB = '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]>'
FETCH = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("attack", [BOMB, FETCH])
@pytest.mark.parametrize("form", ["muse", "philips", "aecg"])
def test_xml_entities_are_refused(tmp_path: Path, form: str, attack: str) -> None:
    path = write.WRITERS[form](tmp_path)
    encoding = "utf-16" if form == "philips" else "latin-1"
    text = path.read_text(encoding=encoding).replace('<!DOCTYPE RestingECG SYSTEM "restecg.dtd">', "")
    path.write_text(text.replace("?>", f"?>{attack}", 1).replace("P7", "&b;"), encoding=encoding)
    assert identify(path) == form
    with pytest.raises(UnreadableError, match="DTD inside"):
        read_header(path, form)


def test_dicom_waveforms_agree_with_pydicom(tmp_path: Path) -> None:
    path = Path(str(get_testdata_file("waveform_ecg.dcm")))
    header, signal = read(path)
    assert header.channels == write.TWELVE
    assert header.flags == ("groups of channels aside: 1",)
    np.testing.assert_allclose(signal.physical(), pydicom.dcmread(path).waveform_array(0).T / 1000, atol=1e-6)


@pytest.mark.parametrize("big_endian", [False, True])
def test_a_dicom_waveform_is_scaled_by_sensitivity_correction_and_baseline(tmp_path: Path, big_endian: bool) -> None:
    digital = write.beats().astype(np.int16)
    options = {"step": 2.5, "correction": 1.5, "baseline": 7.0, "unit": "uV", "big_endian": big_endian}
    header, signal = read(write.write_dicom_waveform(tmp_path / "a.dcm", digital, **options))
    np.testing.assert_allclose(signal.physical(), (digital * 2.5 * 1.5 + 7) / 1000, atol=1e-5)
    assert set(header.ids) == {"patient", "study", "series"}


@pytest.mark.parametrize(("decimal", "separator"), [(".", ","), (".", "\t"), (",", ";")])
@pytest.mark.parametrize(("time", "factor"), [("time", 1), ("Time (ms)", 1000), ("t", 1)])
def test_a_table_with_an_even_time_is_a_recording(
    tmp_path: Path, decimal: str, separator: str, time: str, factor: float
) -> None:
    options = {"decimal": decimal, "separator": separator, "time": time, "rate": 100 / factor}
    header, signal = read(write.write_csv(tmp_path / "a.csv", VALUES, **options))
    assert (header.sampling_rate, header.n_samples, header.channels) == (100, 500, ELECTRODES)
    np.testing.assert_allclose(signal.physical(), VALUES, atol=1e-4)


@pytest.mark.parametrize(
    "text",
    [
        "file,dx\n" + "".join(f"a{i},{i % 2}\n" for i in range(40)),
        "time,event\n" + "".join(f"{i * i},{i % 2}\n" for i in range(40)),
        "patient,age\n" + "".join(f"{i},{i + 30}\n" for i in range(40)),
        "just text\n" * 40,
    ],
)
def test_a_table_of_labels_is_no_recording(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    assert identify(tmp_path / "a.csv") is None


@pytest.mark.parametrize("time_first", [False, True])
def test_arrays_are_read_as_the_user_states_them(tmp_path: Path, time_first: bool) -> None:
    array = VALUES.T if time_first else VALUES
    np.save(tmp_path / "a.npy", array)
    np.savetxt(tmp_path / "b.csv", VALUES.T, delimiter=",")
    scipy.io.savemat(tmp_path / "c.mat", {"x": array})
    for name in ("a.npy", "b.csv", "c.mat"):
        header, signal = read(tmp_path / name, STATED)
        assert (header.sampling_rate, header.channels) == (100, ELECTRODES)
        np.testing.assert_allclose(signal.physical(), VALUES, atol=1e-4)


def test_what_is_not_known_of_an_array_is_asked_for(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VALUES)
    for stated, missing in ((Stated(), "--sampling-rate"), (Stated(100.0), "--unit")):
        with pytest.raises(UnreadableError, match=missing):
            read_header(tmp_path / "a.npy", "npy", stated)
    np.save(tmp_path / "b.npy", np.zeros((5, 5)))
    with pytest.raises(UnreadableError, match="which axis is time"):
        read_header(tmp_path / "b.npy", "npy", Stated(100.0, unit="uV"))
    (tmp_path / "a.json").write_text(json.dumps({"SamplingFrequency": 250, "units": ["uV", "mV", "V"]}))
    _, signal = read(tmp_path / "a.npy")
    np.testing.assert_allclose(signal.physical(), VALUES * [[1], [1e3], [1e6]], rtol=1e-5)


def test_pickles_and_claims_beyond_the_file_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UnreadableError, match="pickled objects"):
        read_header(tmp_path / "a.npy", "npy", STATED)
    np.save(tmp_path / "b.npy", VALUES)
    content = (tmp_path / "b.npy").read_bytes()
    (tmp_path / "b.npy").write_bytes(content.replace(b"(3, 500), }      ", b"(3, 50000000), } "))
    with pytest.raises(UnreadableError, match="truncated file"):
        read_header(tmp_path / "b.npy", "npy", STATED)
    path = write_brainvision(tmp_path, "c", VALUES)
    path.write_text(path.read_text(encoding="utf-8").replace("Channels=3", "Channels=999999999"), encoding="utf-8")
    with pytest.raises(UnreadableError, match="states 999999999 channels and describes 3"):
        read_header(path, "brainvision")


INFINITE: dict[str, Callable[[Path], Path]] = {
    "npy": lambda folder: write.write_npy(folder / "a.npy", np.full((3, 50), 1e300)),
    "mat": lambda folder: write.write_mat(folder / "a.mat", np.full((3, 50), np.inf)),
    "eeglab": lambda folder: write.write_eeglab73(folder / "a.set", np.full((3, 50), np.inf)),
}


@pytest.mark.parametrize("form", INFINITE)
def test_infinite_values_are_named(tmp_path: Path, form: str) -> None:
    with pytest.raises(UnreadableError, match="infinite: in the channels Fp1, Fz, O2"):
        read(INFINITE[form](tmp_path))


@pytest.mark.parametrize(
    ("head", "form", "advice"),
    [
        (bytes(16) + b"SCPECG" + bytes(100), "scp-ecg", "SCP-ECG is not read: export it as DICOM"),
        (b"ISHNE1.0" + bytes(100), "ishne", "ISHNE Holter is not read: convert it"),
        (b"EEG-1100A V01.00" + bytes(100), "nihon-kohden", "Nihon Kohden is not read: export it as EDF"),
        (b"MEG42RS\0" + bytes(100), "ctf", "CTF MEG"),
    ],
)
def test_a_known_format_that_is_not_read_says_what_to_do(tmp_path: Path, head: bytes, form: str, advice: str) -> None:
    (tmp_path / "a.dat").write_bytes(head)
    assert identify(tmp_path / "a.dat") == form
    with pytest.raises(UnreadableError, match=advice):
        read_header(tmp_path / "a.dat", form)


def test_every_format_has_a_reader_of_its_kind() -> None:
    assert set(SUFFIXES.values()) <= set(BY_NAME)
    assert BY_NAME["eeglab"].fragile
    assert BY_NAME["mat"].fragile
