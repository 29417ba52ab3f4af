"""Windows of prepared recordings, as batches of tensors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from medcl.archive.manifest import Manifest
from medcl.data.config import SignalConfig
from medcl.data.quality import FLAT_SECONDS, NAN
from medcl.data.store import SignalStore
from medcl.errors import MedclError, UsageError

Ints = NDArray[np.int64]
_LEVELS = ("patient", "session", "trial")
_SAMPLES_OF_A_RECORD = 1 << 24
"""A sample's id is row * this + number of the window, so that it does not depend on which other records there are windows of."""


class SignalWindows(Dataset[dict[str, Any]]):
    """Windows of fixed length and stride over the recordings of a manifest.

    Recordings shorter than one window hold none (they are never padded), and windows with gaps (NaN) are left out. `too_short` and `with_gaps`
    count both; flat and clipped stretches stay, with their flag.

    Args:
        store: prepared recordings.
        manifest: whose records are cut; those that the store has quarantined are left out.
        config: length, stride and standardisation.

    Attributes:
        rows: (W,) row of the manifest of each window.
        starts: (W,) first sample in its recording.
        ids: {level: (W,) int64} for patient, session where known, trial, sample.
        flags: (W,) sum of the flags of the seconds that the window touches.

    Raises:
        UsageError: a window or stride below one sample.
        MedclError: the store holds none of the records.
    """

    def __init__(self, store: SignalStore, manifest: Manifest, config: SignalConfig) -> None:
        self.store, self.config = store, config
        self.length, stride = (round(seconds * store.sampling_rate) for seconds in (config.window, config.stride))
        if min(self.length, stride) < 1:
            raise UsageError(f"data.window and data.stride must be at least one sample ({1 / store.sampling_rate:g} s)")
        number = {record_id: i for i, record_id in enumerate(store.record_ids)}
        records = np.array([number.get(str(record_id), -1) for record_id in manifest.column("record_id")], dtype=np.int64)
        rows = np.flatnonzero(records >= 0)
        if not len(rows):
            raise MedclError(f"{store.folder}: the store holds no record of this manifest; prepare it again")
        counts = np.maximum(0, (store.n_samples[records[rows]] - self.length) // stride + 1)
        self.too_short = int((counts == 0).sum())
        self.rows = np.repeat(rows, counts)
        window = np.arange(len(self.rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        self.starts = window * stride
        self._records = records[self.rows]
        self.flags = self._window_flags()
        whole = (self.flags & NAN) == 0
        self.with_gaps = int((~whole).sum())
        self.rows, self.starts, self._records, self.flags, window = (
            part[whole] for part in (self.rows, self.starts, self._records, self.flags, window)
        )
        self.ids: dict[str, Ints] = {
            level: np.asarray(manifest.column(level), dtype=np.int64)[self.rows]
            for level in _LEVELS
            if manifest.has(level) and manifest.table.column(level).null_count == 0
        }
        self.ids["sample"] = self.rows * _SAMPLES_OF_A_RECORD + window

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One window as a batch of one."""
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        """A batch.

        Args:
            indices: (B,) numbers of windows.

        Returns:
            `x` (B, C, T) float32, standardised; `index` (B,) rows of the manifest; `ids` {level: (B,) int64}.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        x = np.empty((len(chosen), self.length, len(self.store.channels)), dtype=np.float32)
        records = self._records[chosen]
        for i, (record, start) in enumerate(zip(records.tolist(), self.starts[chosen].tolist(), strict=True)):
            x[i] = self.store.read_native(record, start, self.length)
        scale, shift = self._standard(records)
        x *= scale[:, None, :]
        x += shift[:, None, :]
        if self.config.standardise == "window":
            x -= x.mean(axis=1, keepdims=True)
            spread = x.std(axis=1, keepdims=True)
            x /= np.where(spread > 0, spread, 1)
        return {
            "x": torch.from_numpy(np.ascontiguousarray(x.transpose(0, 2, 1))),
            "index": torch.from_numpy(self.rows[chosen]),
            "ids": {level: torch.from_numpy(ids[chosen]) for level, ids in self.ids.items()},
        }

    def windows_of(self, row: int) -> Ints:
        """Numbers of the windows of one row of the manifest, in order of time."""
        first, last = np.searchsorted(self.rows, [row, row + 1])
        return np.arange(first, last)

    def _standard(self, records: Ints) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What stored numbers are multiplied by, and what is then added, (B, C) each: units and standardisation in one pass."""
        gain, offset = self.store.gain[records], self.store.offset[records]
        if self.config.standardise != "record":
            return (1 / gain).astype(np.float32), (-offset / gain).astype(np.float32)
        mean, std = self.store.mean[records], self.store.std[records]
        std = np.where(std > 0, std, 1)
        return (1 / (gain * std)).astype(np.float32), ((-offset / gain - mean) / std).astype(np.float32)

    def _window_flags(self) -> NDArray[np.uint8]:
        step = max(1, round(self.store.sampling_rate * FLAT_SECONDS))
        first = self.store.flags_start[self._records] + self.starts // step
        last = self.store.flags_start[self._records] + (self.starts + self.length - 1) // step
        flags = np.zeros(len(first), dtype=np.uint8)
        for ahead in range(int((last - first).max(initial=-1)) + 1):
            inside = first + ahead <= last
            flags[inside] |= self.store.flags[first[inside] + ahead]
        return flags
