"""No file ends a scan: each that cannot be read is one record with its reason, and the others are read."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from medcl.archive.manifest import Manifest
from medcl.archive.scan import scan, summary
from medcl.errors import UsageError
from medcl.modality import formats
from tests.modality.written import waves, write_edf, write_eeglab, write_fif, write_wfdb

SALT = b"the salt of the tests"
EEG = waves(scale=50)


def status(manifest: Manifest) -> dict[str, str]:
    return dict(zip(manifest.column("path"), manifest.column("status"), strict=True))


@pytest.mark.parametrize("name", [b"M\xfcller.edf", b"M\xfcller/recording.edf", b"M\xfcller/no_suffix"])
def test_a_name_that_is_not_utf_8_is_one_record_to_rename(tmp_path: Path, name: bytes) -> None:
    write_edf(tmp_path / "good.edf", EEG)
    bad = tmp_path / os.fsdecode(name)
    write_edf(bad, EEG)
    (bad.parent / os.fsdecode(b"letter of M\xfcller")).write_text("no recording")
    manifest = scan(tmp_path, salt=SALT, jobs=1)
    spelt = name.decode("ascii", "backslashreplace")
    assert status(manifest) == {
        "good.edf": "ok",
        spelt: "its name is not UTF-8: rename the file, or the folder that it lies in",
    }
    manifest.write(tmp_path / "m.parquet")
    assert status(scan(tmp_path, salt=SALT, jobs=1, previous=Manifest.read(tmp_path / "m.parquet"))) == status(manifest)


def test_a_folder_whose_name_is_not_utf_8_is_a_wrong_call(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"M\xfcller")
    folder.mkdir()
    with pytest.raises(UsageError, match=r"M\\xfcller.* is not UTF-8: rename it"):
        scan(folder, salt=SALT)


@pytest.mark.parametrize("companion", [False, True])
def test_a_time_of_modification_after_2262_is_refused(tmp_path: Path, companion: bool) -> None:
    write_wfdb(tmp_path, "a", np.zeros((3, 100), dtype=np.int64))
    write_edf(tmp_path / "b.edf", EEG)
    late = tmp_path / ("a.dat" if companion else "a.hea")
    os.utime(late, ns=(2**63, 2**63 + 10**9))
    if late.stat().st_mtime_ns < 2**63:
        pytest.skip("this file system keeps no such time")
    found = status(scan(tmp_path, salt=SALT, jobs=1))
    assert found["a.hea"].startswith("time of modification: it lies after the year 2262")
    assert found["b.edf"] == "ok"


def test_a_rate_below_1_hz_is_refused(tmp_path: Path) -> None:
    write_edf(tmp_path / "a.edf", waves(samples=8), rate=1)
    slow = (tmp_path / "a.edf").read_bytes()
    (tmp_path / "slow.edf").write_bytes(slow[:244] + b"2".ljust(8) + slow[252:])
    found = status(scan(tmp_path, salt=SALT, jobs=1))
    assert found["a.edf"] == "ok"
    assert found["slow.edf"].startswith("sampling rate of 0.5 Hz")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError("75 GB for Smith_Jane"), "not enough memory"),
        (OverflowError("Smith_Jane"), "its reader stopped with OverflowError"),
        (UnicodeDecodeError("utf-8", b"Smith_Jane", 0, 1, "Smith_Jane"), "its text is in no encoding"),
        (struct.error("Smith_Jane"), "its reader stopped with error"),
        (RecursionError("Smith_Jane"), "its reader stopped with RecursionError"),
    ],
)
def test_whatever_a_reader_raises_is_the_reason_of_one_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    for name in ("a", "b", "c"):
        write_edf(tmp_path / f"{name}.edf", EEG)
    read_header = formats.read_header

    def reader(path: Path, *how: object, **options: object) -> object:
        if path.name == "b.edf":
            raise error
        return read_header(path, *how, **options)

    monkeypatch.setattr(formats, "read_header", reader)
    found = status(scan(tmp_path, salt=SALT, jobs=1))
    assert [found["a.edf"], found["c.edf"]] == ["ok", "ok"]
    assert words in found["b.edf"]
    assert "Smith" not in found["b.edf"]


def test_a_number_that_no_column_holds_costs_one_record(tmp_path: Path) -> None:
    write_wfdb(tmp_path, "a", np.zeros((3, 100), dtype=np.int64))
    text = (tmp_path / "a.hea").read_text()
    # A compressed format: how many samples its file holds is not to be told from its size.
    (tmp_path / "huge.hea").write_text(text.replace(" 250 100", f" 250 {10**30}").replace(".dat 16 ", ".dat 516 "))
    found = status(scan(tmp_path, salt=SALT, jobs=1))
    assert found["a.hea"] == "ok"
    assert found["huge.hea"] != "ok"


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_file_that_ends_its_reader_is_one_record(tmp_path: Path, jobs: int) -> None:
    write_eeglab(tmp_path / "good.set", EEG)
    write_fif(tmp_path / "good_raw.fif", EEG * 1e-6)
    write_edf(tmp_path / "good.edf", EEG)
    write_eeglab(tmp_path / "bad.set", EEG)
    (tmp_path / "bad.set").write_bytes(segfaulting((tmp_path / "bad.set").read_bytes()))
    found = status(scan(tmp_path, salt=SALT, jobs=jobs))
    assert found.pop("bad.set") != "ok"
    assert set(found.values()) == {"ok"}


def segfaulting(content: bytes) -> bytes:
    """A MATLAB file in which a text has a type that does not exist: scipy's reader dies of it."""
    damaged = content.replace(b"\x10\x00\x03\x00Fp1", b"\x2e\x00\x03\x00Fp1")
    assert damaged != content
    return damaged


def test_what_is_no_record_is_counted_by_its_suffix(tmp_path: Path) -> None:
    write_wfdb(tmp_path, "a", np.zeros((3, 100), dtype=np.int64))
    for name in ("orphan.dat", "1.txt", "2.txt", "README", "scan.smith_jane", ".hidden", "sub/.git/config"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "again.hea").symlink_to(tmp_path / "a.hea")
    found = summary(scan(tmp_path, salt=SALT, jobs=1))
    lines = str(found).splitlines()
    assert "other files    5 (.txt: 2, .dat: 1, another suffix: 1, without suffix: 1)" in lines
    assert "not looked at  hidden: 2, second links: 1, links to nothing: 1" in lines
