"""Files of ours on the disk: each appears whole, in one move, or not at all, and belongs to one process at a time.

A file is written as a draft beside its place, `.NAME.HEX.medcl-draft`, which is moved there when it is complete. While
it is written its process holds a lock on it, which ends with the process however that ends: so a draft that nobody
holds is a leftover, and the next process that writes into the folder removes it.
"""

import fcntl
import hashlib
import os
import re
import secrets
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from medcl.errors import MedclError, system_reason

_DRAFT = re.compile(r"\..*\.[0-9a-f]{8}\.medcl-draft")
_NAME = 150  # characters of a name that its draft has too: a name may have 255 bytes
_PATIENCE = 10  # seconds: children of a killed process hold its lock until they end
_LOOK = 0.1  # seconds between two looks
_cleared: set[Path] = set()


@contextmanager
def draft(path: Path, *, private: bool = False, durable: bool = True) -> Iterator[Path]:
    """Write a file by way of a draft, which takes its place when the block ends without an error.

    Args:
        path: of the file; its folder is made if need be.
        private: readable by the owner alone.
        durable: the content is on the disk before the file has its name, so that a power cut leaves the old file or the
            new one. What can be computed again at any time need not wait for the disk.

    Raises:
        MedclError: the disk is full or read-only, or the folder cannot be made.
    """
    made: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear(path.parent)
        made, owner = _begin(path, private)
        try:
            yield made
            if private:
                made.chmod(0o600)  # A library may have put a file of its own in its place.
            if durable:
                _to_disk(made)
            os.replace(made, path)
        finally:
            os.close(owner)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if made is not None:
            with suppress(OSError):
                made.unlink(missing_ok=True)


def write(path: Path, content: str | bytes | memoryview, *, private: bool = False, durable: bool = True) -> None:
    """Write a file in one move, text as UTF-8; arguments and errors are those of `draft`."""
    with draft(path, private=private, durable=durable) as place:
        place.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def claim(path: Path) -> Path:
    """Make an empty file that only its owner can read and write; what opens it to write keeps that.

    For a file that grows while it is there; others are written by `draft`.

    Args:
        path: of the file; one that is there is emptied.

    Raises:
        OSError: it cannot be made.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.fchmod(handle, 0o600)
    finally:
        os.close(handle)
    return path


def safe_name(text: str) -> str:
    """A name for a file or folder that stays where it is put, whatever the text, such as that of a column.

    Args:
        text: any; one that is safe is its own name.

    Returns:
        Letters, digits, spaces and `._-+%=,()`, at most 100 of them; a text that is changed has its hash behind it, so
        that two texts have two names.
    """
    name = "".join(one if one.isalnum() or one in " ._-+%=,()" else "_" for one in text)[:100]
    if name.startswith(".") or not name.strip():
        name = f"_{name}"
    if name == text:
        return name
    return f"{name}-{hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=4).hexdigest()}"


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        MedclError: the disk is full or read-only, or something else has this name.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> MedclError:
    """The error of a file that cannot be written."""
    return MedclError(f"{path}: cannot be written: {write_reason(error)}")


def write_reason(error: OSError) -> str:
    """Why something cannot be written, in words of ours."""
    # Libraries that write in pieces say only how much was taken.
    return system_reason(error) if error.errno else "the disk takes no more"


@contextmanager
def lock(path: Path, busy: Callable[[str], MedclError] | None = None) -> Iterator[bool]:
    """Hold a lock while the block runs; it ends with its process.

    Args:
        path: of the lock file, in a folder that is there.
        busy: makes the error that tells that another process holds it, from what that wrote there: host and process id.
            None: wait for it.

    Yields:
        Whether it is held: some network file systems know no locks.

    Raises:
        OSError: the file cannot be made.
        MedclError: another process holds it.
    """
    begun = time.monotonic()
    while True:
        # "a", since what the owner wrote must stay.
        with path.open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
            except BlockingIOError:
                owner = _owner(path)
                if _is_gone(owner) and time.monotonic() - begun < _PATIENCE:
                    time.sleep(_LOOK)
                    continue
                assert busy is not None
                raise busy(owner) from None
            except OSError:
                yield False
                return
            # The one before may have taken the file away; then this is not the lock that others wait for.
            if not _is_at(path, file.fileno()):
                continue
            file.truncate(0)
            file.write(f"{socket.gethostname()} process {os.getpid()}\n")
            file.flush()
            try:
                yield True
            finally:
                path.unlink(missing_ok=True)
            return


def _owner(path: Path) -> str:
    with suppress(OSError, UnicodeError):
        return path.read_text(encoding="utf-8").strip()[:100]
    return ""


def _is_gone(owner: str) -> bool:
    """Whether the process that wrote this has ended, as far as can be known."""
    host, _, process = owner.partition(" process ")
    if host != socket.gethostname() or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _begin(path: Path, private: bool) -> tuple[Path, int]:
    """A new draft, and the descriptor that holds its lock."""
    while True:
        made = path.with_name(f".{path.name[:_NAME]}.{secrets.token_hex(4)}.medcl-draft")
        owner = os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 if private else 0o666)
        with suppress(OSError):  # Where there are no locks, drafts are never cleared away.
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between the two calls another process may have taken the draft for a leftover.
        if _is_at(made, owner):
            return made, owner
        os.close(owner)


def _clear(folder: Path) -> None:
    """Remove what processes that were killed have left in a folder; one look a process and folder is enough."""
    key = folder.absolute()
    if key in _cleared:
        return
    _cleared.add(key)
    for name in os.listdir(folder):
        if _DRAFT.fullmatch(name):
            with suppress(OSError), (folder / name).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (folder / name).unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def checksum(*parts: Any) -> str:
    """CRC-32 of bytes, contiguous arrays or texts one behind the other, 8 hexadecimal digits.

    It finds every change of up to 32 bits in a row, as a disk may turn them, and guards against accidents, not against
    people. What was written before there were checksums is read without.
    """
    value = 0
    for part in parts:
        value = zlib.crc32(part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part, value)
    return f"{value:08x}"


def file_checksum(path: Path, *, without: int = 0) -> str:
    """CRC-32 of a file, 8 hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    value, left = 0, path.stat().st_size - without
    with path.open("rb") as file:
        while left > 0 and (block := file.read(min(left, 1 << 20))):
            value, left = zlib.crc32(block, value), left - len(block)
    return f"{value:08x}"


def damaged(path: Path, remedy: str) -> MedclError:
    """The error of a file that is not what was written."""
    return MedclError(f"{path}: damaged, or not written by medcl: {remedy}")
