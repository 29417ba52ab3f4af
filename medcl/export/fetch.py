"""Models by name: folders, what was fetched of a hub before, and the hub itself where that is allowed."""

import hashlib
import json
import os
import re
from os import PathLike
from pathlib import Path
from typing import Any, Literal, overload

from medcl import files
from medcl.documents import read_json, sealed
from medcl.errors import MedclError, UsageError

_NAME = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_WANTED = ["*.json", "*.safetensors", "*.yaml", "*.md", "*.txt"]
_SUMS = "medcl-checksums-{}.json"
_COPY = "delete it, and load it with download=True again"


def local(name: str | PathLike[str], *, download: bool = False, revision: str | None = None) -> Path:
    """The folder that a name stands for: itself, else what was fetched of a hub before, else what is fetched now.

    Args:
        name: a folder, or `user/name` of a hub.
        download: whether the hub may be asked: https://huggingface.co, or the address in HF_ENDPOINT.
        revision: commit, tag or branch of the hub; default: the newest when it was fetched first.

    Raises:
        UsageError: there is no such folder and nothing was fetched before, and the hub may not be asked.
        MedclError: the hub has no such model or cannot be reached, or a file is not what was fetched.
    """
    folder, name = Path(name), os.fspath(name)
    if folder.exists() or not _NAME.fullmatch(name):
        if revision is not None:
            raise UsageError(f"{name}: a folder has no revisions: leave out revision=")
        return folder
    if found := _fetched(name, revision, here=True):
        return checked(found)
    if not download:
        kept = f" at revision {revision}" if revision else ""
        raise UsageError(
            f"{name}: no such folder, and no model of this name{kept} was fetched before: download=True fetches it "
            "from the hub, with revision= a certain one"
        )
    fetched = _fetched(name, revision, here=False)
    note(fetched)
    return fetched


@overload
def _fetched(name: str, revision: str | None, *, here: Literal[True]) -> Path | None: ...


@overload
def _fetched(name: str, revision: str | None, *, here: Literal[False]) -> Path: ...


def _fetched(name: str, revision: str | None, *, here: bool) -> Path | None:
    """The folder of one commit, from the cache of huggingface_hub, None where it is not there, or from the hub."""
    from huggingface_hub import snapshot_download

    where: dict[str, Any] = {"endpoint": os.environ.get("HF_ENDPOINT"), "local_files_only": here}
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=_WANTED, **where))
    except Exception as error:  # What a hub answers, and so what goes wrong, is not ours.
        if here:
            return None
        at = f" at {revision}" if revision else ""
        raise MedclError(
            f"{name}: the hub has no such model{at}, or cannot be reached ({type(error).__name__})"
        ) from error


def note(folder: Path) -> None:
    """Keep the checksums (SHA-256) of what was fetched, beside the folder of its commit."""
    content: dict[str, Any] = sealed({"files": _sums(folder)})
    files.write(folder.parent / _SUMS.format(folder.name), json.dumps(content, indent=2) + "\n")


def checked(folder: Path) -> Path:
    """A folder that was fetched, held against its checksums.

    Raises:
        MedclError: a file is missing, is new, or is another one; or there are no checksums.
    """
    path = folder.parent / _SUMS.format(folder.name)
    try:
        known = read_json(path, _COPY, has_sum=True)["files"]
    except FileNotFoundError as error:
        raise MedclError(f"{folder}: was fetched by another program, without checksums: {_COPY}") from error
    found = _sums(folder)
    differs = sorted(name for name in known.keys() | found.keys() if known.get(name) != found.get(name))
    if differs:
        raise MedclError(f"{folder / differs[0]}: is not what was fetched from the hub: {_COPY}")
    return folder


def _sums(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        with path.open("rb") as file:
            found[str(path.relative_to(folder))] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
