"""How a wing's records become a store: what decoding gives, how arrays lie on the disk, and how they are read again."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from medcl.errors import MedclError
from medcl.modality.rows import Ints, Rows

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class LabelMap:
    """A label map beside a record.

    Args:
        file: of the label map.
        n_classes: with the background.
        invalid: why its file cannot be used, empty where it can be.
    """

    file: Path
    n_classes: int
    invalid: str = ""


@dataclass(frozen=True)
class OnDisk:
    """An array (rows, ...) too large for memory, in a file that its reader removes.

    Args:
        file: the numbers and nothing else.
        kind: of the numbers, as NumPy writes it.
        shape: of the array.
    """

    file: Path
    kind: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers."""
        return np.dtype(self.kind)

    def __len__(self) -> int:
        """Number of rows."""
        return self.shape[0]

    def pieces(self, rows: int) -> Iterator[NDArray[Any]]:
        """Some rows at a time."""
        width = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        for first in range(0, len(self), rows):
            shape = (min(rows, len(self) - first), *self.shape[1:])
            count = int(np.prod(shape))
            yield np.fromfile(self.file, self.dtype, count=count, offset=first * width).reshape(shape)

    def remove(self) -> None:
        """Remove the file."""
        self.file.unlink(missing_ok=True)


@dataclass(frozen=True)
class DecodedRecord:
    """A record, decoded for the store.

    Args:
        arrays: the record's array under the key None, those that go with it (label maps) under their numbers. Where
            records lie one behind the other it may be `OnDisk`.
        row: columns of the index, but for `record_id` and those that say where the arrays lie.
        notes: what else is to be told of the record, by name; absent where there is nothing to tell.
    """

    arrays: Mapping[int | None, Any]
    row: Mapping[str, Any]
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Appended:
    """Records one behind the other along the first axis of arrays, each in rows [start, stop) of one of them.

    Args:
        name: of a file; `{number}` stands for the number of the array.
        array: column of the index for that number; empty where there is one array.
        start: column of the index for a record's first row.
        codec: of blosc2.
        shuffle: whether bytes of equal weight are compressed together.
        block: bytes that are decompressed at once, about; at least one row.
        blocks: of a chunk, which is written at once.
        largest: bytes of an array, uncompressed, before the next one is begun; None: there is one array.
    """

    name: str
    array: str
    start: str
    codec: Literal["ZSTD", "LZ4"]
    shuffle: bool
    block: int
    blocks: int
    largest: int | None = None


@dataclass(frozen=True)
class Apart:
    """Each record an array (channels, x, y, z) of its own, written by the process that decodes it.

    Args:
        number: column of the index for the number of a record's file.
        chunk: voxels of a chunk along x, y, z, at most.
        block: voxels that are decompressed at once.
    """

    number: str
    chunk: tuple[int, int, int]
    block: tuple[int, int, int]

    @staticmethod
    def file(number: int, beside: int | None = None) -> str:
        """File of a record's array, or of one that goes with it: `000012.b2nd`, `000012.0.b2nd`."""
        return f"{number:06d}.b2nd" if beside is None else f"{number:06d}.{beside}.b2nd"


@dataclass(frozen=True)
class Columns:
    """What a `Gathered` has written.

    Args:
        columns: of the index, one value a record that could be prepared.
        quarantine: record id -> why the record could not be.
    """

    columns: Mapping[str, Any]
    quarantine: dict[str, str]


class Gathered(Protocol):
    """What a wing with a layout of its own makes of decoded records (reports: texts, each tokenised once)."""

    def __call__(self, folder: Path, decoded: Iterable[tuple[int, DecodedRecord | str]]) -> "Columns":
        """Write the arrays of a store into an empty folder.

        Args:
            folder: of the store.
            decoded: number of each item of the preparation, and the record or the reason why it cannot be decoded.
        """


@dataclass(frozen=True)
class Preparation:
    """How the records of a manifest are decoded: what a wing tells the driver in `medcl.data.prepare`.

    Args:
        settings: JSON values that change what is stored; with the records they are the key of the store.
        config: that `Wing.decode` gets, complete; it is sent to other processes.
        layout: of the arrays.
        n_bytes: (R,) uncompressed size of each record in the store, about.
        memory: (R,) bytes that decoding each takes, at least.
        keyed: columns of the manifest that are part of the key.
        further: further bytes of the key.
        about: of the notes of all records (record id -> notes) what holds for the store: JSON values of the index.
        invalid: (R,) why a record cannot be prepared, by its row alone; empty strings where it can be.
        items: rows of the manifest that are decoded, where not each has to be (of equal texts one).
        masks: names of the columns of label maps that come with the records.
        chunk: records a call, at most.
        largest: GB on the disk, at most; 0 is no limit.
        remedy: what makes a store smaller than `largest`.
    """

    settings: list[Any]
    config: Any
    layout: Appended | Apart | Gathered
    n_bytes: NDArray[Any]
    memory: NDArray[Any]
    keyed: tuple[str, ...] = ("record_id", "checksum", "size", "mtime_ns")
    further: Iterable[bytes] = ()
    about: Callable[[Mapping[str, Mapping[str, Any]]], dict[str, Any]] = lambda notes: {}
    invalid: Sequence[str] | None = None
    items: Ints | None = None
    masks: tuple[str, ...] = ()
    chunk: int = 1
    largest: float = 0.0
    remedy: str = ""


@dataclass(frozen=True)
class StoreIndex:
    """How the stores of a wing are indexed.

    Args:
        records: what the store holds, in words.
        key: under which the metadata of the file says what holds for all records.
        version: of the format.
        schema: of the columns.
    """

    records: str
    key: bytes
    version: int
    schema: "pa.Schema"


class StoredArrays(Protocol):
    """A folder of arrays and their index, opened for reading: `medcl.data.store.Store`."""

    @property
    def folder(self) -> Path:
        """Of the store."""

    @property
    def columns(self) -> "pa.Table":
        """The index, one row a record."""

    @property
    def about(self) -> dict[str, Any]:
        """What holds for all records."""

    def dtype(self, name: str) -> np.dtype[Any]:
        """Type of the numbers of an array."""

    def read_into(self, out: NDArray[Any], name: str, start: Sequence[int]) -> None:
        """Read the part of an array that begins at `start` and has the shape of `out`, which is contiguous."""


@dataclass(frozen=True, eq=False)
class PreparedRecords(ABC):
    """A store as its wing reads it; records are numbered in the order of the manifest.

    Args:
        folder: of the store.
        record_ids: (R,) of the records that could be prepared.
        quarantine: record id -> why one could not be.
        stored: the arrays and their index, opened for reading.
    """

    folder: Path
    record_ids: NDArray[Any]
    quarantine: dict[str, str]
    stored: StoredArrays = field(repr=False)

    def __len__(self) -> int:
        """Number of records."""
        return len(self.record_ids)

    @abstractmethod
    def described(self) -> str:
        """What it holds, in words: `30 recordings, 12 channels at 500 Hz`."""

    @staticmethod
    def shared(stored: StoredArrays) -> dict[str, Any]:
        """The fields that all stores have."""
        ids = np.asarray(stored.columns["record_id"].to_pylist(), dtype=object)
        quarantine = stored.about["quarantine"]
        return {"folder": stored.folder, "record_ids": ids, "quarantine": quarantine, "stored": stored}


def records_of(store: PreparedRecords, manifest: Rows, wing: str | None = None) -> Ints:
    """Number in the store of each row of the manifest, -1 where it is in quarantine or of another wing.

    Args:
        store: prepared records.
        manifest: whose records are looked up.
        wing: of the records that the store is for; None: every record of the manifest is to be in it.

    Returns:
        (records,).

    Raises:
        MedclError: the store was prepared from other records.
    """
    number = {str(record_id): i for i, record_id in enumerate(store.record_ids)}
    ids = list(map(str, manifest.column("record_id")))
    records = np.array([number.get(record_id, -1) for record_id in ids], dtype=np.int64)
    readable = manifest.column("status") == "ok"
    if wing is not None:
        readable &= manifest.kinds == wing
        records[manifest.kinds != wing] = -1
    unknown = [ids[i] for i in np.flatnonzero((records < 0) & readable) if ids[i] not in store.quarantine]
    if unknown:
        raise MedclError(
            f"{store.folder}: the store was prepared from other records: it lacks {len(unknown)} of {len(ids)} of this "
            f"manifest, such as {unknown[0]}; prepare them"
        )
    return records
