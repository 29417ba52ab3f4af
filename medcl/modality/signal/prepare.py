"""How recordings are decoded for the store: channels in order, in their unit, resampled and filtered if asked for."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError, UsageError
from medcl.modality.formats import pieces, read_signal
from medcl.modality.rows import Rows, Source
from medcl.modality.signal import alignment, bad_channels, delays, epochs, filters, long, montage
from medcl.modality.signal.channels import VOLTS, canonical, is_electrode, is_lead, listed, positions, renamed
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.filters import NO_INVALID, Part, at_one_rate
from medcl.modality.signal.formats.channel_choice import ASIDE
from medcl.modality.signal.long import Wanted
from medcl.modality.signal.record import Modality, Signal, kept_unit
from medcl.modality.signal.store import INDEX as INDEX
from medcl.modality.signal.store import LAYOUT, MISSING, VERSION, SignalStore
from medcl.modality.storing import DecodedRecord, Preparation

UNITS = {"ecg": "mV", "eeg": "uV"}
"""Modality -> unit of the physical values in a store."""
NEEDED = 4
"""Bytes of memory that a sample takes at least: it is read as float32, or as integers and more."""
_CHUNK = 64
opened = SignalStore.of


def resolve(manifest: Rows, config: SignalConfig) -> SignalConfig:
    """Fill in what the configuration leaves to the archive: sampling rate and channels.

    Returns:
        The configuration with a sampling rate and canonical channel names.

    Raises:
        UsageError: where the archive's recordings do not agree, or a channel is asked for twice.
    """
    kinds = sorted(set(map(str, manifest.column("modality"))))
    if len(kinds) != 1 or kinds[0] not in UNITS:
        raise UsageError(
            f"this recipe is for one kind of signal ({', '.join(UNITS)}), the manifest holds {', '.join(kinds)}: scan "
            "each kind by itself, and take a recipe for volumes where they are volumes"
        )
    rates = np.unique(manifest.column("sampling_rate"))
    if config.sampling_rate is None and len(rates) > 1:
        listed = ", ".join(f"{rate:g}" for rate in rates[:8])
        raise UsageError(
            f"the recordings have several sampling rates ({listed} Hz): say with data.sampling_rate which one is wanted"
        )
    rate = float(rates[0]) if config.sampling_rate is None else config.sampling_rate
    if not rate > 0:
        raise UsageError(f"data.sampling_rate: {rate:g} Hz is not above 0")
    filters.check(config, rate)
    alignment.check(config)
    stated = config.channels if config.channels is not None else manifest.table.column("channels")[0].as_py()
    # The channels of the first recording have the names of the files; those in the recipe are what is wanted.
    channels = list(map(canonical, stated if config.channels is not None else renamed(stated, config.channel_names)))
    twice = sorted({name for name in channels if channels.count(name) > 1})
    if twice or not channels:
        raise UsageError(
            f"data.channels must name each channel once: {f'{twice[0]} is there twice' if twice else 'it is empty'}"
            + ("" if config.channels is not None else "; name them, or tell them apart with data.channel_names")
        )
    montage.check(config, channels, kinds[0])
    return replace(config, sampling_rate=rate, channels=channels, delay=delays.check(config.delay, channels))


def preparation(manifest: Rows, config: SignalConfig) -> Preparation:
    """See `Wing.preparation`. Window, stride and standardisation do not matter for what is stored."""
    config = resolve(manifest, config)
    settings: list[Any] = [VERSION, config.sampling_rate, config.channels, config.band, config.notch]
    settings += [sorted((config.channel_names or {}).items()), manifest.stated.settings()]
    settings += [config.reference] if config.reference != "none" else []
    settings += [sorted(config.delay.items())] if config.delay else []
    settings += [name for name in ("interpolate", "zero_missing") if getattr(config, name)]
    values = manifest.column("n_samples").astype(np.float64)
    changes = config.band is not None or config.notch is not None or config.reference != "none" or config.interpolate
    changes = changes or config.zero_missing or config.delay is not None
    rates, wanted = manifest.column("sampling_rate"), config.sampling_rate or 0
    width = np.where(changes | (rates != wanted), 4, 2) * len(config.channels or ())
    about = {
        "sampling_rate": config.sampling_rate,
        "channels": config.channels,
        "unit": UNITS[str(manifest.column("modality")[0])],
    }
    return Preparation(
        settings,
        config,
        LAYOUT,
        n_bytes=(values * wanted / rates * width).astype(np.int64),
        memory=_memory(manifest, config, values * np.maximum(1, manifest.column("n_channels"))),
        about=lambda notes: about,
        chunk=_CHUNK,
    )


def _memory(manifest: Rows, config: SignalConfig, values: NDArray[Any]) -> NDArray[Any]:
    """(records,) bytes that decoding takes, of the values of each; what is read in pieces takes no more than one."""
    needed = values * NEEDED
    for row in np.flatnonzero(values > long.LONGEST) if not config.interpolate and not config.delay else ():
        file, form = manifest.root / str(manifest.column("path")[row]), str(manifest.column("format")[row])
        with contextlib.suppress(UnreadableError, OSError), pieces(file, form, manifest.stated) as opened:
            needed[row] = needed[row] if opened is None else min(needed[row], long.LONGEST * NEEDED)
    return needed


def decode(source: Source, config: SignalConfig) -> DecodedRecord:
    """See `Wing.decode`.

    Returns:
        (time, channels) in the type of the file, or float32 where resampling or a filter made new values. Its columns:
        `gain` and `offset` (channels,), physical = (data - offset) / gain; `invalid`, the number that means "no value",
        or NO_INVALID; `mean` and `std` (channels,) of the physical values, `std` exactly 0 for a channel that never
        changes; `flags` (seconds,) uint8, what holds in any channel of the recording before resampling and filters,
        which hide it; `stretches`, first samples of those without a gap between them; `notes`, what was done and what
        is unusual, in words.
    """
    if source.stated.events:
        return epochs.decoded(source, config, _decode)
    if long.is_long(source.row, config):
        with pieces(source.file, source.format, source.stated) as opened:
            if opened is not None:
                return long.decoded(source, config, opened, _wanted, _decode)
    return _decode(read_signal(source.file, source.format, source.stated), config, str(source.row["modality"]))


def _wanted(signal: Signal, config: SignalConfig, modality: str) -> Wanted:
    """The channels of a recording that are asked for.

    Raises:
        UnreadableError: it lacks some.
    """
    names = list(config.channels or ())
    groups = (signal, *signal.aside)
    every = [(group, channel) for group in groups for channel in range(len(group.channels))]
    present = [group.channels[channel] for group, channel in every]
    needed, mixing = montage.ends(names, present, config.channel_names)
    spared = config.interpolate or config.zero_missing
    lost = bad_channels.absent(needed, present, config.channel_names) if spared else []
    held = [place for place, name in enumerate(needed) if name not in lost]
    if not held:
        raise UnreadableError(f"has none of the channels {listed(needed)}; it has {listed(present)}")
    asked_for = [needed[place] for place in held]
    chosen = positions(asked_for, present, names=config.channel_names, unusable=signal.unusable)
    parts = [
        (_part(group, [every[chosen[row]][1] for row in rows], modality), rows)
        for group in groups
        if (rows := [row for row, place in enumerate(chosen) if every[place][0] is group])
    ]
    asked = [every[place] for place in chosen]
    others = [(group.channels[i], group.units[i]) for group, i in asked if group.units[i] not in VOLTS]
    notes = [flag for flag in signal.flags if not flag.startswith(ASIDE)]
    notes += [f"channel in {unit or 'no unit'}: {name}" for name, unit in others]
    return Wanted(parts, needed, held, lost, montage.matrix(config.reference, names) @ mixing, notes)


def _decode(signal: Signal, config: SignalConfig, modality: str, *, whole: bool = True) -> DecodedRecord:
    """A recording, or where it is not the whole a piece of one, in which a channel may have no value."""
    names = list(config.channels or ())
    rate = config.sampling_rate or signal.sampling_rate
    wanted = _wanted(signal, config, modality)
    parts, needed, held, lost = wanted.parts, wanted.needed, wanted.held, wanted.lost
    asked_for, mixing, notes = [needed[place] for place in held], wanted.mixing.copy(), list(wanted.notes)
    mixes = len(needed) != len(names) or not np.array_equal(mixing, np.eye(len(names)))
    changed = mixes or config.interpolate or bool(lost) or bool(config.delay)
    empty = [name for part, _ in parts for name, one in zip(part.names, part.missing(), strict=True) if one.all()]
    if empty and whole:
        raise UnreadableError(f"no value in the channels {listed(empty)}")
    only = parts[0][0]
    if len(parts) == 1 and only.rate == rate and config.band is None and config.notch is None and not changed:
        return _kept(only, notes)
    notes += [_resampled(part, signal, rate) for part, _ in parts if part.rate != rate]
    made, constant, starts, flagged = at_one_rate(parts, signal, config, rate)
    if config.interpolate and (lost or constant.any()):
        good = ~constant
        notes.append(f"channels filled in: {listed(lost + [asked_for[i] for i in np.flatnonzero(constant)])}")
        made = bad_channels.filled(made[good], [held[i] for i in np.flatnonzero(good)], needed)
        constant = np.zeros(len(needed), dtype=bool)
    elif lost:
        notes.append(f"{MISSING}: {listed(lost)}")
        made, constant = bad_channels.zero(made, constant, held, len(needed))
        # A difference with a channel that is not there is none.
        mixing[(np.delete(mixing, held, axis=1) != 0).any(axis=1)] = 0
    if mixes:
        made, constant = (mixing @ made).astype(np.float32), ((mixing != 0) & ~constant).sum(axis=1) == 0
    if config.delay:
        made = delays.delayed(made, [round(config.delay.get(name, 0) * rate) for name in names], starts)
    mean: NDArray[np.float64] = np.nanmean(made, axis=1, dtype=np.float64)
    std: NDArray[np.float64] = np.where(constant, 0, np.nanstd(made, axis=1, dtype=np.float64))
    ones, data = np.ones(len(made)), np.ascontiguousarray(made.T)
    return _record(data, ones, 0 * ones, NO_INVALID, mean, std, flagged, starts, notes)


def _kept(part: Part, notes: list[str]) -> DecodedRecord:
    """Channels as they are stored in the file."""
    mean, std = np.empty(len(part.data)), np.empty(len(part.data))
    flagged = np.zeros(1, dtype=np.uint8)
    for rows, x in part.physical():
        flagged = flagged | part.quality(x, rows)
        mean[rows] = np.nanmean(x, axis=1)
        # The rounding of a mean would leave a constant channel a deviation of 1e-17, by which it must never be divided.
        std[rows] = np.where(np.nanmin(x, axis=1) == np.nanmax(x, axis=1), 0, np.nanstd(x, axis=1))
    invalid = NO_INVALID if part.invalid is None else part.invalid
    data = np.ascontiguousarray(part.data.T)
    return _record(data, part.gain, part.offset, invalid, mean, std, flagged, part.starts, notes)


def _record(
    data: NDArray[Any],
    gain: NDArray[np.float64],
    offset: NDArray[np.float64],
    invalid: int,
    mean: NDArray[np.float64],
    std: NDArray[np.float64],
    flags: NDArray[np.uint8],
    starts: Sequence[int],
    notes: Sequence[str],
) -> DecodedRecord:
    row = {"n_samples": len(data), "invalid": invalid, "gain": gain, "offset": offset, "mean": mean, "std": std}
    row |= {"flags": flags.tobytes(), "stretches": list(starts), "notes": list(notes)}
    return DecodedRecord({None: data}, row)


def _resampled(part: Part, signal: Signal, rate: float) -> str:
    beside = part.rate != signal.sampling_rate
    said = f"resampled from {part.rate:g} to {rate:g} Hz"
    return f"{said}: {listed(part.names)}" if beside else said


def _part(group: Signal, channels: Sequence[int], modality: str) -> Part:
    """Some channels of a signal, in the unit of the store."""
    chosen = list(channels)
    names = tuple(group.channels[i] for i in chosen)
    factor = np.array([_factor(group.units[i], group.channels[i], modality) for i in chosen])
    voltage = np.array([group.units[i] in VOLTS for i in chosen])
    gain, offset = group.gain[chosen] / factor, group.offset[chosen]
    return Part(names, group.data[chosen], gain, offset, group.invalid, group.sampling_rate, group.starts, voltage)


def _factor(unit: str, name: str, modality: str) -> float:
    kept, factor = kept_unit(unit, cast(Modality, modality))
    if kept != UNITS[modality] and (is_lead(name) or is_electrode(name)):
        raise UnreadableError(f"unit {unit or 'none'}: cannot be turned into {UNITS[modality]}")
    # What is asked for by a name that is no lead and no electrode, such as a temperature, stays in its own unit.
    return factor
