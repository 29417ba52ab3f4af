"""Prepared recordings: arrays `00000.b2nd` (time, channels) with recordings one behind the other.

The index has where each recording lies, what turns its numbers into physical units, and its quality.
"""

from collections import Counter
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medcl.errors import MedclError
from medcl.modality.storing import Appended, PreparedRecords, StoredArrays, StoreIndex

VERSION = 3
INDEX = StoreIndex(
    "recordings",
    b"medcl",
    VERSION,
    pa.schema(
        [
            ("record_id", pa.string()),
            *((name, pa.int64()) for name in ("shard", "start", "n_samples", "invalid")),
            *((name, pa.list_(pa.float64())) for name in ("gain", "offset", "mean", "std")),
            ("flags", pa.binary()),
            ("stretches", pa.list_(pa.int64())),
            ("notes", pa.list_(pa.string())),
        ]
    ),
)
"""`about`: key, sampling_rate, channels, unit, quarantine."""
# A window of seconds touches a few blocks, and larger ones compress hardly better.
LAYOUT = Appended("{number:05d}.b2nd", "shard", "start", "ZSTD", True, block=1 << 14, blocks=32, largest=1 << 30)
MISSING = "channels missing"
"""How the note begins that lists the channels which a recording lacks, and which are 0."""
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SignalStore(PreparedRecords):
    """A prepared archive, opened for reading; recordings are numbered in the order of the manifest.

    Args:
        sampling_rate: of all of them, in Hz.
        channels: canonical names, in order.
        unit: of physical values: mV or uV.
        n_samples: (R,) length of each.
        gain: (R, C); physical = (stored - offset) / gain.
        offset: (R, C).
        invalid: (R,) stored number that means "no value", or the lowest int64 where there is none.
        mean: (R, C) of the physical values.
        std: (R, C) of the physical values; exactly 0 for a channel that never changes.
        flags: (seconds of all recordings,) see `quality`.
        flags_start: (R + 1,) where each recording's seconds begin.
        shard: (R,) number of the shard that holds it.
        start: (R,) its first row there.
        stretches: (S,) first samples of the stretches of all recordings, within which there is no gap in time.
        stretches_start: (R + 1,) where each recording's stretches begin.
        notes: what was done to recordings and what is unusual about them, without details -> number of recordings.
    """

    sampling_rate: float
    channels: list[str]
    unit: str
    n_samples: Ints
    gain: Floats
    offset: Floats
    invalid: Ints
    mean: Floats
    std: Floats
    flags: NDArray[np.uint8]
    flags_start: Ints
    shard: Ints
    start: Ints
    stretches: Ints
    stretches_start: Ints
    notes: dict[str, int]

    @classmethod
    def of(cls, stored: StoredArrays) -> Self:
        """Recordings that `prepare` has published."""
        table, about = stored.columns, stored.about
        numbers: dict[str, Any] = {name: table[name].to_numpy() for name in ("shard", "start", "n_samples", "invalid")}
        matrices: dict[str, Any] = {
            name: np.asarray(table[name].combine_chunks().flatten(), dtype=np.float64).reshape(len(table), -1)
            for name in ("gain", "offset", "mean", "std")
        }
        flags, stretches, notes = (table[name].to_pylist() for name in ("flags", "stretches", "notes"))
        return cls(
            **cls.shared(stored),
            sampling_rate=about["sampling_rate"],
            channels=about["channels"],
            unit=about["unit"],
            flags=np.frombuffer(b"".join(flags), dtype=np.uint8),
            flags_start=_starts(flags),
            stretches=np.array([start for own in stretches for start in own], dtype=np.int64),
            stretches_start=_starts(stretches),
            notes=dict(Counter(note.split(":")[0] for own in notes for note in own)),
            **numbers,
            **matrices,
        )

    def described(self) -> str:
        """What it holds, in words."""
        return f"{len(self)} recordings, {len(self.channels)} channels at {self.sampling_rate:g} Hz"

    def read_windows(self, records: Ints, starts: Ints, length: int) -> NDArray[Any]:
        """Stored numbers of many stretches, read in the order in which they lie on the disk.

        Takes (B,) numbers of recordings, (B,) first samples, and the length of each in samples.

        Returns:
            (B, length, channels) in the type of the recordings, or the one that holds all their types.

        Raises:
            MedclError: if a stretch is not inside its recording.
        """
        outside = (starts < 0) | (starts + length > self.n_samples[records])
        if length < 0 or outside.any():
            start, n_samples = (
                int(part[outside][0]) if outside.any() else 0 for part in (starts, self.n_samples[records])
            )
            raise MedclError(f"samples {start} to {start + length} are outside of a recording of {n_samples}")
        shards, rows = self.shard[records], self.start[records] + starts
        names = {shard: LAYOUT.name.format(number=shard) for shard in np.unique(shards).tolist()}
        types = {shard: self.stored.dtype(name) for shard, name in names.items()}
        out = np.empty((len(records), length, len(self.channels)), dtype=np.result_type(*types.values()))
        if not length:
            return out
        for i in np.lexsort((rows, shards)).tolist():
            shard = int(shards[i])
            if types[shard] == out.dtype:
                self.stored.read_into(out[i], names[shard], (int(rows[i]), 0))
            else:
                narrow = np.empty(out.shape[1:], dtype=types[shard])
                self.stored.read_into(narrow, names[shard], (int(rows[i]), 0))
                out[i] = narrow
        return out

    def read_native(self, record: int, start: int, length: int) -> NDArray[Any]:
        """Stored numbers of one stretch, (length, channels)."""
        stretch: NDArray[Any] = self.read_windows(np.array([record]), np.array([start]), length)[0]
        return stretch

    def read(self, record: int, start: int = 0, length: int | None = None) -> NDArray[np.float32]:
        """Physical values of one stretch.

        Args:
            record: number of the recording.
            start: first sample.
            length: in samples; None is up to the end.

        Returns:
            (channels, length) in `unit`, with NaN where there is no value.
        """
        native = self.read_native(record, start, int(self.n_samples[record]) - start if length is None else length)
        values = ((native - self.offset[record]) / self.gain[record]).astype(np.float32)
        values[native == self.invalid[record]] = np.nan
        return np.ascontiguousarray(values.T)


def _starts(parts: Sequence[Sized]) -> Ints:
    """(R + 1,) where the parts of each recording begin, one behind the other."""
    starts: Ints = np.concatenate([[0], np.cumsum([len(part) for part in parts], dtype=np.int64)])
    return starts
