"""Temporary files of decoding, where several threads of a process decode at once."""

import tempfile
import threading
from pathlib import Path

from medcl.data.decode import _scratch


def test_the_last_thread_to_leave_restores_the_folder(tmp_path: Path) -> None:
    before = tempfile.tempdir
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with _scratch(tmp_path / "a"):
            inside.set()
            assert leave.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(10)
    with _scratch(tmp_path / "b"):
        assert tempfile.tempdir == str(tmp_path / "b")
        leave.set()
        thread.join()
        assert tempfile.tempdir == str(tmp_path / "b")
    assert tempfile.tempdir == before
