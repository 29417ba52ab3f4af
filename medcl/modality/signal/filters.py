"""Channels of one recording brought to one rate and through the filters, with the quality of every second."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError, UsageError
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.designs import NOTCH_EDGE, designs
from medcl.modality.signal.record import Signal

NAN, FLAT, CLIPPED = 1, 2, 4
"""Bits of the flag of a second."""
CLIPPED_SAMPLES = 5
"""So many samples in a row at the recording's own extreme are clipped; a peak reaches it once or twice."""


def second_of(sample: NDArray[np.int64], sampling_rate: float) -> NDArray[np.int64]:
    """The second of the recording that samples (numbers, of any shape) lie in; rates (Hz) need not be whole."""
    return (sample / sampling_rate).astype(np.int64)


def flags(
    x: NDArray[np.floating], sampling_rate: float, extremes: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """Flag every second of one channel (time,), NaN where there is no value; `extremes` are those of x by default.

    `FLAT` is a channel that does not change for the whole second: no heart and no brain is so still. `CLIPPED` is one
    that stays at its highest or lowest value of the recording for `CLIPPED_SAMPLES`. `NAN` is a value that is missing.

    Returns:
        (seconds,) sums of NAN, FLAT and CLIPPED; the last second may be a part of one.
    """
    first = np.flatnonzero(np.diff(second_of(np.arange(len(x)), sampling_rate), prepend=-1))
    missing = np.isnan(x)
    low, high = np.fmin.reduceat(x, first), np.fmax.reduceat(x, first)
    several = np.diff(first, append=len(x)) > 1
    flat = (low == high) & several
    # What is flat throughout is at its extremes all the time, and yet not clipped.
    clipped = np.bitwise_or.reduceat(_clipped(x, extremes), first) & ~flat
    bits = NAN * np.logical_or.reduceat(missing, first) + FLAT * flat + CLIPPED * clipped
    return np.asarray(bits, dtype=np.uint8)


def _clipped(x: NDArray[np.floating], extremes: tuple[float, float] | None) -> NDArray[np.bool_]:
    """Samples at which a run of CLIPPED_SAMPLES at the highest or lowest value ends, (time,)."""
    ends = np.zeros(len(x), dtype=bool)
    low, high = (np.fmin.reduce(x), np.fmax.reduce(x)) if extremes is None else extremes
    if low == high or len(x) < CLIPPED_SAMPLES:
        return ends
    for extreme in (low, high):
        at = np.concatenate([[0], np.cumsum(x == extreme)])
        ends[CLIPPED_SAMPLES - 1 :] |= at[CLIPPED_SAMPLES:] - at[:-CLIPPED_SAMPLES] == CLIPPED_SAMPLES
    return ends


Floats = NDArray[np.float64]


def check(config: SignalConfig, sampling_rate: float) -> None:
    """Refuse a band or a notch (UsageError) that cannot be at a sampling rate (Hz), before any recording is read."""
    band = config.band or [None, None]
    if len(band) != 2:
        raise UsageError(f"data.band is [low, high] in Hz, not {config.band}")
    low, high = band
    if low is not None and high is not None and low >= high:
        raise UsageError(f"data.band: {low:g} Hz is not below {high:g} Hz")
    for name, edge, beyond in (("band", low, 0.0), ("band", high, 0.0), ("notch", config.notch, NOTCH_EDGE)):
        if edge is not None and not beyond < edge < sampling_rate / 2 - beyond:
            raise UsageError(
                f"data.{name}: {edge:g} Hz is not between {beyond:g} and {sampling_rate / 2 - beyond:g} Hz, "
                f"as it must be at a sampling rate of {sampling_rate:g} Hz"
            )


class TooShortError(UnreadableError):
    """A recording, or a stretch of it, is shorter than a filter."""


def ratio(rate: float, wanted: float) -> Fraction:
    """How many samples one becomes from one rate (Hz) to another.

    Raises:
        UnreadableError: if the two rates have no small common measure.
    """
    found = Fraction(wanted / rate).limit_denominator(1000)
    if abs(float(found) * rate / wanted - 1) > 1e-6:
        raise UnreadableError(
            f"{rate:g} Hz cannot be resampled to {wanted:g} Hz: the ratio is not one of integers up to 1000"
        )
    return found


def resample(x: Floats, rate: float, wanted: float) -> Floats:
    """Resample (channels, time) by a polyphase filter with an antialiasing FIR; rates in Hz, errors as of `ratio`."""
    from scipy.signal import resample_poly

    step = ratio(rate, wanted)
    resampled: Floats = resample_poly(x, step.numerator, step.denominator, axis=1, padtype="line")
    return resampled


def band_and_notch(x: Floats, rate: float, config: SignalConfig) -> Floats:
    """Filter (channels, time) at a rate (Hz) by mne's zero-phase FIR filters.

    Raises:
        TooShortError: if the recording is shorter than a filter.
    """
    import mne

    for one in designs(config):
        length = len(one.taps(rate))
        if length > x.shape[1]:
            raise TooShortError(
                f"too short for its filter: {x.shape[1] / rate:g} s, and the filter has {length / rate:.1f} s; "
                "a higher low edge of data.band or no data.notch shortens it"
            )
        x = mne.filter.filter_data(x, rate, **one.mne)
    return x


NO_INVALID = np.iinfo(np.int64).min
_VALUES_AT_A_TIME = 1 << 23
_ABSURD = 1e9
"""Of a voltage in the unit that it is kept in: 1 kV of an EEG, 1 MV of an ECG."""


@dataclass(frozen=True)
class Part:
    """The channels of one sampling rate.

    Args:
        names: of the channels.
        data: (channels, time) as stored.
        gain: (channels,); physical = (data - offset) / gain.
        offset: (channels,).
        invalid: number in `data` that means "no value"; None without one.
        rate: Hz.
        starts: first samples of the stretches without a gap between them.
        voltage: (channels,) whether a channel is one: others have no quality that a second could lack.
    """

    names: tuple[str, ...]
    data: NDArray[Any]
    gain: Floats
    offset: Floats
    invalid: int | None
    rate: float
    starts: tuple[int, ...]
    voltage: NDArray[np.bool_]

    def missing(self) -> NDArray[np.bool_]:
        """(channels, time) where there is no value."""
        if np.issubdtype(self.data.dtype, np.floating):
            return np.asarray(np.isnan(self.data))
        return np.asarray(self.data == self.invalid) if self.invalid is not None else np.zeros(self.data.shape, bool)

    def physical(self) -> Iterator[tuple[slice, Floats]]:
        """Some channels at a time, since a day of 64 of them in float64 is several times its file: (channels, time).

        Raises:
            UnreadableError: a value is infinite, or none that a body has.
        """
        missing = self.missing()
        step = max(1, _VALUES_AT_A_TIME // max(1, self.data.shape[1]))
        for first in range(0, len(self.data), step):
            rows = slice(first, first + step)
            with np.errstate(over="ignore", invalid="ignore"):
                x = (self.data[rows] - self.offset[rows, None]) / self.gain[rows, None]
            x[missing[rows]] = np.nan
            for name, channel, volts in zip(self.names[rows], x, self.voltage[rows], strict=True):
                highest = np.fmax.reduce(np.abs(channel))
                limit = _ABSURD if volts else float(np.finfo(np.float32).max)
                if highest > limit:
                    raise UnreadableError(
                        f"absurd values: up to {highest:.3g} in channel {name}, above the limit of {limit:.3g}: its "
                        "gain or its unit is wrong"
                    )
            yield rows, x

    def quality(self, x: Floats, rows: slice, extremes: Floats | None = None) -> NDArray[np.uint8]:
        """(seconds,) flags of some channels, whose extremes (channels, 2) are those of x by default."""
        found = np.zeros(int(second_of(np.array(self.data.shape[1] - 1), self.rate)) + 1, dtype=np.uint8)
        for i, (channel, volts) in enumerate(zip(x, self.voltage[rows], strict=True)):
            if volts and self.rate >= 1:
                own = None if extremes is None else (float(extremes[rows][i, 0]), float(extremes[rows][i, 1]))
                found |= flags(channel, self.rate, own)
        return found


def at_one_rate(
    parts: Sequence[tuple[Part, Sequence[int]]], main: Signal, config: SignalConfig, wanted: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_], tuple[int, ...], NDArray[np.uint8]]:
    """Resample and filter the channels of a recording, each stretch by itself.

    `parts` are channels with their places in the result. The stretches and lengths of `main` count, even if none of its
    channels is asked for. `wanted` is in Hz.

    Returns:
        (channels, time) physical values; (channels,) whether one never changed before it was filtered; the first sample
        of each stretch; (seconds,) flags, of the recording before resampling and filters.

    Raises:
        UnreadableError: values are missing in some channels where others have them, the rates have no common measure,
            or every stretch is shorter than a filter.
    """
    length, rate = main.data.shape[1], main.sampling_rate
    before = [*main.starts, length]
    step = ratio(rate, wanted)
    spans = [ceil((stop - start) * step) for start, stop in zip(before, before[1:], strict=False)]
    after = [0, *np.cumsum(spans).tolist()]
    made = np.full((sum(len(rows) for _, rows in parts), after[-1]), np.nan, dtype=np.float32)
    constant = np.zeros(len(made), dtype=bool)
    found = np.zeros(int(second_of(np.array(length - 1), rate)) + 1, dtype=np.uint8)
    too_short: UnreadableError | None = None
    for part, places in parts:
        cuts, scale, ends = _cuts(part), wanted / part.rate, [*part.starts, part.data.shape[1]]
        for rows, x in part.physical():
            own = part.quality(x, rows)[: len(found)]
            found[: len(own)] |= own
            chosen = list(places[rows])
            constant[chosen] = np.nanmin(x, axis=1) == np.nanmax(x, axis=1)
            for stretch, start, stop in cuts:
                # What ends with its stretch ends with it at the new rate; a gap within it is rounded.
                begin = after[stretch] + round((start - ends[stretch]) * scale)
                end = after[stretch] + round((stop - ends[stretch]) * scale)
                end = after[stretch + 1] if stop == ends[stretch + 1] else min(end, after[stretch + 1])
                if end <= begin:
                    continue
                try:
                    piece = x[:, start:stop]
                    piece = resample(piece, part.rate, wanted) if part.rate != wanted else piece
                    made[chosen, begin:end] = band_and_notch(_fitted(piece, end - begin), wanted, config)
                except TooShortError as error:
                    too_short = error
    if too_short is not None and np.isnan(made).all():
        raise too_short
    return made, constant, tuple(after[:-1]), _moved(found, made, before, after, rate, wanted)


def _cuts(part: Part) -> list[tuple[int, int, int]]:
    """The pieces to filter: number of the stretch, first sample, the sample behind the last."""
    missing = part.missing()
    lost: NDArray[np.bool_] = np.asarray(missing.all(axis=0))
    if (missing.any(axis=0) != lost).any():
        raise UnreadableError(
            "has gaps, values that are not a number in some channels alone, over which a filter would spread: prepare "
            "it without resampling, data.band and data.notch"
        )
    turns = np.flatnonzero(np.diff(lost)) + 1
    edges = np.unique([*part.starts, *turns.tolist(), len(lost)])
    stretch = np.searchsorted(part.starts, edges[:-1], side="right") - 1
    return [
        (int(number), int(start), int(stop))
        for number, start, stop in zip(stretch, edges[:-1], edges[1:], strict=True)
        if not lost[start]
    ]


def _fitted(x: Floats, length: int) -> Floats:
    """Rates that differ round the length of a piece differently: by less than one sample of the slower."""
    x = x[:, :length]
    return np.pad(x, ((0, 0), (0, length - x.shape[1])), mode="edge") if x.shape[1] < length else x


def _moved(
    found: NDArray[np.uint8],
    made: NDArray[np.float32],
    before: Sequence[int],
    after: Sequence[int],
    rate: float,
    wanted: float,
) -> NDArray[np.uint8]:
    """The flags of the seconds at the new rate, and where values are missing now."""
    second = second_of(np.arange(made.shape[1]), wanted)
    firsts = np.flatnonzero(np.diff(second, prepend=-1))
    if len(after) > 2:
        # Each stretch may be rounded up by a sample, so that the seconds of many drift apart.
        stretch = np.searchsorted(after[1:-1], np.arange(made.shape[1]), side="right")
        into = (np.arange(made.shape[1]) - np.array(after)[stretch]) * (rate / wanted)
        source = np.minimum(np.array(before)[stretch] + into.astype(np.int64), np.array(before)[stretch + 1] - 1)
        found = np.bitwise_or.reduceat(found[second_of(source, rate)], firsts)
    # Resampling may round a last, begun second away or into being.
    found = np.pad(found, (0, max(0, len(firsts) - len(found))), mode="edge")[: len(firsts)]
    lost = np.isnan(made).any(axis=0)
    return found | (NAN * np.logical_or.reduceat(lost, firsts)).astype(np.uint8)
