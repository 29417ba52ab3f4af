"""Files come into being whole or not at all, and nothing is left of those that did not."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from medcl import files
from medcl.errors import MedclError
from tests.disks import small_disk

ROOT = Path(__file__).parents[1]


def test_a_file_is_replaced_in_one_move_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "new" / "name.txt"
    files.write(path, "first\n")
    with pytest.raises(ZeroDivisionError), files.draft(path) as place:
        place.write_text(f"half of {1 // 0}")
    assert path.read_text() == "first\n"
    files.write(path, b"second\n")
    assert path.read_bytes() == b"second\n"
    assert [one.name for one in path.parent.iterdir()] == ["name.txt"]


def test_private_files_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    files.write(tmp_path / "own", "x", private=True)
    with files.draft(tmp_path / "swapped", private=True) as place:
        # As some libraries do: they write a file of their own and move it.
        (tmp_path / "other").write_text("y")
        os.replace(tmp_path / "other", place)
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("own", "swapped")}
    assert modes == {0o600}


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    files.write(tmp_path / "results.json", "old")
    with small_disk(1000), pytest.raises(MedclError, match=r"results\.json: cannot be written: it is larger"):
        files.write(tmp_path / "results.json", b"x" * 5000)
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"results.json": "old"}


def test_a_folder_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for where in (tmp_path / "file" / "a.txt", Path("/proc/none/a.txt")):
        with pytest.raises(MedclError, match=r"a\.txt: cannot be written"):
            files.write(where, "x")


@contextmanager
def stopped_with(code: str, *words: object) -> Iterator[subprocess.Popen[str]]:
    """A process that has printed one line and waits."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


_WRITES = """
import sys, time
from pathlib import Path
from medcl import files
with files.draft(Path(sys.argv[1])) as place:
    place.write_text("half")
    print("begun", flush=True)
    time.sleep(60)
"""


def test_the_draft_of_a_dead_process_is_cleared_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    with stopped_with(_WRITES, tmp_path / "a") as living:
        with stopped_with(_WRITES, tmp_path / "b"):
            pass
        assert len(list(tmp_path.iterdir())) == 2
        files.write(tmp_path / "c", "x")
        assert len(list(tmp_path.iterdir())) == 2
        assert living.poll() is None
        assert any(one.name.startswith(".a.") for one in tmp_path.iterdir())


_LOCKS = """
import sys, time
from pathlib import Path
from medcl import files
with files.lock(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_lock_names_its_owner_and_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with stopped_with(_LOCKS, path) as owner:
        with (
            pytest.raises(MedclError, match=rf"taken by \S+ process {owner.pid}$"),
            files.lock(path, lambda who: MedclError(f"taken by {who}")),
        ):
            pass
        assert owner.poll() is None
    with files.lock(path, lambda who: MedclError(who)) as held:
        assert held
    assert not path.exists()


@pytest.mark.parametrize("name", ["../../x", "..", ".", "", "/etc/x", "a\0b", "~", "x" * 300, ".lock", "a\\b", "\n"])
def test_a_name_that_leads_elsewhere_becomes_one_that_stays(tmp_path: Path, name: str) -> None:
    path = tmp_path / files.safe_name(name)
    files.write(path, "x")
    assert path.resolve().parent == tmp_path.resolve()
    assert not path.name.startswith(".")
    assert files.safe_name(name) != files.safe_name(f"{name}/")


@pytest.mark.parametrize("name", ["diagnosis", "Größe (mm)", "1 percent", "a.b-c_d"])
def test_a_harmless_name_stays_as_it_is(name: str) -> None:
    assert files.safe_name(name) == name
