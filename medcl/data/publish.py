"""How a prepared store comes into being: once, in one step, by one process, and not on a disk that is too small."""

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from medcl import files
from medcl.errors import MedclError

_AT_BEST = 0.2
"""Prepared records do not compress further than this; with less room there is no use in starting."""


def publish(folder: Path, key: str, needed: int, make: Callable[[Path], None]) -> Path:
    """Make a store, unless it is there.

    It is published at the end in one step: an interrupted preparation leaves nothing behind that opens. Of several
    processes that want the same store, one prepares it and the others wait.

    Args:
        folder: that holds the stores.
        key: of the store: its name there.
        needed: bytes that it takes uncompressed, about.
        make: fills an empty folder.

    Returns:
        The folder of the store.

    Raises:
        MedclError: the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _turn(folder, key):
            if not (folder / key).is_dir():
                _check_room(folder, needed)
                _make(folder, key, make)
    except OSError as error:
        raise MedclError(
            f"{folder}: the store cannot be written ({files.write_reason(error)}): it needs up to "
            f"{in_words(needed)}, {in_words(_free(folder))} are free: make room or choose another folder"
        ) from error
    return folder / key


def in_words(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


@contextmanager
def _turn(folder: Path, key: str) -> Iterator[None]:
    """Wait until no other process prepares this store, and clear away what one that was killed has left."""
    with files.lock(folder / f".{key}.lock") as alone:
        # Where a file system knows no locks, two processes do the same work, and the first publishes.
        if alone:
            for left in folder.glob(f"partial-{key}-*"):
                shutil.rmtree(left, ignore_errors=True)
        yield


def _make(folder: Path, key: str, make: Callable[[Path], None]) -> None:
    partial = folder / f"partial-{key}-{secrets.token_hex(4)}"
    partial.mkdir()
    try:
        make(partial)
        try:
            partial.rename(folder / key)
        except OSError:
            if not (folder / key).is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_room(folder: Path, needed: int) -> None:
    if _free(folder) < _AT_BEST * needed:
        least = in_words(int(_AT_BEST * needed))
        raise MedclError(
            f"{folder}: at least {least} are needed for the store, {in_words(_free(folder))} are free: make room or "
            "choose another folder"
        )


def _free(folder: Path) -> int:
    # The folder itself may not have come into being.
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free
