"""Preparations that are interrupted, and several at once.

One record's header is a named pipe here: whoever decodes it waits until the test writes the header into it.
"""

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pytest

from medcl.archive.manifest import Manifest
from medcl.archive.schema import SCHEMA
from medcl.data.prepare import prepare
from medcl.data.store import open_store
from medcl.errors import MedclError
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.store import SignalStore

from .wfdb_archive import archive

CONFIG = SignalConfig(window=1.0, stride=0.5)
# A process that was started behind a shell's `&` ignores Ctrl-C, and so would those that it starts.
PREPARE = """
import pickle, signal, sys
from medcl.data.prepare import prepare
signal.signal(signal.SIGINT, signal.default_int_handler)
prepare(*pickle.load(sys.stdin.buffer), jobs=1)
"""


def with_a_pipe(folder: Path) -> tuple[Manifest, Path, bytes]:
    """An archive whose last record waits, its header's path, and what to write there."""
    manifest = archive(folder, patients=2)
    # A pipe has neither the size nor the time of the header, which would be noticed before it is opened.
    for name in ("size", "mtime_ns", "checksum"):
        manifest = manifest.with_column(name, pa.nulls(len(manifest), SCHEMA.field(name).type))
    header = folder / str(manifest.column("path")[-1])
    content = header.read_bytes()
    header.unlink()
    os.mkfifo(header)
    return manifest, header, content


def preparing(manifest: Manifest, store: Path) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([sys.executable, "-c", PREPARE], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    pickle.dump((manifest, CONFIG, store), process.stdin)
    process.stdin.close()
    return process


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_preparation_leaves_nothing_that_opens(tmp_path: Path, how: signal.Signals) -> None:
    manifest, header, content = with_a_pipe(tmp_path / "a")
    process = preparing(manifest, tmp_path / "store")
    with header.open("wb"):  # waits until the other process has come to this record
        left = list((tmp_path / "store").glob("partial-*"))
        process.send_signal(how)
        process.wait(60)
    assert len(left) == 1
    assert left[0].exists() == (how == signal.SIGKILL)
    for folder in [one for one in (tmp_path / "store").iterdir() if one.is_dir()]:
        with pytest.raises(MedclError, match="not a prepared store"):
            open_store(folder, "signal")
    header.unlink()
    header.write_bytes(content)
    assert len(prepare(manifest, CONFIG, tmp_path / "store", jobs=1)) == 4
    assert [path.name for path in (tmp_path / "store").iterdir()] == [left[0].name.split("-")[1]]


def test_of_two_processes_one_prepares_and_the_other_waits(tmp_path: Path) -> None:
    manifest, header, content = with_a_pipe(tmp_path / "a")
    process = preparing(manifest, tmp_path / "store")
    opened: list[SignalStore] = []
    other = Thread(target=lambda: opened.append(prepare(manifest, CONFIG, tmp_path / "store", jobs=1)), daemon=True)
    with header.open("wb") as pipe:
        begun = next((tmp_path / "store").glob("partial-*"))
        inode = begun.stat().st_ino
        other.start()
        other.join(0.5)
        assert other.is_alive()
        assert list((tmp_path / "store").glob("partial-*")) == [begun]
        whole = header.with_suffix(".whole")
        whole.write_bytes(content)
        whole.replace(header)
        pipe.write(content)
    assert process.wait(60) == 0
    other.join(60)
    assert [len(store) for store in opened] == [4]
    assert opened[0].folder.stat().st_ino == inode
    assert [path.name for path in (tmp_path / "store").iterdir()] == [opened[0].folder.name]
