"""Windows of prepared recordings, as batches of tensors."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from medcl.errors import UsageError
from medcl.modality.rows import Rows
from medcl.modality.sampling import Batch, NumberedSamples, within
from medcl.modality.signal import alignment
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.filters import NAN, second_of
from medcl.modality.signal.robust import RobustScale, centre_and_scale, clipped
from medcl.modality.signal.store import MISSING, SignalStore
from medcl.modality.storing import records_of

Ints = NDArray[np.int64]
_LEVELS = ("patient", "session", "trial")
_SAMPLES_OF_A_RECORD = 1 << 24
"""A sample's id is row * this + window, so that it does not depend on which other records there are windows of."""
_ROUNDING = 1e-6
"""A window that varies less than this share of its recording does not vary: a filter leaves that much of a flat one."""


class SignalWindows(NumberedSamples, Dataset[Batch]):
    """Windows of fixed length and stride over the recordings of a manifest.

    Recordings shorter than one window hold none (they are never padded), and no window reaches across a gap in time,
    from one stretch of a recording into the next. Windows that touch a second with missing values (NaN) are left out.
    `too_short` counts such recordings, `with_gaps` such windows; flat and clipped stretches stay, with their flag.

    Args:
        store: prepared recordings.
        manifest: whose records are cut; those that the store has quarantined are left out.
        config: length, stride and standardisation.

    Attributes:
        rows: (W,) row of the manifest of each window, ascending.
        starts: (W,) first sample in its recording.
        ids: {level: (W,) int64} for patient, session where known, trial, sample.
        flags: (W,) the flags (`quality`) that hold in any second that the window touches.

    Raises:
        UsageError: a window or stride below one sample.
        MedclError: the store was prepared from other records.
    """

    counted = "windows"

    def __init__(self, store: SignalStore, manifest: Rows, config: SignalConfig) -> None:
        self.store, self.config = store, config
        self.length, stride = (round(seconds * store.sampling_rate) for seconds in (config.window, config.stride))
        if min(self.length, stride) < 1:
            raise UsageError(f"data.window and data.stride must be at least one sample ({1 / store.sampling_rate:g} s)")
        records = records_of(store, manifest, "signal")
        rows = np.flatnonzero(records >= 0)
        rows, starts, lengths = _stretches(store, records, rows)
        counts = np.maximum(0, (lengths - self.length) // stride + 1)
        self.too_short = len(np.unique(rows)) - len(np.unique(rows[counts > 0]))
        self.rows: Ints = np.repeat(rows, counts)
        self.starts: Ints = np.repeat(starts, counts) + within(counts) * stride
        window = within(np.bincount(self.rows, minlength=len(records)))
        self._records: Ints = records[self.rows]
        self.flags = self._window_flags()
        whole = (self.flags & NAN) == 0
        self.with_gaps = int((~whole).sum())
        self.rows, self.starts, self._records, self.flags, window = (
            part[whole] for part in (self.rows, self.starts, self._records, self.flags, window)
        )
        self.ids: dict[str, Ints] = {
            level: manifest.column(level)[self.rows]
            for level in _LEVELS
            if manifest.has(level) and manifest.table.column(level).null_count == 0
        }
        self.ids["sample"] = self.rows * _SAMPLES_OF_A_RECORD + window
        self._align = None if config.align == "none" else self._alignment(config)
        self._robust = RobustScale(self.samples_of, self.centred) if config.standardise == "robust" else None

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """As of all numbered samples, with `position`, where windows begin in their recording (s)."""
        begin = self.starts[np.asarray(indices, dtype=np.int64)] / self.store.sampling_rate
        return {**super().__getitems__(indices), "position": torch.from_numpy(begin.astype(np.float32))}

    def read(self, numbers: Ints) -> Tensor:
        """Windows (B, C, T) float32, standardised or aligned, a flat channel being 0."""
        if self._align is not None:
            x = self.aligned(numbers)
        elif self._robust is not None:
            x = self._robust(self.rows[numbers], self.centred(numbers))
        else:
            x = self._read(numbers, self.config.standardise)
        return torch.from_numpy(clipped(x, self.config.clip))

    def aligned(self, numbers: Ints) -> NDArray[np.float32]:
        """Windows (B, C, T), aligned where the configuration says so, else as `centred`."""
        return self.centred(numbers) if self._align is None else self._align(numbers, self.centred(numbers))

    def centred(self, numbers: Ints) -> NDArray[np.float32]:
        """Windows (B, C, T) in the store's unit, less the mean of their recording, however samples are standardised."""
        return self._read(numbers, "centre")

    def stretches(self, own: Ints, longest: int) -> Iterator[NDArray[np.float32]]:
        """What windows of one record cover, (C, samples) in the store's unit, without a gap within.

        Args:
            own: numbers of the windows.
            longest: samples of a piece at most, into which longer stretches are cut evenly.
        """
        starts, record = np.sort(self.starts[own]), int(self._records[own[0]])
        first, last = self.store.stretches_start[record : record + 2]
        begins = np.isin(starts[1:], self.store.stretches[first:last]) | (np.diff(starts) > self.length)
        for part in np.split(starts, np.flatnonzero(begins) + 1):
            begin, end = int(part[0]), int(part[-1]) + self.length
            edges = np.linspace(begin, end, -(-(end - begin) // longest) + 1).round().astype(np.int64).tolist()
            for start, stop in pairwise(edges):
                yield self.store.read(record, start, stop - start)

    def places(self, numbers: Ints) -> list[list[float]]:
        """Where windows begin, (n,) of [seconds]."""
        return [[float(start)] for start in self.starts[numbers] / self.store.sampling_rate]

    @property
    def patients(self) -> Ints:
        """(W,) id of the patient of each window."""
        return self.ids["patient"]

    @property
    def units(self) -> Ints:
        """(W,) id of the recording of each window."""
        return self.ids["trial"]

    @property
    def id_names(self) -> tuple[str, ...]:
        """Levels."""
        return tuple(self.ids)

    @property
    def left_out(self) -> dict[str, int]:
        """Recordings and windows that are not trained on."""
        return {
            "recordings could not be decoded": len(self.store.quarantine),
            "are shorter than a window": self.too_short,
            "windows have gaps": self.with_gaps,
        }

    @property
    def note(self) -> str:
        """How many of the prepared recordings lack channels."""
        count = self.store.notes.get(MISSING, 0)
        return f"{count} of {len(self.store)} recordings lack channels, which are 0 in them" if count else ""

    def _alignment(self, config: SignalConfig) -> alignment.Alignment:
        if config.align not in ("recording", *self.ids):
            raise UsageError(f"data.align: the manifest does not have a {config.align} of every recording")
        groups = self.rows if config.align == "recording" else self.ids[config.align]
        return alignment.Alignment(groups, self.rows, self.centred, online=config.align_online)

    def _read(self, numbers: Ints, scale: str) -> NDArray[np.float32]:
        records = self._records[numbers]
        native = self.store.read_windows(records, self.starts[numbers], self.length)
        x: NDArray[np.float32] = native.transpose(0, 2, 1).astype(np.float32, order="C")
        self._standardise(x, records, scale)
        return x

    def _standardise(self, x: NDArray[np.float32], records: Ints, scale: str) -> None:
        """Turn stored numbers (B, C, T) into what is asked for, in place."""
        gain, std = self.store.gain[records], self.store.std[records]
        # The level is taken off before anything is multiplied, and in two parts, the first of them exact in float32:
        # an EEG amplifier's may be a thousand times the signal.
        if scale == "window":
            level = x[:, :, 0].astype(np.float64)
        elif scale in ("record", "centre"):
            level = self.store.offset[records] + self.store.mean[records] * gain
            gain = gain * np.where(std > 0, std, np.inf) if scale == "record" else gain
        else:
            level = self.store.offset[records]
        coarse = level.astype(np.float32)
        x -= coarse[:, :, None]
        x -= (level - coarse).astype(np.float32)[:, :, None]
        x *= (1 / gain).astype(np.float32)[:, :, None]
        if scale == "window":
            x -= x.mean(axis=2, keepdims=True)
            spread = x.std(axis=2)
            varies = (std > 0) & (spread > _ROUNDING * std)
            x /= np.where(varies, spread, np.inf).astype(np.float32)[:, :, None]

    def _window_flags(self) -> NDArray[np.uint8]:
        rate, begin = self.store.sampling_rate, self.store.flags_start[self._records]
        first, last = (begin + second_of(sample, rate) for sample in (self.starts, self.starts + self.length - 1))
        flags = np.zeros(len(first), dtype=np.uint8)
        for ahead in range(int((last - first).max(initial=-1)) + 1):
            flags |= self.store.flags[np.minimum(first + ahead, last)]
        return flags


samples = SignalWindows


def pieces(record: NDArray[Any], config: SignalConfig) -> Tensor:
    """The windows (S, C, T) of a recording (C, samples) in the unit of a store, as `SignalWindows` gives them.

    Windows with NaN are left out.

    Raises:
        UsageError: it has other channels, or no window without NaN.
    """
    x, rate = np.asarray(record, dtype=np.float64), config.sampling_rate or 0
    n_channels, length = len(config.channels or ()), round(config.window * rate)
    if x.ndim != 2 or len(x) != n_channels:
        raise UsageError(
            f"an array of the shape {x.shape}: expected a recording ({n_channels}, samples) at {rate:g} Hz, with the "
            f"channels {', '.join(config.channels or ())}"
        )
    step = max(1, round(config.stride * rate))
    every = np.lib.stride_tricks.sliding_window_view(x, min(length, x.shape[1]), axis=1)[:, ::step].swapaxes(0, 1)
    windows = every if x.shape[1] >= length else every[:0]
    windows = windows[np.isfinite(windows).all(axis=(1, 2))]
    if not len(windows):
        raise UsageError(f"a recording of {x.shape[1]} samples: no window of {length} samples without a missing value")
    if config.align != "none":
        windows = alignment.aligned_alone(windows.astype(np.float32)).astype(np.float64)
    elif config.standardise == "robust":
        centre, factor = centre_and_scale(windows.astype(np.float32))
        windows = (windows - centre) * factor
    elif config.standardise != "none":
        of = x[None] if config.standardise == "record" else windows
        mean, std = (f(of, axis=2, keepdims=True) for f in (np.nanmean, np.nanstd))
        varies = np.nanmax(of, axis=2, keepdims=True) > np.nanmin(of, axis=2, keepdims=True)
        windows = (windows - mean) / np.where(varies, std, np.inf)
    return torch.from_numpy(clipped(windows.astype(np.float32), config.clip))


def _stretches(store: SignalStore, records: Ints, rows: Ints) -> tuple[Ints, Ints, Ints]:
    """The stretches without a gap of some recordings, (S,): rows of the manifest, first samples, lengths."""
    own = records[rows]
    first, counts = store.stretches_start[own], np.diff(store.stretches_start)[own]
    number = np.repeat(first, counts) + within(counts)
    starts = store.stretches[number]
    ends = np.append(store.stretches[1:], 0)
    ends[store.stretches_start[1:] - 1] = store.n_samples
    return np.repeat(rows, counts), starts, ends[number] - starts
