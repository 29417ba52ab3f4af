"""Prepared tables: arrays `00000.b2nd` (rows, 1 + variables) of float64 with tables one behind the other.

The first column has hours, NaN in a table without times; the others have values, categories as codes, NaN where there
is none. The index has where each table lies and the hours of its rows.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medcl.modality.rows import Ints
from medcl.modality.storing import Appended, StoredArrays, StoreIndex
from medcl.modality.table.record import Floats

VERSION = 1
INDEX = StoreIndex(
    "tables",
    b"medcl-tables",
    VERSION,
    pa.schema(
        [
            ("record_id", pa.string()),
            *((name, pa.int64()) for name in ("shard", "start", "n_rows")),
            ("times", pa.list_(pa.float64())),
            ("notes", pa.list_(pa.string())),
        ]
    ),
)
"""`about`: key, columns, units, classes, quarantine."""
LAYOUT = Appended("{number:05d}.b2nd", "shard", "start", "ZSTD", True, block=1 << 15, blocks=32, largest=1 << 30)


@dataclass(frozen=True)
class TableStore:
    """Prepared tables, opened for reading; they are numbered in the order of the manifest.

    Args:
        folder: of the store.
        record_ids: (R,) of the tables.
        columns: names of the variables, in order.
        units: variable -> unit.
        classes: category -> what its codes stand for.
        quarantine: record id -> why it could not be prepared.
        times: (R,) of each table the hours of its rows.
        shard: (R,) number of the array that holds it.
        start: (R,) its first row there.
        notes: what is unusual about tables, without details -> number of tables.
        stored: the arrays.
    """

    folder: Path
    record_ids: NDArray[Any]
    columns: list[str]
    units: dict[str, str]
    classes: dict[str, list[str]]
    quarantine: dict[str, str]
    times: list[Floats]
    shard: Ints
    start: Ints
    notes: dict[str, int]
    stored: StoredArrays = field(repr=False)

    @classmethod
    def of(cls, stored: StoredArrays) -> Self:
        """Tables that `prepare` has published."""
        table, about = stored.columns, stored.about
        return cls(
            folder=stored.folder,
            record_ids=np.asarray(table["record_id"].to_pylist(), dtype=object),
            columns=about["columns"],
            units=about["units"],
            classes=about["classes"],
            quarantine=about["quarantine"],
            times=[np.array(times, dtype=np.float64) for times in table["times"].to_pylist()],
            shard=table["shard"].to_numpy(),
            start=table["start"].to_numpy(),
            notes=dict(Counter(note.split(":")[0] for own in table["notes"].to_pylist() for note in own)),
            stored=stored,
        )

    def __len__(self) -> int:
        """Number of tables."""
        return len(self.record_ids)

    def described(self) -> str:
        """What it holds, in words."""
        return f"{len(self)} tables, {len(self.columns)} variables"

    def read(self, record: int) -> Floats:
        """One table, (rows, 1 + variables): hours, then values."""
        out = np.empty((len(self.times[record]), 1 + len(self.columns)))
        self.stored.read_into(out, LAYOUT.name.format(number=int(self.shard[record])), (int(self.start[record]), 0))
        return out
