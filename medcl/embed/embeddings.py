"""A file of embeddings, read lazily: as a table, in batches, or as one memory-mapped array."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from medcl import files, parquet
from medcl.archive.manifest import Manifest
from medcl.embed.metadata import EMBEDDING, RUN, EmbeddingsMetadata, records_fingerprint
from medcl.errors import MedclError, UsageError, did_you_mean
from medcl.files import file_checksum

_BATCH = 16384
_SUM = 8  # bytes of the checksum behind mapped vectors
_IN_MEMORY = 1 << 26
"""Bytes up to which vectors are read into memory; larger ones are mapped from a file."""


@dataclass(frozen=True)
class EmbeddingsFile:
    """Embeddings of the records of an archive, as `medcl embed` wrote them; 10 million never need to fit in memory.

    Args:
        paths: Parquet files, all of one run.
        about: what they say of themselves; of several, the first.
    """

    paths: tuple[Path, ...]
    about: EmbeddingsMetadata

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
        return sum(parquet_file(path).metadata.num_rows for path in self.paths)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns."""
        return tuple(parquet_file(self.paths[0]).schema.names)

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
        chosen = self._chosen(columns)
        return pa.concat_tables([parquet_file(path).read(chosen) for path in self.paths])

    def manifest(self) -> Manifest:
        """The records of the rows, as the embeddings know them."""
        return Manifest(self.table(), Path(self.about.root), self.about.archive)

    def batches(self, columns: Sequence[str] | None = None, size: int = _BATCH) -> Iterator[pa.RecordBatch]:
        """Columns in batches of rows, in order, so that memory does not grow with their number.

        Args:
            columns: names; all with the embeddings where it is None.
            size: rows at most.

        Raises:
            UsageError: there is no such column.
        """
        chosen = self._chosen(self.columns if columns is None else columns)
        return (batch for path in self.paths for batch in parquet_file(path).iter_batches(size, columns=chosen))

    def column(self, name: str) -> NDArray[Any]:
        """A column as an array, as `Manifest.column` has it.

        Raises:
            UsageError: there is no such column.
        """
        return Manifest(self.table([name]), Path(self.about.root)).column(name)

    def vectors(self) -> NDArray[Any]:
        """All embeddings, (rows, dim), float32 or float16, not to be written to.

        Many are mapped from a file that is made next to the first Parquet file on the first call, and may be deleted at
        any time; where none can be made they are read into memory.
        """
        dtype = np.dtype(np.float16 if self.about.half else np.float32)
        shape = (len(self), self.dim)
        if shape[0] * shape[1] * dtype.itemsize > _IN_MEMORY:
            path = self._mapped()
            with suppress(OSError, MedclError):
                if not _is_whole(path):
                    self._map(path, shape, dtype)
                mapped: NDArray[Any] = np.load(path, mmap_mode="r")
                if mapped.shape == shape and mapped.dtype == dtype:
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
        with files.draft(path, durable=False) as place:
            array = np.lib.format.open_memmap(place, mode="w+", dtype=dtype, shape=shape)
            self._fill(array)
            array.flush()
            # Behind the array, where nobody who maps it looks.
            known = file_checksum(place)
            with place.open("ab") as file:
                file.write(known.encode())
        for old in path.parent.glob(f".{self.paths[0].name}.vectors-*.npy"):
            if old != path:
                old.unlink(missing_ok=True)


def _is_whole(path: Path) -> bool:
    """Whether mapped vectors are there and hold what was written; looked at once a process."""
    try:
        return _look(path, path.stat().st_size, path.stat().st_mtime_ns)
    except OSError:
        return False


@lru_cache(maxsize=64)
def _look(path: Path, size: int, mtime_ns: int) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, size - _SUM))
        known = file.read()
    return known == file_checksum(path, without=_SUM).encode()


def parquet_file(path: Path) -> parquet.ParquetFile:
    """A file of embeddings, open for reading; what is read is held against its checksums.

    Raises:
        OSError: it cannot be read.
        MedclError: it is damaged.
    """
    return parquet.ParquetFile(path, "embed the archive again")


def parquet_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """What writes a file of embeddings: numbers of a network do not compress, and a dictionary of them is larger."""
    plain = [name for name in schema.names if name != EMBEDDING]
    packed = {name: "zstd" for name in plain} | {f"{EMBEDDING}.list.element": "none"}
    return pq.ParquetWriter(path, schema, compression=packed, use_dictionary=plain, write_statistics=[RUN])


def _about(path: Path) -> EmbeddingsMetadata:
    """What a file says of itself, after a look at the index of each of its row groups.

    Raises:
        UsageError: it holds none, or those of several runs.
    """
    try:
        file = parquet_file(path)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: there are no such embeddings: make them with `medcl embed`") from error
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path}: holds no embeddings, or damaged ones: make them with `medcl embed`") from error
    about = EmbeddingsMetadata.of(file.schema, path)
    runs = _runs(file)
    if runs - {about.run}:
        raise UsageError(
            f"{path}: holds embeddings of {len(runs | {about.run})} different runs, which cannot be compared: embed "
            "the archive again by one of them"
        )
    return about


def _runs(file: parquet.ParquetFile) -> set[str]:
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
