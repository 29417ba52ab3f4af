"""Calls of another library to read a file: quiet, with an end, and without any of its words in the reason."""

import contextlib
import os
import signal
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from medcl.errors import UnreadableError, reason
from medcl.modality.content import IncompleteError


class _TimeIsUpError(BaseException):
    """No `Exception`: parsers catch those, go on, and have no second alarm."""


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Give up what is still running after some time.

    A count that a damaged header states may send a parser round a billion times. Where there is no alarm (off the main
    thread, on Windows) there is no deadline.

    Raises:
        UnreadableError: time is up, wherever the code was by then.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise _TimeIsUpError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _TimeIsUpError:
        raise UnreadableError(f"damaged file: it cannot be read in {seconds:g} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


_LIMITS = ((Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),)


def available() -> int | None:
    """Bytes of memory that can be taken, within the limit of a container too; None where the system does not tell."""
    known = [count for count in (_of_machine(), *(_of_container(*paths) for paths in _LIMITS)) if count is not None]
    return min(known, default=None)


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        # Not on every system, and without what files occupy, which could be given up.
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _of_container(limit: Path, taken: Path) -> int | None:
    try:
        return max(0, int(limit.read_text()) - int(taken.read_text()))
    except (OSError, ValueError):  # no container, or `max`
        return None


_LONGEST = 60  # seconds; a sound header takes milliseconds


@contextlib.contextmanager
def foreign(library: str, what: str) -> Iterator[list[warnings.WarningMessage]]:
    """Whatever another library raises becomes an UnreadableError in words of ours.

    Yields:
        Its warnings, which are not shown: they quote names and paths of the file.

    Raises:
        UnreadableError: the library failed, or took longer than a minute.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            with deadline(_LONGEST):
                yield said
        except UnreadableError:
            raise
        except Exception as error:
            raise refusal(error, library, what) from None


@contextlib.contextmanager
def linked(path: Path, suffix: str) -> Iterator[Path]:
    """A file under a name that ends as a library wants it, which chooses its reader by the name."""
    if path.name.endswith(suffix):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"recording{suffix}"
        link.symlink_to(path.resolve())
        yield link


def refusal(error: BaseException, library: str, what: str) -> UnreadableError:
    """What a library that parses a file has stopped with, in words of ours."""
    # Libraries also raise OSError, without a number, for content that they do not understand.
    if isinstance(error, MemoryError | UnicodeError) or getattr(error, "errno", None) is not None:
        return UnreadableError(reason(error))
    return UnreadableError(
        f"damaged or unusual file: {library}, which parses {what}, stopped with {type(error).__name__}: if it opens "
        "elsewhere, save it anew"
    )


def named_file(header: Path, name: str, suffixes: tuple[str, ...], what: str) -> tuple[Path, tuple[str, ...]]:
    """The file of samples that a header names, in the folder of the header.

    A header that was renamed still names the old file, which may be the name of a patient: then the file of the
    header's own stem, with one of the suffixes, is taken if there is one.

    Returns:
        Its path, and a flag if it is not the one that is named.

    Raises:
        UnreadableError: the name leads out of the folder.
        IncompleteError: there is neither.
    """
    windows, posix = PureWindowsPath(name), PurePosixPath(name)
    leads_out = windows.is_absolute() or windows.drive or posix.is_absolute() or ".." in windows.parts
    inside = not leads_out and len(windows.parts) == 1 and name not in ("", ".") and "\0" not in name
    # Not Path.is_file, which raises where the name is too long for the system.
    if inside and os.path.isfile(header.parent / name):
        return header.parent / name, ()
    for suffix in suffixes:
        beside = header.with_suffix(suffix)
        if beside.is_file():
            return beside, (f"the header names another {what}: the one with its own name was read",)
    if name and not inside:
        raise UnreadableError(f"its header names a {what} outside its own folder, which is not read: move it beside")
    raise IncompleteError(
        f"missing {what}: the file that the header names is not next to it, nor one with the header's own name",
        (header.name,),
    )
