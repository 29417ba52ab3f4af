"""Every file of a folder, once."""

import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from medcl.archive.sorted_names import SortedNames
from medcl.errors import UsageError, system_reason
from medcl.modality.formats import suffix_of

_COMPANIONS = {".dat": ".hea", ".eeg": ".vhdr", ".vmrk": ".vhdr", ".fdt": ".set"}
"""Suffix -> the suffix of the header beside which such a file holds no record of its own."""
_PLACE = 12  # digits in front of a path, by which folders and links wait for their turn
_HIDDEN, _AGAIN, _NOWHERE = "hidden", "second links", "links to nothing"
_SPECIAL, _EXCLUDED = "devices and pipes", "not in --include"


@dataclass(frozen=True)
class Walk:
    """What is in a folder.

    Args:
        files: that may be records, relative to the folder, with /.
        unreadable: folders and links that cannot be followed -> reason.
        companions: files that the header beside them speaks for, by their suffixes; whether it does, its reader says.
        skipped: why -> files and folders that are not looked at.
    """

    files: SortedNames = field(default_factory=SortedNames)
    unreadable: dict[str, str] = field(default_factory=dict)
    companions: SortedNames = field(default_factory=SortedNames)
    skipped: Counter[str] = field(default_factory=Counter)


def archive_folder(path: Path) -> Path:
    """The folder of an archive that is given as such, or by the DICOMDIR in it, which is not needed to find its files.

    Args:
        path: of a folder, or of a file named DICOMDIR.

    Returns:
        The folder.
    """
    return path.parent if path.name.upper() == "DICOMDIR" and path.is_file() else path


def walk(
    root: Path,
    include: str | None = None,
    suffixes: Collection[str] = (),
    tell: Callable[[], object] = lambda: None,
) -> Walk:
    """List the files of a folder and all below it.

    Hidden files and folders (`.git`) are counted and left out; so are signal files that a header beside them speaks
    for, which are listed apart. Links are followed, out of the folder too, for archives are often put together of them;
    what they lead to is listed under the name of the link. No folder is entered twice and no file of the archive is
    listed under a second name.

    Args:
        root: the archive.
        include: glob that the relative path has to match: `*` stops at /, `**` does not.
        suffixes: a dangling link with one of these is reported; others are of no concern.
        tell: called once a file.

    Returns:
        The files.

    Raises:
        UsageError: there is no such folder, its name is not UTF-8, or the glob matches no file.
    """
    if not root.is_dir():
        raise UsageError(f"{root}: there is no such folder")
    try:
        str(root.resolve()).encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(root).decode("utf-8", "backslashreplace")
        raise UsageError(f"{shown}: the name of this folder, or of one above it, is not UTF-8: rename it") from error
    allowed = re.compile(_glob(include)) if include is not None else None
    found, every, seen = Walk(), 0, SortedNames()
    skipped = found.skipped

    def take(names: SortedNames, path: str) -> None:
        if allowed is None or allowed.fullmatch(path):
            names.add(path)

    # What is here itself comes before what a link leads to, so that it is known by its own name.
    folders, links = SortedNames([_deepest_last("")]), SortedNames()
    visits = 0
    while (place := folders.pop(last=True) or links.pop()) is not None:
        relative = place[_PLACE:]
        full = os.path.join(root, relative)
        visits += 1
        try:
            about = os.stat(full)
            is_file, identity = stat.S_ISREG(about.st_mode), f"{about.st_dev} {about.st_ino}"
            if not is_file and not stat.S_ISDIR(about.st_mode):
                skipped[_SPECIAL] += 1
                continue
            if identity in seen:
                skipped[_AGAIN] += 1
                continue
            seen.add(identity)
            if is_file:
                every += 1
                tell()
                take(found.files, relative)
                continue
            with os.scandir(full) as entries:
                here = {os.path.splitext(entry.name)[1].lower() for entry in entries if entry.name[0] != "."}
            with os.scandir(full) as entries:
                for entry in entries:
                    name = entry.name
                    if name.startswith("."):
                        skipped[_HIDDEN] += 1
                        continue
                    path = f"{relative}/{name}" if relative else name
                    suffix = os.path.splitext(name)[1].lower()
                    if entry.is_dir(follow_symlinks=False):
                        folders.add(_deepest_last(path))
                    elif _COMPANIONS.get(suffix) in here or (
                        suffix == ".mat" and os.path.lexists(f"{full}/{name[:-4]}.hea")
                    ):
                        take(found.companions, path)
                    elif entry.is_symlink():
                        links.add(f"{visits:0{_PLACE}}{path}")
                    elif entry.is_file():
                        seen.add(f"{about.st_dev} {entry.inode()}")
                        every += 1
                        tell()
                        take(found.files, path)
                    else:
                        skipped[_SPECIAL] += 1
        except OSError as error:
            if os.path.islink(full) and suffix_of(relative) not in suffixes:
                skipped[_NOWHERE] += 1
            elif allowed is None or allowed.fullmatch(relative):
                found.unreadable[relative] = f"cannot be read: {system_reason(error)}"
    if allowed is not None:
        skipped[_EXCLUDED] += every - len(found.files)
        if every and not len(found.files):
            raise UsageError(f"{include!r} matches none of the {every} files in {root}; ** also stands for folders")
    return replace(found, skipped=+skipped)


def _deepest_last(folder: str) -> str:
    """A name of a folder that puts it, among others in sorted order, behind those above it."""
    return f"{folder.count('/') + bool(folder):0{_PLACE}}{folder}"


def _glob(pattern: str) -> str:
    """A glob as a regular expression."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(meaning.get(part, re.escape(part)) for part in parts)
