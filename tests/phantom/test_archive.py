import csv
from collections import Counter
from pathlib import Path

import mne
import numpy as np
import pytest
import wfdb
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medcl.phantom import archive, ecg, eeg


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def ecg_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ecg")
    archive.write_ecg(folder, patients=100, seed=3)
    return folder


def test_the_same_seed_writes_the_same_bytes_and_another_others(tmp_path):
    first, again, other = tmp_path / "first", tmp_path / "again", tmp_path / "other"
    done = archive.write(first, ecg_patients=3, eeg_subjects=2, seed=1)
    archive.write(again, ecg_patients=3, eeg_subjects=2, seed=1)
    archive.write(other, ecg_patients=3, eeg_subjects=2, seed=2)
    assert contents(first) == contents(again)
    assert contents(first)[Path("ecg/P0001/P0001_r1.dat")] != contents(other)[Path("ecg/P0001/P0001_r1.dat")]
    assert done.ecg_records == len(table(first / "ecg" / "labels.csv")) == len(list(first.glob("ecg/P*/*.hea")))
    assert done.eeg_records == len(table(first / "eeg" / "labels.csv")) == len(list(first.glob("eeg/S*/*.edf")))
    assert all((first / path).is_file() for path in done.damaged)


def test_a_patient_is_the_same_however_many_there_are(tmp_path):
    archive.write_ecg(tmp_path / "few", patients=2, seed=1)
    archive.write_ecg(tmp_path / "many", patients=7, seed=1)
    few, many = contents(tmp_path / "few"), contents(tmp_path / "many")
    assert all(many[path] == data for path, data in few.items() if path.name != "labels.csv")


def test_ecg_labels_match_the_files(ecg_folder):
    rows = table(ecg_folder / "labels.csv")
    assert {row["record"] for row in rows} == {
        path.relative_to(ecg_folder).with_suffix("").as_posix() for path in ecg_folder.rglob("*.hea")
    }
    of = {}
    for row in rows:
        assert row["record"].startswith(f"{row['patient']}/{row['patient']}_r")
        of.setdefault(row["patient"], set()).add((row["diagnosis"], row["age"], row["sex"]))
    assert len(of) == 100
    assert all(len(facts) == 1 for facts in of.values())
    assert Counter(next(iter(facts))[0] for facts in of.values()) == {
        "normal": 40,
        "st_elevation": 20,
        "bundle_branch_block": 20,
        "atrial_fibrillation": 20,
    }
    assert set(Counter(row["patient"] for row in rows).values()) == {1, 2, 3, 4}


def test_wfdb_reads_what_was_simulated(tmp_path, monkeypatch):
    simulated = []
    original = ecg.simulate

    def keep(*arguments):
        simulated.append(original(*arguments))
        return simulated[-1]

    monkeypatch.setattr(archive.ecg, "simulate", keep)
    archive.write_ecg(tmp_path, patients=3, seed=5, sampling_rate=250)
    for row, expected in zip(table(tmp_path / "labels.csv"), simulated, strict=True):
        physical = wfdb.rdrecord(str(tmp_path / row["record"]))
        assert physical.fs == 250
        assert physical.sig_name == list(ecg.LEADS)
        assert physical.units == ["mV"] * 12
        np.testing.assert_allclose(physical.p_signal.T, expected, atol=0.5 / archive.GAIN + 1e-6)
        digital = wfdb.rdrecord(str(tmp_path / row["record"]), physical=False)
        assert digital.checksum == digital.calc_checksum()
        assert not any("name" in comment.lower() for comment in digital.comments)


def test_the_header_is_the_one_that_wfdb_itself_writes(tmp_path):
    archive.write_ecg(tmp_path / "ours", patients=1, seed=5)
    path = next((tmp_path / "ours").rglob("*.hea"))
    record = wfdb.rdrecord(str(path.with_suffix("")), physical=False)
    wfdb.wrsamp(
        path.stem,
        fs=record.fs,
        units=record.units,
        sig_name=record.sig_name,
        d_signal=record.d_signal,
        fmt=record.fmt,
        adc_gain=record.adc_gain,
        baseline=record.baseline,
        comments=record.comments,
        write_dir=str(tmp_path),
    )
    assert (tmp_path / path.name).read_text().replace("1000.0(0)", "1000(0)") == path.read_text()
    assert (tmp_path / f"{path.stem}.dat").read_bytes() == path.with_suffix(".dat").read_bytes()


def test_mne_reads_what_was_simulated_and_finds_nobodys_name(tmp_path, monkeypatch):
    simulated = []
    original = eeg.simulate

    def keep(*arguments):
        simulated.append(original(*arguments))
        return simulated[-1]

    monkeypatch.setattr(archive.eeg, "simulate", keep)
    archive.write_eeg(tmp_path, subjects=4, seed=5)
    rows = table(tmp_path / "labels.csv")
    assert Counter({row["subject"]: row["group"] for row in rows}.values()) == {"control": 2, "case": 2}
    for row, expected in zip(rows, simulated, strict=True):
        path = tmp_path / f"{row['record']}.edf"
        raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
        assert raw.info["sfreq"] == 128
        assert raw.ch_names == list(eeg.CHANNELS)
        np.testing.assert_allclose(raw.get_data() * 1e6, expected, atol=0.051)
        assert path.read_bytes()[8:88].decode().split() == [row["subject"], "X", "X", "X"]


def test_damaged_files_are_damaged_each_in_its_way(tmp_path):
    written = archive.write_damaged(tmp_path, seed=0)
    assert {path.name for path in written} == {
        "letter.hea",
        "missing_dat.hea",
        "no_samples.hea",
        "truncated.edf",
        "truncated_dat.hea",
        "wrong_checksum.hea",
    }
    for name in ("letter", "missing_dat", "truncated_dat"):
        with pytest.raises((ValueError, OSError, IndexError)):
            wfdb.rdrecord(str(tmp_path / name))
    assert wfdb.rdheader(str(tmp_path / "no_samples")).sig_len == 0
    record = wfdb.rdrecord(str(tmp_path / "wrong_checksum"), physical=False)
    assert sum(a != b for a, b in zip(record.checksum, record.calc_checksum(), strict=True)) == 1
    with pytest.raises((ValueError, OSError, AssertionError)):
        mne.io.read_raw_edf(tmp_path / "truncated.edf", preload=True, verbose="error")


def beat_and_rhythm(signal):
    """The median beat of all leads and how irregular the beats come: what a simple program would measure."""
    steep = np.abs(np.diff(signal, axis=1)).sum(axis=0)
    peaks = np.flatnonzero(steep > 0.4 * np.quantile(steep, 0.99))
    peaks = peaks[np.diff(peaks, prepend=-100) > 30]
    inside = peaks[(peaks > 30) & (peaks < signal.shape[1] - 50)]
    beat = np.median([signal[:, p - 25 : p + 45] for p in inside], axis=0)
    rr = np.diff(peaks)
    return np.append(beat.ravel(), rr.std() / rr.mean())


def test_the_task_is_neither_trivial_nor_hopeless_and_few_labels_hurt(ecg_folder):
    rows = table(ecg_folder / "labels.csv")
    features = np.array([beat_and_rhythm(wfdb.rdrecord(str(ecg_folder / row["record"])).p_signal.T) for row in rows])
    labels = np.array([row["diagnosis"] for row in rows])
    number = np.array([int(row["patient"][1:]) for row in rows])
    test = number > 60

    def auroc(train):
        model = make_pipeline(StandardScaler(), PCA(min(30, train.sum() - 1)), LogisticRegression(C=0.3, max_iter=1000))
        model.fit(features[train], labels[train])
        return roc_auc_score(labels[test], model.predict_proba(features[test]), multi_class="ovr")

    every = auroc(~test)
    few = np.mean([auroc((number > first) & (number <= first + 5)) for first in range(0, 60, 5)])
    assert 0.8 < every < 0.995
    assert 0.5 < few < every - 0.1
