"""Cells of an experiment: each is computed once, and kept by the content of what it depends on."""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from medcl import files
from medcl.documents import plain
from medcl.engine.parallel import one_at_a_time, run_chunks
from medcl.engine.progress import progress
from medcl.errors import MedclError

Arrays: TypeAlias = dict[str, NDArray[Any]]
FOLDER = "cells"
"""Next to the stores of prepared records."""
_VERSION = 2
"""Raised when the same content gives other numbers."""


@dataclass(frozen=True)
class Cell:
    """One computation.

    Args:
        function: importable by name; called with the arguments, it returns arrays of numbers or text.
        arguments: small enough to be sent to another process.
        about: all that the result depends on, in JSON's types; with the function's name it is the cell's key.
    """

    function: Callable[..., Arrays]
    arguments: tuple[Any, ...] = field(repr=False)
    about: Mapping[str, Any] = field(repr=False)

    @cached_property
    def key(self) -> str:
        """Name of its file: a hash of what the result depends on."""
        function = f"{self.function.__module__}.{self.function.__qualname__}"
        text = json.dumps([_VERSION, torch.__version__, function, plain(self.about)], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def fingerprint(*arrays: NDArray[Any]) -> str:
    """A hash of arrays: numbers by their bytes, text by its characters."""
    digest = hashlib.blake2b(digest_size=12)
    for one in arrays:
        content = "\n".join(map(str, one)).encode() if one.dtype.kind in "OU" else np.ascontiguousarray(one).tobytes()
        digest.update(f"{one.shape}{one.dtype.kind}".encode() + content)
    return digest.hexdigest()


def compute(
    cells: Sequence[Cell], folder: Path, *, jobs: int = -1, cluster: str | None = None, unit: str = "model"
) -> list[str]:
    """Compute the cells that are not there, in processes of one thread each or on a Dask cluster.

    The numbers do not depend on how many there are. Each cell is kept as soon as it is finished, so that an interrupted
    experiment goes on where it stopped; one whose file is damaged is computed anew.

    Args:
        cells: in any order; those with the same key are computed once.
        folder: of finished cells; on a cluster, every worker reaches it under the same path.
        jobs: number of processes; -1 is one a core, or a single one where there is a GPU, which it fills.
        cluster: address of a Dask scheduler.
        unit: of the progress bar.

    Returns:
        The keys, in the order of the cells.
    """
    missing = {cell.key: cell for cell in cells if not is_kept(folder, cell.key)}
    if jobs == -1 and torch.cuda.is_available():
        jobs = 1
    work = [(folder, cell.key, cell.function, cell.arguments) for cell in missing.values()]
    done = len({cell.key for cell in cells}) - len(work)
    with progress("evaluate", len(work) + done, unit, done=done) as bar:
        for finished in run_chunks(_finish, work, jobs=jobs, chunk=1, cluster=cluster):
            bar.update(finished)
    return [cell.key for cell in cells]


@one_at_a_time
def _finish(work: Sequence[tuple[Path, str, Callable[..., Arrays], tuple[Any, ...]]]) -> int:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for folder, key, function, arguments in work:
            found = function(*arguments)
            with files.draft(_path(folder, key), durable=False, private=True) as place, place.open("wb") as file:
                np.savez(file, **found)  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(threads)
    return len(work)


def is_kept(folder: Path, key: str) -> bool:
    """Whether a cell is finished, and its file is whole."""
    path = _path(folder, key)
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError, RuntimeError):
        return False


def read(folder: Path, key: str, names: Sequence[str] = ()) -> Arrays:
    """The arrays of a cell that `compute` has finished, or those of these names.

    Raises:
        MedclError: its file was removed or damaged meanwhile.
    """
    path = _path(folder, key)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files if not names or name in names}
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise MedclError(f"{path}: was removed or damaged while it was needed; run the same command again") from error


def _path(folder: Path, key: str) -> Path:
    return folder / f"{key}.npz"
