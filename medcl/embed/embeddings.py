"""A file of embeddings, read lazily: as a table, in batches, or as one memory-mapped array."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.embed.about import EMBEDDING, RUN, About
from medcl.embed.fingerprints import records_fingerprint
from medcl.errors import UsageError, cause
from medcl.suggest import did_you_mean

_BATCH = 16384
_IN_MEMORY = 1 << 26
"""Bytes up to which vectors are read into memory; larger ones are mapped from a file."""


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of the records of an archive, as `medcl embed` wrote them; 10 million never need to fit in memory.

    Args:
        paths: Parquet files, all of one run.
        about: what they say of themselves; of several, the first.
    """

    paths: tuple[Path, ...]
    about: About

    @classmethod
    def read(cls, path: Path | str, *more: Path | str) -> Self:
        """Open a file of embeddings, or several of the same run as one.

        Args:
            path: that `medcl embed` wrote.
            more: others of the same run, such as those of another archive.

        Returns:
            The embeddings; nothing but the index of each file has been read.

        Raises:
            UsageError: no such file, no embeddings, or embeddings of several runs or levels.
        """
        paths = tuple(map(Path, (path, *more)))
        found = [_about(one) for one in paths]
        first = found[0]
        for one, other in zip(paths[1:], found[1:], strict=True):
            differ = [
                name
                for name in ("run", "level", "pool", "dim", "joint", "half")
                if getattr(other, name) != getattr(first, name)
            ]
            if differ:
                raise UsageError(
                    f"{one}: its embeddings are of another {' and '.join(differ)} than those of {paths[0]}, so that "
                    "they cannot be compared: embed both archives by the same run and settings"
                )
        return cls(paths, first)

    def __len__(self) -> int:
        return sum(pq.ParquetFile(path).metadata.num_rows for path in self.paths)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns."""
        return tuple(self._dataset().schema.names)

    @property
    def dim(self) -> int:
        """Width of an embedding."""
        return self.about.dim

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Columns as a table.

        Args:
            columns: names; all but the embeddings themselves where it is None.

        Raises:
            UsageError: there is no such column.
        """
        return self._dataset().to_table(columns=self._chosen(columns))

    def batches(self, columns: Sequence[str] | None = None, size: int = _BATCH) -> Iterator[pa.RecordBatch]:
        """Columns in batches of rows, in order, so that memory does not grow with their number.

        Args:
            columns: names; all with the embeddings where it is None.
            size: rows at most.

        Raises:
            UsageError: there is no such column.
        """
        chosen = self._chosen(self.columns if columns is None else columns)
        return (batch for path in self.paths for batch in pq.ParquetFile(path).iter_batches(size, columns=chosen))

    def column(self, name: str) -> NDArray[Any]:
        """A column as an array, as `Manifest.column` has it.

        Raises:
            UsageError: there is no such column.
        """
        return Manifest(self.table([name]), Path(self.about.root)).column(name)

    def vectors(self) -> NDArray[Any]:
        """All embeddings, (rows, dim), float32 or float16, not to be written to.

        Many are mapped from a file that is made beside the first Parquet file on the first call, and may be deleted at
        any time; where none can be made they are read into memory.
        """
        dtype = np.dtype(np.float16 if self.about.half else np.float32)
        shape = (len(self), self.dim)
        if shape[0] * shape[1] * dtype.itemsize <= _IN_MEMORY:
            array = np.empty(shape, dtype)
            self._fill(array)
            array.flags.writeable = False
            return array
        path = self._mapped()
        with suppress(OSError):
            if not path.exists():
                self._map(path, shape, dtype)
            mapped: NDArray[Any] = np.load(path, mmap_mode="r")
            return mapped
        array = np.empty(shape, dtype)
        self._fill(array)
        array.flags.writeable = False
        return array

    def check(self, manifest: Manifest) -> None:
        """Whether the embeddings are of these records.

        Raises:
            UsageError: the manifest holds other records than those that were embedded, or changed ones.
        """
        if records_fingerprint(manifest) != self.about.manifest:
            raise UsageError(
                f"{self.paths[0]}: the manifest holds other records than were embedded, or their files have changed: "
                "embed it again"
            )

    def _dataset(self) -> ds.Dataset:
        return ds.dataset([str(path) for path in self.paths], format="parquet")

    def _chosen(self, columns: Sequence[str] | None) -> list[str]:
        have = self.columns
        if columns is None:
            return [name for name in have if name != EMBEDDING]
        unknown = [name for name in columns if name not in have]
        if unknown:
            hint = did_you_mean(unknown[0], have)
            raise UsageError(f"no column {unknown[0]!r} in the embeddings: they have {', '.join(have)}{hint}")
        return list(columns)

    def _fill(self, array: NDArray[Any]) -> None:
        at = 0
        for batch in self.batches([EMBEDDING]):
            values = batch.column(0).flatten().to_numpy(zero_copy_only=False)
            array[at : at + len(batch)] = values.reshape(len(batch), -1)
            at += len(batch)

    def _mapped(self) -> Path:
        """Where the vectors lie as one array: its name changes with the files."""
        state = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in self.paths]
        key = hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]
        return self.paths[0].with_name(f".{self.paths[0].name}.vectors-{key}.npy")

    def _map(self, path: Path, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
        try:
            array = np.lib.format.open_memmap(draft, mode="w+", dtype=dtype, shape=shape)
            self._fill(array)
            array.flush()
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        for old in path.parent.glob(f".{self.paths[0].name}.vectors-*.npy"):
            if old != path:
                old.unlink(missing_ok=True)


def _about(path: Path) -> About:
    """What a file says of itself, after a look at the index of each of its row groups.

    Raises:
        UsageError: it holds none, or those of several runs.
    """
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: there are no such embeddings: make them with `medcl embed`") from error
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path}: holds no embeddings: {cause(error)}") from error
    about = About.of(file.schema_arrow, path)
    runs = _runs(file)
    if runs - {about.run}:
        raise UsageError(
            f"{path}: holds embeddings of {len(runs | {about.run})} different runs, which cannot be compared: embed "
            "the archive again by one of them"
        )
    return about


def _runs(file: pq.ParquetFile) -> set[str]:
    """Fingerprints of the runs that a file's embeddings are of."""
    names = [file.metadata.schema.column(i).path for i in range(len(file.metadata.schema))]
    place = names.index(RUN)
    found: set[str] = set()
    for number in range(file.metadata.num_row_groups):
        known = file.metadata.row_group(number).column(place).statistics
        if known is not None and known.has_min_max:
            found |= {known.min, known.max}
        else:
            # Another program may have written the file without statistics.
            found |= set(file.read_row_group(number, columns=[RUN])[RUN].unique().to_pylist())
    return found
