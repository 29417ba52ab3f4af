"""Calls of another library to read a file: quiet, with an end, and without any of its words in the reason."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from medcl.errors import UnreadableError, reason
from medcl.modality.deadline import deadline
from medcl.modality.signal.record import IncompleteError

_LONGEST = 60  # seconds; a sound header takes milliseconds


@contextlib.contextmanager
def foreign(library: str, what: str) -> Iterator[list[warnings.WarningMessage]]:
    """Whatever another library raises becomes an UnreadableError in words of ours.

    Args:
        library: that parses.
        what: the format that it parses, as an error names it.

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


def refusal(error: BaseException, library: str, what: str) -> UnreadableError:
    """What a library that parses a file has stopped with, in words of ours.

    Args:
        error: of the library.
        library: its name.
        what: the format that it parses.
    """
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
    header's own stem is taken if there is one.

    Args:
        header: of the recording.
        name: as the header has it.
        suffixes: of such files, as they stand behind the stem of the header.
        what: the file is, for the reason.

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
        f"missing {what}: the file that the header names is not beside it, nor one with the header's own name",
        (header.name,),
    )
