"""From a folder of files to a manifest: what is found, under which ids, and what is refused with which reason."""

import os
import re
import shutil
import signal as signals
import subprocess
import sys
import time
from contextlib import suppress
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from edfio import Patient

from medcl.archive.identity import code
from medcl.archive.manifest import Manifest
from medcl.archive.scan import require_patients, scan, scan_to, summary
from medcl.archive.schema import SCHEMA
from medcl.data.prepare import prepare
from medcl.errors import UsageError
from medcl.modality.signal.config import SignalConfig, Stated
from tests.modality.signal.formats.raw_edf import channel, digital, write
from tests.modality.written import (
    waves,
    write_bdf,
    write_brainvision,
    write_edf,
    write_eeglab,
    write_fif,
    write_gdf,
    write_wfdb,
)

SALT = b"the salt of the tests"
EEG = waves(scale=50)
ECG = np.random.default_rng(0).integers(-2000, 2000, (3, 500))


def rows(manifest: Manifest) -> dict[str, str]:
    return dict(zip(manifest.column("path"), manifest.column("status"), strict=True))


def copies(folder: Path, names: list[str]) -> None:
    """Many WFDB records quickly: one is written by the library, the others are its text under their own names."""
    first = write_wfdb(folder, "first", ECG)
    text, samples = first.read_text(), (folder / "first.dat").read_bytes()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.hea").write_text(text.replace("first", Path(name).name))
        (folder / f"{name}.dat").write_bytes(samples)
    first.unlink()
    (folder / "first.dat").unlink()


def spoil(path: Path) -> None:
    """Other content, same size and time: who opens the file notices, who does not cannot."""
    about = path.stat()
    path.write_bytes(b"\0" * about.st_size)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def test_every_format_is_found_whatever_its_name(tmp_path: Path) -> None:
    write_wfdb(tmp_path / "w", "a", ECG)
    write_edf(tmp_path / "e" / "no_suffix", EEG)
    write_bdf(tmp_path / "e" / "wrong.txt", EEG)
    write_gdf(tmp_path / "c.gdf", EEG)
    write_fif(tmp_path / "d_raw.fif", EEG * 1e-6)
    write_brainvision(tmp_path / "v", "b", EEG)
    write_eeglab(tmp_path / "s.set", EEG)
    (tmp_path / "LICENSE").write_text("free")
    (tmp_path / "table.csv").write_text("record,patient\n")
    (tmp_path / "single.dat").write_bytes(bytes(100))

    manifest = scan(tmp_path, salt=SALT, jobs=1)

    assert rows(manifest) == dict.fromkeys(
        ["c.gdf", "d_raw.fif", "e/no_suffix", "e/wrong.txt", "s.set", "v/b.vhdr", "w/a.hea"], "ok"
    )
    assert manifest.column("format").tolist() == ["gdf", "fif", "edf", "bdf", "eeglab", "brainvision", "wfdb"]
    assert manifest.column("modality").tolist() == ["eeg"] * 6 + ["ecg"]
    assert manifest.column("sampling_rate").tolist() == [100.0] * 6 + [250.0]
    assert manifest.column("units")[1] == ["V"] * 3
    assert manifest.column("files")[5] == ["b.vhdr", "b.eeg", "b.vmrk"]
    assert sum((summary(manifest).others or {}).values()) == 3
    assert f"hours          {(6 * 5 + 2) / 3600:.2f}\n" in str(summary(manifest))
    assert "formats" not in str(summary(manifest))


def test_what_cannot_be_used_says_why_and_the_rest_goes_on(tmp_path: Path) -> None:
    copies(tmp_path, ["good", "missing", "short", "empty_length", "rate", "unit"])
    (tmp_path / "missing.dat").unlink()
    (tmp_path / "short.dat").write_bytes(bytes(10))
    for name, old, new in [
        ("empty_length", " 250 500", " 250 0"),
        ("rate", " 250 500", " 0 500"),
        ("unit", "/mV", "/mmHg"),
    ]:
        header = tmp_path / f"{name}.hea"
        header.write_text(header.read_text().replace(old, new))
    (tmp_path / "letter.hea").write_text("Dear colleague,\n")
    for name in ("zero.hea", "zero.edf"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "text.edf").write_text("not an EDF")
    os.symlink(tmp_path / "nowhere", tmp_path / "dangling.edf")

    manifest = scan(tmp_path, salt=SALT, jobs=1)

    expected = {
        "dangling.edf": "cannot be read: not found",
        "empty_length.hea": "zero length: the header states no samples",
        "good.hea": "ok",
        "letter.hea": "not what its name says: the content is not that of a .hea file",
        "missing.hea": "missing signal file: missing.dat",
        "rate.hea": "unknown sampling rate: the header states none that is above 0 Hz",
        "short.hea": "truncated signal file: short.dat has 10 bytes, the header says 3000",
        "text.edf": "not what its name says: the content is not that of a .edf file",
        "unit.hea": "ok",
        "zero.edf": "empty file",
        "zero.hea": "empty file",
    }
    assert rows(manifest) == expected
    counted = summary(manifest)
    assert counted.records == 2
    assert counted.quarantined["not what its name says"] == 2
    assert sum(counted.quarantined.values()) == 9
    assert "missing signal file" in str(counted)


def test_segments_are_part_of_their_record_even_where_it_is_broken(tmp_path: Path) -> None:
    for name in ("s_1", "s_2"):
        write_wfdb(tmp_path, name, ECG)
    (tmp_path / "s.hea").write_text("s/2 3 250 1000\ns_1 500\ns_2 500\n")
    whole = scan(tmp_path, salt=SALT, jobs=1)
    assert rows(whole) == {"s.hea": "ok"}
    assert whole.column("n_samples").tolist() == [1000]
    (tmp_path / "s_2.dat").unlink()
    assert rows(scan(tmp_path, salt=SALT, jobs=1)) == {"s.hea": "missing signal file: s_2.dat"}


def test_ids_come_from_the_path_by_a_pattern(tmp_path: Path) -> None:
    copies(tmp_path, ["Person_01/rec_1", "Person_01/rec_2", "Person_02/rec_1", "elsewhere/rec_1"])
    manifest = scan(tmp_path, salt=SALT, jobs=1, id_pattern=r"(?P<patient>Person_\d+)/(?P<trial>rec_\d+)")
    patient, trial = manifest.column("patient"), manifest.column("trial")
    assert patient[0] == patient[1] == code("patient", "Person_01", SALT)
    assert len(set(patient[:3])) == 2
    # rec_1 of two patients are two trials.
    assert len(set(trial[:3])) == 3
    assert manifest.column("status")[3] == "no patient id: the id pattern does not fit the path"
    assert not any("Person" in one for one in manifest.column("record_id"))


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?P<patient>", "no regular expression"),
        ("rec", "no group"),
        ("(?P<patient>.)(?P<name>.)", "'name' is none of"),
    ],
)
def test_a_pattern_that_cannot_be_meant_is_refused(tmp_path: Path, pattern: str, reason: str) -> None:
    with pytest.raises(UsageError, match=re.escape(reason)):
        scan(tmp_path, salt=SALT, id_pattern=pattern)


def test_two_recordings_with_one_id_are_both_refused(tmp_path: Path) -> None:
    copies(tmp_path, ["P1/rec_1", "backup/P1/rec_1", "P1/rec_2"])
    manifest = scan(tmp_path, salt=SALT, jobs=1, id_pattern=r"(?P<patient>P\d+)/(?P<trial>rec_\d+)")
    assert rows(manifest) == {
        "P1/rec_1.hea": "duplicate record id: also backup/P1/rec_1.hea",
        "P1/rec_2.hea": "ok",
        "backup/P1/rec_1.hea": "duplicate record id: also P1/rec_1.hea",
    }
    shutil.rmtree(tmp_path / "backup")
    again = scan(tmp_path, salt=SALT, jobs=1, id_pattern=r"(?P<patient>P\d+)/(?P<trial>rec_\d+)", previous=manifest)
    assert rows(again) == dict.fromkeys(["P1/rec_1.hea", "P1/rec_2.hea"], "ok")


def test_a_bids_folder_gives_subject_and_session(tmp_path: Path) -> None:
    (tmp_path / "dataset_description.json").write_text('{"Name": "made", "BIDSVersion": "1.9.0"}')
    for subject, session in [("01", "a"), ("01", "b"), ("02", "a")]:
        folder = tmp_path / f"sub-{subject}" / f"ses-{session}" / "eeg"
        write_brainvision(folder, f"sub-{subject}_ses-{session}_task-rest_eeg", EEG)
    write_brainvision(tmp_path / "sub-03" / "eeg", "sub-04_task-rest_eeg", EEG)

    manifest = scan(tmp_path, salt=SALT, jobs=1)

    patient, session = manifest.column("patient"), manifest.column("session")
    assert patient[:3].tolist() == [code("patient", name, SALT) for name in ("01", "01", "02")]
    assert len(set(session[:3])) == 3
    assert manifest.column("status")[3] == "no patient id: the folder and the file name of BIDS differ in sub-"


def test_ids_come_from_the_header_and_no_name_comes_with_them(tmp_path: Path) -> None:
    person = Patient(code="C-77", sex="F", birthdate=date(1951, 8, 2), name="Haagse_Harry")
    write_edf(tmp_path / "a.edf", EEG, patient=person)
    write_edf(tmp_path / "b.edf", EEG, patient=Patient())
    for public in (False, True):
        manifest = scan(tmp_path, salt=SALT, jobs=1, public_ids=public, journal=tmp_path / ".j")
        assert manifest.column("patient").tolist() == [code("patient", "C-77", SALT), code("patient", "\0b.edf", SALT)]
        manifest.write(tmp_path / ".m")
        kept = (tmp_path / ".m").read_bytes() + (tmp_path / ".j").read_bytes()
        assert not any(word in kept for word in (b"C-77", b"Haagse", b"1951", b"AUG"))
    assert rows(manifest) == dict.fromkeys(["a.edf", "b.edf"], "ok")
    assert rows(require_patients(manifest)) == rows(manifest)
    assert manifest.table.column("flags").to_pylist() == [[], ["placeholder patient id"]]


def test_public_ids_stay_readable_and_unique(tmp_path: Path) -> None:
    copies(tmp_path, ["P1/a", "P2/b"])
    write_edf(tmp_path / "P1" / "a.edf", EEG)
    manifest = scan(tmp_path, salt=SALT, jobs=1, public_ids=True, id_pattern=r"(?P<patient>P\d)")
    assert manifest.column("record_id").tolist() == ["P1/a.edf", "P1/a.hea", "P2/b"]
    assert manifest.metadata["dictionary"]["patient"] == {str(code("patient", one, SALT)): one for one in ("P1", "P2")}
    private = scan(tmp_path, salt=SALT, jobs=1, id_pattern=r"(?P<patient>P\d)")
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in private.column("record_id"))
    assert "dictionary" not in private.metadata


def test_a_second_scan_opens_only_what_changed(tmp_path: Path) -> None:
    copies(tmp_path / "in", ["a", "b", "gone"])
    first = scan(tmp_path / "in", salt=SALT, jobs=1)
    spoil(tmp_path / "in" / "a.hea")
    (tmp_path / "in" / "gone.hea").unlink()
    header = tmp_path / "in" / "b.hea"
    header.write_text(header.read_text().replace(" 250 ", " 200 "))
    copies(tmp_path / "in", ["new"])

    second = scan(tmp_path / "in", salt=SALT, jobs=1, previous=first)

    assert rows(second) == dict.fromkeys(["a.hea", "b.hea", "new.hea"], "ok")
    assert second.column("sampling_rate").tolist() == [250, 200, 250]
    assert second.table.slice(0, 1).equals(first.table.slice(0, 1))
    os.utime(tmp_path / "in" / "a.hea")
    assert rows(scan(tmp_path / "in", salt=SALT, jobs=1, previous=second))["a.hea"].startswith("not what its name says")


def test_a_change_of_a_companion_or_of_the_settings_reopens_a_record(tmp_path: Path) -> None:
    copies(tmp_path, ["P1_a", "P2_b"])
    first = scan(tmp_path, salt=SALT, jobs=1)
    (tmp_path / "P1_a.dat").write_bytes(bytes(10))
    assert rows(scan(tmp_path, salt=SALT, jobs=1, previous=first))["P1_a.hea"].startswith("truncated signal file")
    coded = scan(tmp_path, salt=SALT, jobs=1, previous=first, id_pattern=r"(?P<patient>P\d)_")
    assert coded.column("patient")[1] == code("patient", "P2", SALT)
    other = scan(tmp_path, salt=b"another salt", jobs=1, previous=coded, id_pattern=r"(?P<patient>P\d)_")
    assert other.column("patient")[1] == code("patient", "P2", b"another salt")


def test_what_was_broken_is_tried_again(tmp_path: Path) -> None:
    copies(tmp_path, ["a"])
    samples = (tmp_path / "a.dat").read_bytes()
    (tmp_path / "a.dat").unlink()
    first = scan(tmp_path, salt=SALT, jobs=1)
    (tmp_path / "a.dat").write_bytes(samples)
    assert rows(first) == {"a.hea": "missing signal file: a.dat"}
    assert rows(scan(tmp_path, salt=SALT, jobs=1, previous=first)) == {"a.hea": "ok"}


def test_a_scan_goes_on_from_the_journal_of_one_that_was_cut_off(tmp_path: Path) -> None:
    copies(tmp_path / "in", [f"r{number:03}" for number in range(600)])
    journal = tmp_path / "journal"
    whole = scan(tmp_path / "in", salt=SALT, jobs=1, journal=journal)
    # Killed while the last chunk was being written.
    journal.write_bytes(journal.read_bytes()[:-1000])
    finished: set[str] = set()
    with pa.ipc.open_stream(journal) as stream, suppress(OSError):
        for batch in stream:
            finished.update(batch["path"].to_pylist())
    assert 0 < len(finished) < 600
    for path in finished:
        spoil(tmp_path / "in" / path)

    resumed = scan(tmp_path / "in", salt=SALT, jobs=1, journal=journal)

    assert resumed.table.select(SCHEMA.names).equals(whole.table.select(SCHEMA.names))
    other_settings = scan(tmp_path / "in", salt=SALT, jobs=1, journal=journal, modality="eeg")
    assert len(other_settings.ok()) == 600 - len(finished)


def test_a_killed_scan_loses_only_what_it_was_at(tmp_path: Path) -> None:
    copies(tmp_path / "in", [f"r{number:04}" for number in range(1500)])
    output = tmp_path / "m.parquet"
    program = (
        "import sys; from pathlib import Path; from medcl.archive.scan import scan_to\n"
        f"scan_to(Path(sys.argv[1]), Path(sys.argv[2]), salt={SALT!r}, jobs=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "in"), str(output)])
    journal = tmp_path / "m.parquet.journal"
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if journal.exists() and journal.stat().st_size > 100_000:
            process.send_signal(signals.SIGKILL)
            break
    process.wait()
    assert process.returncode == -signals.SIGKILL
    assert not output.exists()

    manifest = scan_to(tmp_path / "in", output, salt=SALT, jobs=1)

    assert len(manifest.ok()) == 1500
    assert summary(manifest).reused >= 256
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "m.parquet"]


def test_scan_to_leaves_an_earlier_manifest_to_its_owner(tmp_path: Path) -> None:
    copies(tmp_path / "in", ["a"])
    first = scan_to(tmp_path / "in", tmp_path / "m.parquet", salt=SALT, jobs=1)
    copies(tmp_path / "in", ["b"])
    second = scan_to(tmp_path / "in", tmp_path / "m.parquet", salt=SALT, jobs=1, previous=first)
    assert len(second) == 2
    assert len(Manifest.read(tmp_path / "m.parquet")) == 1


def test_the_manifest_does_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    copies(tmp_path, [f"P{number % 7}/r{number:03}" for number in range(600)])
    (tmp_path / "P3" / "r003.dat").unlink()
    options = {"salt": SALT, "id_pattern": r"(?P<patient>P\d)/(?P<trial>r\d+)"}
    one, two = scan(tmp_path, jobs=1, **options), scan(tmp_path, jobs=2, **options)
    assert one.table.equals(two.table)
    assert one.metadata == two.metadata
    assert one.column("path").tolist() == sorted(one.column("path"))
    assert len(one.ok()) == 599


def test_links_in_a_circle_and_second_names_are_followed_once(tmp_path: Path) -> None:
    copies(tmp_path / "in", ["deep/a"])
    copies(tmp_path / "outside", ["b"])
    os.symlink(tmp_path / "in", tmp_path / "in" / "deep" / "circle")
    os.symlink(tmp_path / "in" / "loop", tmp_path / "in" / "loop")
    os.symlink("deep", tmp_path / "in" / "again")
    os.symlink(tmp_path / "outside", tmp_path / "in" / "more")
    os.symlink(tmp_path / "in" / "deep" / "a.hea", tmp_path / "in" / "alias.hea")
    assert rows(scan(tmp_path / "in", salt=SALT, jobs=1)) == {"deep/a.hea": "ok", "more/b.hea": "ok"}


def test_hidden_folders_and_pipes_are_left_alone(tmp_path: Path) -> None:
    copies(tmp_path, ["a", ".git/annex/b", "folder.dat/c"])
    os.mkfifo(tmp_path / "pipe.edf")
    assert rows(scan(tmp_path, salt=SALT, jobs=1)) == {"a.hea": "ok", "folder.dat/c.hea": "ok"}


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_folder_that_may_not_be_entered_is_reported(tmp_path: Path) -> None:
    copies(tmp_path, ["a", "closed/b"])
    (tmp_path / "closed").chmod(0)
    try:
        assert rows(scan(tmp_path, salt=SALT, jobs=1)) == {"a.hea": "ok", "closed": "cannot be read: no permission"}
    finally:
        (tmp_path / "closed").chmod(0o700)


@pytest.mark.parametrize(
    ("include", "found"),
    [
        ("records100/**", ["records100/00/a.hea", "records100/b.hea"]),
        ("records100/*", ["records100/b.hea"]),
        ("**/*.hea", ["c.hea", "records100/00/a.hea", "records100/b.hea", "records500/b.hea"]),
        ("records?00/b.hea", ["records100/b.hea", "records500/b.hea"]),
    ],
)
def test_only_paths_that_match_are_scanned(tmp_path: Path, include: str, found: list[str]) -> None:
    copies(tmp_path, ["records100/00/a", "records100/b", "records500/b", "c"])
    assert scan(tmp_path, salt=SALT, jobs=1, include=include).column("path").tolist() == found


def test_a_folder_or_a_glob_that_leads_nowhere_is_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such folder"):
        scan(tmp_path / "none", salt=SALT)
    copies(tmp_path, ["a/b"])
    with pytest.raises(UsageError, match="matches none of the 1 files"):
        scan(tmp_path, salt=SALT, include="*.hea")


@pytest.mark.parametrize("written", [False, True])
def test_an_empty_folder_gives_an_empty_manifest(tmp_path: Path, written: bool) -> None:
    (tmp_path / "in").mkdir()
    manifest = scan(tmp_path / "in", salt=SALT)
    for _ in range(2 * written):
        manifest = scan_to(tmp_path / "in", tmp_path / "m.parquet", salt=SALT, previous=manifest)
        manifest = Manifest.read(tmp_path / "m.parquet", in_memory=False)
    assert len(manifest) == 0
    assert summary(manifest).records == 0
    assert "records        0" in str(summary(manifest))


def test_the_modality_can_be_said_where_names_do_not_tell(tmp_path: Path) -> None:
    write_edf(tmp_path / "a.edf", EEG, names=("one", "two", "three"))
    assert scan(tmp_path, salt=SALT, jobs=1).column("modality").tolist() == ["eeg"]
    assert scan(tmp_path, salt=SALT, jobs=1, modality="ecg").column("modality").tolist() == ["ecg"]


def test_ptbxl_is_read_whole(real_data: Path) -> None:
    manifest = scan(real_data / "ptbxl500", salt=SALT, include="records100/**", jobs=1)
    counted = summary(manifest)
    assert (counted.records, counted.quarantined) == (500, {})
    told = str(counted.wings["signal"])
    assert f"hours          {500 * 10 / 3600:.2f}\nsampling rate  100 Hz\nchannels       12 (I II III " in told


def test_a_wrong_checksum_is_a_flag_and_a_refusal_where_it_is_asked_for(tmp_path: Path) -> None:
    copies(tmp_path / "a", ["good", "bad"])
    samples = bytearray((tmp_path / "a/bad.dat").read_bytes())
    samples[0] ^= 1
    (tmp_path / "a/bad.dat").write_bytes(samples)
    flagged = scan(tmp_path / "a", salt=SALT, jobs=1)
    assert rows(flagged) == {"bad.hea": "ok", "good.hea": "ok"}
    assert [list(flags) for flags in flagged.column("flags")] == [["wrong checksum: I"], []]
    assert "1  wrong checksum" in str(summary(flagged))
    strict = scan(tmp_path / "a", salt=SALT, jobs=1, strict=True, previous=flagged)
    assert rows(strict) == {"bad.hea": "wrong checksum: I", "good.hea": "ok"}
    again = scan(tmp_path / "a", salt=SALT, jobs=1, previous=strict)
    assert rows(again)["bad.hea"] == "ok"


def test_a_stated_unit_reaches_the_manifest_and_the_store(tmp_path: Path) -> None:
    write(tmp_path / "a/a.edf", [channel("Fp1", ""), channel("Cz", "mV")])
    stated = scan(tmp_path / "a", salt=SALT, jobs=1, stated=Stated(unit="uV"))
    assert stated.column("units")[0] == ["uV", "mV"]
    store = prepare(stated, SignalConfig(), tmp_path / "store", jobs=1)
    expected = np.stack([digital(0, 4, 100) / 10, digital(1, 4, 100) * 100.0])
    np.testing.assert_allclose(store.read(0), expected, rtol=1e-5)
    silent = scan(tmp_path / "a", salt=SALT, jobs=1, previous=stated)
    assert silent.column("channels")[0] == ["Cz"]
    assert silent.column("flags")[0] == ["channels aside, no unit: Fp1", "placeholder patient id"]
