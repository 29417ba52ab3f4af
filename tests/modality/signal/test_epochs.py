"""Recordings cut around their events: read from every format, labelled, one person's, and cut behind the filters."""

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest
from edfio import Bdf, BdfSignal, Edf, EdfAnnotation, EdfSignal, Patient

from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.data.prepare import prepare
from medcl.errors import UnreadableError, UsageError
from medcl.modality import wing
from medcl.modality.formats import identify, read_events, read_signal
from medcl.modality.rows import Source
from medcl.modality.signal import epochs
from medcl.modality.signal.config import SignalConfig, Stated
from medcl.modality.signal.samples import SignalWindows
from tests.modality.signal.formats import raw_edf
from tests.modality.written import (
    ELECTRODES,
    Values,
    waves,
    write_brainvision,
    write_eeglab,
    write_fif,
    write_gdf,
)

RATE = 100
CUES = ((1.0, "left"), (2.5, "right"), (3.5, "left"))
LONG = 0.1 + 0.2  # 0.30000000000000004, as some programs write it
VALUES = waves(samples=500, scale=20)


def edf(path: Path, values: Values = VALUES, cues: tuple[tuple[float, str], ...] = CUES, code: str = "") -> Path:
    signals = [
        EdfSignal(row, RATE, label=name, physical_dimension="uV", physical_range=(-3276.8, 3276.8))
        for name, row in zip(ELECTRODES, values, strict=True)
    ]
    notes = [EdfAnnotation(second, None, name) for second, name in cues]
    path.parent.mkdir(parents=True, exist_ok=True)
    Edf(signals, patient=Patient(code=code or path.parent.name), annotations=notes, data_record_duration=1).write(path)
    return path


def bdf(path: Path) -> Path:
    status = np.zeros(VALUES.shape[1])
    for second, name in CUES:
        status[round(second * RATE) :][:5] = (1 << 16) + (1 if name == "left" else 2)
    signals = [
        BdfSignal(row, RATE, label=name, physical_dimension="uV", physical_range=(-5000, 5000))
        for name, row in zip(ELECTRODES, VALUES, strict=True)
    ]
    triggers = BdfSignal(status, RATE, label="Status", physical_range=(-8388608, 8388607))
    Bdf([*signals, triggers], patient=Patient(code="P7"), data_record_duration=1).write(path)
    return path


def gdf(path: Path) -> Path:
    write_gdf(path, VALUES)
    places = [round(second * RATE) + 1 for second, _ in CUES]
    codes = [769 if name == "left" else 770 for _, name in CUES]
    table = struct.pack("<B3sI3I3H", 1, bytes([RATE, 0, 0]), 3, *places, *codes)
    path.write_bytes(path.read_bytes()[:-8] + table)
    return path


def brainvision(path: Path) -> Path:
    write_brainvision(path.parent, path.stem, VALUES)
    marks = [f"Mk{i + 2}=Stimulus,S  {1 if name == 'left' else 2},{round(second * RATE) + 1},1,0\n"
             for i, (second, name) in enumerate(CUES)]  # fmt: skip
    file = path.with_suffix(".vmrk")
    file.write_text(file.read_text() + "".join(marks))
    return path.with_suffix(".vhdr")


def fif(path: Path) -> Path:
    write_fif(path, VALUES * 1e-6)
    raw = mne.io.read_raw_fif(path, preload=True, verbose="ERROR")
    raw.set_annotations(mne.Annotations([second for second, _ in CUES], 0, [name for _, name in CUES]))
    raw.save(path, overwrite=True, verbose="ERROR")
    return path


def triggers(path: Path) -> Path:
    write_fif(path, VALUES * 1e-6)
    raw = mne.io.read_raw_fif(path, preload=True, verbose="ERROR")
    for second, name in CUES:
        raw._data[3, round(second * RATE) :][:3] = 1 if name == "left" else 2
    raw.save(path, overwrite=True, verbose="ERROR")
    return path


def epochs_fif(path: Path) -> Path:
    raw = mne.io.RawArray(VALUES * 1e-6, mne.create_info(list(ELECTRODES), RATE, "eeg"), verbose="ERROR")
    found = np.array([[round(second * RATE), 0, 1 if name == "left" else 2] for second, name in CUES])
    cut = mne.Epochs(raw, found, {"left": 1, "right": 2}, -0.5, 0.99, baseline=None, preload=True, verbose="ERROR")
    cut.save(path, overwrite=True, verbose="ERROR")
    return path


def eeglab(path: Path) -> Path:
    write_eeglab(path, VALUES)
    import scipy.io

    mat = scipy.io.loadmat(path, simplify_cells=True)["EEG"]
    kinds = [("left" if name == "left" else 2, second * RATE + 1) for second, name in CUES]
    mat["event"] = np.array([(kind, at) for kind, at in kinds], dtype=[("type", object), ("latency", object)])
    mat["chanlocs"] = np.array([(name,) for name in ELECTRODES], dtype=[("labels", object)])
    scipy.io.savemat(path, {"EEG": mat}, appendmat=False)
    return path


WRITERS: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "a.edf": (edf, "left", "right"),
    "a.bdf": (bdf, "1", "2"),
    "a.gdf": (gdf, "769", "770"),
    "a.vhdr": (brainvision, "Stimulus/S 1", "Stimulus/S 2"),
    "a_raw.fif": (fif, "left", "right"),
    "b_raw.fif": (triggers, "1", "2"),
    "c-epo.fif": (epochs_fif, "left", "right"),
    "a.set": (eeglab, "left", "2"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_events_and_epochs_of_every_format(tmp_path: Path, name: str) -> None:
    write, left, right = WRITERS[name]
    path = write(tmp_path / name)
    form = identify(path)
    assert form is not None
    found = read_events(path, form)
    names = {left: "left", right: "right"}
    known = [(names[one.name], one.second) for one in found.events if one.name in names]
    # Epochs of 1.5 s lie side by side, each with its event 0.5 s behind its beginning.
    expected = [(0.5 + 1.5 * i, label) for i, (_, label) in enumerate(CUES)] if "epo" in name else list(CUES)
    assert [label for label, _ in known] == [label for _, label in expected]
    np.testing.assert_allclose([second for _, second in known], [second for second, _ in expected], atol=1e-6)
    stated = Stated(events=(f"{left}=l", right), epoch=(-0.25, 0.75))
    for part, (second, label) in enumerate(CUES):
        own = epochs.read(Source(tmp_path, path.name, (), form, {"modality": "eeg", "part": part}, stated))
        begin = round((second - 0.25) * RATE)
        np.testing.assert_allclose(own.physical(), VALUES[:, begin : begin + 100], atol=0.06, err_msg=label)


def scan(folder: Path, **options: object) -> Manifest:
    output = folder.with_suffix(".parquet")
    request = ScanRequest(folder, output, jobs=1, fractions=(0.5, 0.25, 0.25), **options)  # type: ignore[arg-type]
    build_manifest(request)
    return Manifest.read(output)


def archive(folder: Path, patients: int = 4) -> Path:
    for number in range(patients):
        edf(folder / f"p{number}" / "run.edf", waves(samples=500, scale=20, seed=number))
    return folder


STATED = Stated(events=("left=L", "right=R"), epoch=(0.0, 1.0))


def test_each_epoch_is_a_record_with_its_event_and_the_session_of_its_recording(tmp_path: Path) -> None:
    folder = archive(tmp_path / "a")
    edf(folder / "p4" / "late.edf", cues=((4.5, "left"), (1.0, "right")))
    edf(folder / "p5" / "none.edf", cues=((1.0, "rest"),))
    manifest = scan(folder, stated=STATED)
    ok = manifest.ok()
    assert ok.column("epoch_event").tolist() == ["L", "R", "L"] * 4 + ["R"]
    assert manifest.targets["epoch_event"].classes == ("L", "R")
    assert len(set(ok.column("trial"))) == 13
    assert len(set(ok.column("session"))) == len(set(ok.column("patient"))) == 5
    assert set(ok.column("n_samples")) == {100}
    left = ok.table.column("flags").to_pylist()[-1]
    assert left == ["events without room for an epoch: 1"]
    refused = [str(status) for status in manifest.column("status") if status != "ok"]
    assert refused == ["no event left or right: it has rest"]
    again = scan(folder, stated=STATED)
    assert again.metadata["scan"]["reused"] == 13
    assert again.column("record_id").tolist() == manifest.column("record_id").tolist()


def test_the_epochs_of_a_recording_without_a_patient_are_one_persons(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        edf(tmp_path / "a" / f"{name}.edf", code="X")
    manifest = scan(tmp_path / "a", stated=STATED, patient_per_record=True)
    assert np.array_equal(np.unique(manifest.column("patient"), return_counts=True)[1], [3, 3, 3])


def test_an_event_that_no_recording_has_is_refused_with_those_there_are(tmp_path: Path) -> None:
    folder = archive(tmp_path / "a", patients=1)
    with pytest.raises(UsageError, match=r"'lefft' is none of left, right.*did you mean 'left'"):
        scan(folder, stated=Stated(events=("lefft", "right"), epoch=(0, 1)))
    with pytest.raises(UsageError, match="--epoch need each other"):
        Stated(events=("left",))
    with pytest.raises(UsageError, match="beginning lies before the end"):
        Stated(events=("left",), epoch=(1, 0))


@pytest.mark.parametrize("rate", [100.0, 50.0])
def test_epochs_are_cut_behind_the_filters(tmp_path: Path, rate: float) -> None:
    """An epoch holds what the whole recording holds there, filtered: its edges are not those of a filter."""
    folder = archive(tmp_path / "a", patients=2)
    config = SignalConfig(sampling_rate=rate, window=1.0, stride=1.0, band=[5.0, 20.0], standardise="none")
    cut, whole = scan(folder, stated=STATED), tmp_path / "whole.parquet"
    build_manifest(ScanRequest(folder, whole, jobs=1))
    entire = prepare(Manifest.read(whole), config, tmp_path / "s", jobs=1)
    store = prepare(cut, config, tmp_path / "s", jobs=1)
    assert len(store) == 6
    for number, (second, _) in enumerate(CUES):
        begin = round(second * rate)
        np.testing.assert_array_equal(store.read(number), entire.read(0, begin, round(rate)))
    np.testing.assert_allclose(store.mean[1], store.read(1).mean(axis=1), atol=1e-4)
    windows = SignalWindows(store, cut, replace(config, standardise="record"))
    assert len(windows) == 6
    x = windows.read(np.arange(6)).numpy()
    np.testing.assert_allclose(x.std(axis=2), 1, atol=1e-4)
    assert windows.left_out["windows have gaps"] == 0
    own = [wing("signal").original(source, None)[0] for source in _sources(cut)]
    assert [one.shape for one in own] == [(3, 100)] * 6


def _sources(manifest: Manifest) -> list[Source]:
    paths = zip(manifest.column("path"), manifest.column("part"), strict=True)
    row = {"modality": "eeg"}
    return [Source(manifest.root, str(one), (), "edf", {**row, "part": part}, manifest.stated) for one, part in paths]


def test_events_in_a_gap_and_epochs_across_one_are_left_out(tmp_path: Path) -> None:
    channels = [raw_edf.channel("Fp1"), raw_edf.notes(60)]
    path = raw_edf.write(tmp_path / "a.edf", channels, onsets=[0, 1, 10, 11], reserved="EDF+D")
    content = path.read_bytes()
    for onset, said in (
        (b"+1\x14\x14\0", b"+1.5\x14cue\x14\0"),
        (b"+10\x14\x14\0", b"+10.5\x14cue\x14\0+5\x14cue\x14\0"),
    ):
        content = content.replace(onset + bytes(len(said)), onset + said)
    path.write_bytes(content)
    found = read_events(path, "edf")
    assert [one.second for one in found.events] == [1.5, 2.5]
    assert found.stretches == (0.0, 2.0)
    stated = Stated(events=("cue",), epoch=(0.0, 1.0))
    own = epochs.cut(found, 100, 400, stated)
    assert [(one.first, one.length) for one in own] == [(250, 100)]
    signal = read_signal(path, "edf")
    one = epochs.read(Source(tmp_path, "a.edf", (), "edf", {"modality": "eeg", "part": 0}, stated))
    np.testing.assert_array_equal(one.data, signal.data[:, 250:350])
    with pytest.raises(UnreadableError, match="no room for an epoch from -3 to 0 s around any of 2 events"):
        epochs.cut(found, 100, 400, Stated(events=("cue",), epoch=(-3.0, 0.0)))


def test_onsets_with_all_digits_of_a_double(tmp_path: Path) -> None:
    assert [one.second for one in read_events(edf(tmp_path / "a.edf", cues=((LONG, "cue"),)), "edf").events] == [LONG]


def test_formats_without_events_say_which_have_them(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="only those of edf, bdf, gdf, fif, brainvision, eeglab"):
        read_events(tmp_path / "a.hea", "wfdb")
    plain = raw_edf.write(tmp_path / "plain.edf", [raw_edf.channel("Fp1")])
    with pytest.raises(UnreadableError, match="no annotations"):
        read_events(plain, "edf")
