"""The store of reports: each divided and tokenised once, as memory-mapped arrays that batches are gathered from.

A store is a folder. `tokens.npy` (int32) holds the token sequences of all different texts one behind the other, and
`offsets.npy` where each begins; `ids.npy` a number for each text that identical ones share; `texts.arrow` the texts
themselves. `draws.npy` says which text each draw is, and `index.parquet` which draws are those of each report.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medcl.modality.storing import StoredArrays, StoreIndex

VERSION = 1
TEXTS = "texts.arrow"
INDEX = StoreIndex("reports", b"medcl reports", VERSION, pa.schema([("record_id", pa.string()), ("draws", pa.int64())]))
"""`about`: key, quarantine, settings."""
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ReportStore:
    """Prepared reports, opened for reading; they are numbered in the order of the manifest.

    Args:
        folder: of the store.
        record_ids: (R,) of the reports.
        starts: (R + 1,) number of the first draw of each report, and the number of all draws.
        text: (D,) number of the text of each draw.
        tokens: token ids of all texts one behind the other, without padding.
        offsets: (U + 1,) where the tokens of each text begin, and the end.
        ids: (U,) number of each text, the same for texts that differ in case or white space only.
        texts: (U,) the texts.
        quarantine: record id -> why the report has no draw.
        settings: by which reports were divided, see `draws.settings`.
        stored: the index.
    """

    folder: Path
    record_ids: NDArray[Any]
    starts: Ints
    text: Ints
    tokens: NDArray[np.int32]
    offsets: Ints
    ids: Ints
    texts: pa.ChunkedArray
    quarantine: dict[str, str]
    settings: dict[str, Any]

    stored: StoredArrays = field(repr=False)

    @classmethod
    def of(cls, stored: StoredArrays) -> Self:
        """Reports that `prepare` has published.

        Raises:
            OSError: a file is missing.
            ValueError: a file is damaged.
        """
        folder, table = stored.folder, stored.columns
        texts = pa.ipc.open_file(pa.memory_map(str(folder / TEXTS))).read_all()["text"]
        return cls(
            folder=folder,
            record_ids=np.asarray(table["record_id"].to_pylist(), dtype=object),
            starts=np.concatenate([np.zeros(1, np.int64), np.cumsum(table["draws"].to_numpy())]),
            text=_map(folder / "draws.npy"),
            texts=texts,
            quarantine=stored.about["quarantine"],
            settings=stored.about["settings"],
            stored=stored,
            **{name: _map(folder / f"{name}.npy") for name in ("tokens", "offsets", "ids")},
        )

    def __len__(self) -> int:
        """Number of reports."""
        return len(self.record_ids)

    def described(self) -> str:
        """What it holds, in words."""
        return f"{len(self)} reports"

    def __reduce__(self) -> tuple[Any, tuple[StoredArrays]]:
        # Another process maps the files again instead of being sent what they hold.
        return type(self).of, (self.stored,)

    def read(self, draws: Ints) -> Ints:
        """Token ids of some draws.

        Args:
            draws: (B,) numbers.

        Returns:
            (B, L) with 0 behind the end of each; L is the length of the longest.
        """
        texts = self.text[draws]
        first = self.offsets[texts]
        sizes = self.offsets[texts + 1] - first
        step = np.arange(int(sizes.max(initial=0)))
        within = step < sizes[:, None]
        ids: Ints = np.zeros(within.shape, dtype=np.int64)
        ids[within] = self.tokens[(first[:, None] + step)[within]]
        return ids


def ranges(starts: Ints, counts: Ints) -> Ints:
    """The numbers start, start + 1, ... of each of several ranges, one behind the other.

    Args:
        starts: (N,) of the ranges.
        counts: (N,) numbers in each.
    """
    before = np.cumsum(counts) - counts
    found: Ints = np.arange(int(counts.sum())) + np.repeat(starts - before, counts)
    return found


def _map(path: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array
