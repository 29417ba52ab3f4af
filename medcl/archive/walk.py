"""Every file of a folder, once."""

import os
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from medcl.errors import UsageError, system_reason
from medcl.modality.formats import suffix_of

_COMPANIONS = {".dat": ".hea", ".eeg": ".vhdr", ".vmrk": ".vhdr", ".fdt": ".set"}
"""Suffix -> the suffix of the header beside which such a file holds no record of its own."""
_HIDDEN, _AGAIN, _NOWHERE = "hidden", "second links", "links to nothing"
_SPECIAL, _EXCLUDED = "devices and pipes", "not in --include"


@dataclass(frozen=True)
class Walk:
    """What is in a folder.

    Args:
        files: that may be records, relative to the folder, with /, sorted.
        unreadable: folders and links that cannot be followed -> reason.
        companions: files that the header beside them speaks for, by their suffixes; whether it does, its reader says.
        skipped: why -> files and folders that are not looked at.
    """

    files: list[str]
    unreadable: dict[str, str]
    companions: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def archive_folder(path: Path) -> Path:
    """The folder of an archive that is given as such, or by the DICOMDIR in it, which is not needed to find its files.

    Args:
        path: of a folder, or of a file named DICOMDIR.

    Returns:
        The folder.
    """
    return path.parent if path.name.upper() == "DICOMDIR" and path.is_file() else path


def walk(root: Path, include: str | None = None, suffixes: Collection[str] = ()) -> Walk:
    """List the files of a folder and all below it.

    Hidden files and folders (`.git`) are counted and left out; so are signal files that a header beside them speaks
    for, which are listed apart. Links are followed, out of the folder too, for archives are often put together of them;
    what they lead to is listed under the name of the link. No folder is entered twice and no file of the archive is
    listed under a second name.

    Args:
        root: the archive.
        include: glob that the relative path has to match: `*` stops at /, `**` does not.
        suffixes: a dangling link with one of these is reported; others are of no concern.

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
    files: list[str] = []
    unreadable: dict[str, str] = {}
    companions: list[str] = []
    skipped: Counter[str] = Counter()
    seen_folders: set[tuple[int, int]] = set()
    seen_files: set[tuple[int, int]] = set()
    # Of each device. A number a file is kept until there is a link to compare it with: most archives have none.
    inodes: defaultdict[int, array[int]] = defaultdict(lambda: array("Q"))
    linked: list[str] = []
    folders = [""]
    while folders or linked:
        if not folders:
            seen_files.update((device, inode) for device, some in inodes.items() for inode in some)
            inodes.clear()
        # What is here itself comes before what a link leads to, so that it is known by its own name.
        relative = folders.pop() if folders else linked.pop(0)
        full = root / relative
        try:
            about = full.stat()
            identity = (about.st_dev, about.st_ino)
            if not full.is_dir():
                if not full.is_file():
                    skipped[_SPECIAL] += 1
                elif identity in seen_files:
                    skipped[_AGAIN] += 1
                else:
                    files.append(relative)
                seen_files.add(identity)
                continue
            if identity in seen_folders:
                skipped[_AGAIN] += 1
                continue
            seen_folders.add(identity)
            with os.scandir(full) as entries:
                every = sorted(entries, key=lambda entry: entry.name)
            listed = [entry for entry in every if not entry.name.startswith(".")]
            skipped[_HIDDEN] += len(every) - len(listed)
            prefix = f"{relative}/" if relative else ""
            names = {entry.name for entry in listed}
            headers = {os.path.splitext(name)[1].lower() for name in names}
            for entry in listed:
                suffix = os.path.splitext(entry.name)[1].lower()
                if entry.is_dir(follow_symlinks=False):
                    folders.append(prefix + entry.name)
                elif _COMPANIONS.get(suffix) in headers or (suffix == ".mat" and f"{entry.name[:-4]}.hea" in names):
                    companions.append(prefix + entry.name)
                elif entry.is_symlink():
                    linked.append(prefix + entry.name)
                elif entry.is_file():
                    inodes[about.st_dev].append(entry.inode())
                    files.append(prefix + entry.name)
                else:
                    skipped[_SPECIAL] += 1
        except OSError as error:
            if full.is_symlink() and suffix_of(relative) not in suffixes:
                skipped[_NOWHERE] += 1
                continue
            unreadable[relative] = f"cannot be read: {system_reason(error)}"
    if allowed is not None:
        chosen = [path for path in files if allowed.fullmatch(path)]
        if files and not chosen:
            raise UsageError(
                f"{include!r} matches none of the {len(files)} files in {root}; ** also stands for folders"
            )
        skipped[_EXCLUDED] += len(files) - len(chosen)
        files = chosen
        companions = [path for path in companions if allowed.fullmatch(path)]
        unreadable = {path: reason for path, reason in unreadable.items() if allowed.fullmatch(path)}
    return Walk(sorted(files), unreadable, companions, +skipped)


def _glob(pattern: str) -> str:
    """A glob as a regular expression."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(meaning.get(part, re.escape(part)) for part in parts)
