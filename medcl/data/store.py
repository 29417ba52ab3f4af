"""The store: every recording decoded once, as one compressed, memory-mapped array that windows are cut from.

A store is a folder: shards `00000.b2nd` (time, channels) with recordings one behind the other, in the type in which the archive holds them
(int16 stays int16), and `index.parquet` with where each recording lies, what turns its numbers into physical units, and its quality.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from medcl.errors import MedclError

STORE_VERSION = 1
INDEX = "index.parquet"


@dataclass
class SignalStore:
    """A prepared archive, opened for reading; recordings are numbered in the order of the manifest.

    Args:
        folder: of the store.
        record_ids: (R,) of the recordings.
        sampling_rate: of all of them, in Hz.
        channels: names, in order.
        unit: of physical values: mV or uV.
        n_samples: (R,) length of each.
        quarantine: record id -> why it could not be prepared.
        gain: (R, C); physical = (stored - offset) / gain.
        offset: (R, C).
        invalid: (R,) stored number that means "no value", or the lowest int64 where there is none.
        mean: (R, C) of the physical values.
        std: (R, C) of the physical values.
        flags: (seconds of all recordings,) see `quality`.
        flags_start: (R + 1,) where each recording's seconds begin.
    """

    folder: Path
    record_ids: NDArray[Any]
    sampling_rate: float
    channels: list[str]
    unit: str
    n_samples: NDArray[np.int64]
    quarantine: dict[str, str]
    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    invalid: NDArray[np.int64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    flags: NDArray[np.uint8]
    flags_start: NDArray[np.int64]
    _shard: NDArray[np.int64]
    _start: NDArray[np.int64]
    _open: dict[tuple[int, int], Any] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, folder: Path) -> "SignalStore":
        """Open a store that `prepare` published.

        Raises:
            MedclError: if the folder is no store, or one of a newer version.
        """
        path = folder / INDEX
        if not path.is_file():
            raise MedclError(f"{folder}: not a prepared store ({INDEX} is missing)")
        table = pq.read_table(path)
        about = json.loads(table.schema.metadata[b"medcl"])
        if about["version"] > STORE_VERSION:
            raise MedclError(f"{folder}: a store of version {about['version']}, newer than this medcl reads ({STORE_VERSION})")
        n_channels = len(about["channels"])

        def matrix(name: str) -> NDArray[np.float64]:
            flat = table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            return np.asarray(flat, dtype=np.float64).reshape(len(table), n_channels)

        flags = table["flags"].to_pylist()
        return cls(
            folder=folder,
            record_ids=np.asarray(table["record_id"].to_pylist(), dtype=object),
            sampling_rate=about["sampling_rate"],
            channels=about["channels"],
            unit=about["unit"],
            n_samples=table["n_samples"].to_numpy(),
            quarantine=about["quarantine"],
            gain=matrix("gain"),
            offset=matrix("offset"),
            invalid=table["invalid"].to_numpy(),
            mean=matrix("mean"),
            std=matrix("std"),
            flags=np.frombuffer(b"".join(flags), dtype=np.uint8),
            flags_start=np.concatenate([[0], np.cumsum([len(part) for part in flags], dtype=np.int64)]),
            _shard=table["shard"].to_numpy(),
            _start=table["start"].to_numpy(),
        )

    def __len__(self) -> int:
        """Number of recordings."""
        return len(self.record_ids)

    def __getstate__(self) -> dict[str, Any]:
        """Memory maps stay in their process."""
        return {**self.__dict__, "_open": {}}

    def read_native(self, record: int, start: int, length: int) -> NDArray[Any]:
        """Stored numbers of a stretch, (length, channels); only the blocks that it touches are decompressed.

        Raises:
            MedclError: if the stretch is not inside the recording.
        """
        if start < 0 or length < 0 or start + length > self.n_samples[record]:
            raise MedclError(f"samples {start} to {start + length} are outside of a recording of {self.n_samples[record]}")
        begin = int(self._start[record]) + start
        stretch: NDArray[Any] = self._array(int(self._shard[record]))[begin : begin + length]
        return stretch

    def read(self, record: int, start: int = 0, length: int | None = None) -> NDArray[np.float32]:
        """Physical values of a stretch, (channels, length) in `unit`, with NaN where there is no value.

        Args:
            record: number of the recording.
            start: first sample.
            length: in samples; None is up to the end.
        """
        length = int(self.n_samples[record]) - start if length is None else length
        native = self.read_native(record, start, length)
        values = ((native - self.offset[record]) / self.gain[record]).astype(np.float32)
        values[native == self.invalid[record]] = np.nan
        return np.ascontiguousarray(values.T)

    def _array(self, shard: int) -> Any:
        # A map that was opened before a fork is not used behind it: blosc2's handles are not made for two processes.
        key = (os.getpid(), shard)
        if key not in self._open:
            import blosc2

            self._open[key] = blosc2.open(str(self.folder / shard_name(shard)), mode="r", mmap_mode="r")
        return self._open[key]


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"{number:05d}.b2nd"


def write_index(folder: Path, columns: Mapping[str, Sequence[Any]], about: dict[str, Any]) -> None:
    """Write the index of a store whose shards are finished.

    Args:
        folder: of the store.
        columns: one value a recording: record_id, shard, start, n_samples, invalid, and gain, offset, mean, std, flags.
        about: version, sampling_rate, channels, unit, quarantine, key.
    """
    types: dict[str, Any] = {
        "record_id": pa.string(),
        **dict.fromkeys(("shard", "start", "n_samples", "invalid"), pa.int64()),
        **dict.fromkeys(("gain", "offset", "mean", "std"), pa.list_(pa.float64())),
        "flags": pa.binary(),
    }
    schema = pa.schema(list(types.items()), metadata={b"medcl": json.dumps(about).encode()})
    pq.write_table(pa.table(dict(columns), schema=schema), folder / INDEX)
