"""Signals in DICOM: 12-lead, general and ambulatory ECG, and others of the same structure, through pydicom."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.foreign import foreign
from medcl.modality.signal.channels import canonical_unit, numbered
from medcl.modality.signal.formats.channel_choice import (
    Channel,
    calibration_problem,
    choose,
    header_of,
    physical_signal,
)
from medcl.modality.signal.record import Signal, SignalHeader

_LEADS = {1: "I", 2: "II", **{number + 2: f"V{number}" for number in range(1, 8)}, 16: "X", 17: "Y", 18: "Z"}
_LEADS |= {61: "III", 62: "aVR", 63: "aVL", 64: "aVF"}
# 5.6.3-9-61 of SCP-ECG and 2:61 of ISO/IEEE 11073 are lead III: both count leads alike.
_LEAD_CODE = re.compile(r"(5\.6\.3-9-|2:)(\d+)")
_MEANING = re.compile(r"(lead )?(?P<name>[A-Za-z0-9]+)( \(.*\))?", re.IGNORECASE)
_TYPES = {(8, "SB"): "i1", (8, "UB"): "u1", (16, "SS"): "i2", (16, "US"): "u2", (32, "SL"): "i4", (32, "UL"): "u4"}


@dataclass(frozen=True)
class _Group:
    """A group of channels that were recorded together.

    Args:
        header: of the recording.
        kept: numbers of its channels in the group.
        samples: (channels, time) digital values of all channels.
        gain: (channels,) physical units a digital one, of all channels.
        baseline: (channels,) physical value of digital zero.
        padding: digital value that means "no sample"; None if there is none.
    """

    header: SignalHeader
    kept: list[int]
    samples: NDArray[Any]
    gain: NDArray[np.float64]
    baseline: NDArray[np.float64]
    padding: int | None


def read_header(path: Path) -> SignalHeader:
    """Read what a DICOM waveform says of itself.

    Of several groups of channels the longest is read: the rhythm, not the median beat.

    Returns:
        The header, with the ids of patient, study and series.

    Raises:
        UnreadableError: it is damaged, shorter than it says, or a rate or unit is missing.
    """
    return _read(path).header


def read_signal(path: Path) -> Signal:
    """Read a waveform: digital value x sensitivity x correction factor + baseline (PS3.3 C.10.9.1.4).

    Returns:
        Physical values, float32: voltages of an ECG in mV, of an EEG in uV; NaN where the file says "no sample".
    """
    group = _read(path)
    digital = group.samples[group.kept]
    values = digital * group.gain[group.kept, None] + group.baseline[group.kept, None]
    if group.padding is not None:
        values[digital == group.padding] = np.nan
    return physical_signal(group.header, values)


def _read(path: Path) -> _Group:
    with foreign("pydicom", "DICOM"):
        dataset = pydicom.dcmread(path, force=True)
        groups = list(dataset.get("WaveformSequence") or ())
        if not groups:
            raise UnreadableError("no signal: a DICOM waveform without its sequence of samples")
        lengths = [_duration(group) for group in groups]
        chosen = groups[int(np.argmax(lengths))]
        little = dataset.original_encoding[1] is not False
        ids = {level: str(dataset.get(name) or "").strip() for level, name in _IDS.items()}
        return _group(path, chosen, little, {k: v for k, v in ids.items() if v}, len(groups) - 1)


_IDS = {"patient": "PatientID", "study": "StudyInstanceUID", "series": "SeriesInstanceUID"}


def _duration(group: Any) -> float:
    rate = float(group.get("SamplingFrequency") or 0)
    return int(group.get("NumberOfWaveformSamples") or 0) / rate if rate > 0 and math.isfinite(rate) else 0.0


def _group(path: Path, group: Any, little: bool, ids: dict[str, str], others: int) -> _Group:
    count, length = int(group.NumberOfWaveformChannels), int(group.NumberOfWaveformSamples)
    kind = _TYPES.get((int(group.WaveformBitsAllocated), str(group.WaveformSampleInterpretation)))
    if kind is None:
        raise UnreadableError("samples in a type that is not read (mu-law and A-law are for sound)")
    order = "<" if little else ">"
    content = bytes(group.WaveformData)
    expected = count * length * int(group.WaveformBitsAllocated) // 8
    definitions = list(group.get("ChannelDefinitionSequence") or ())
    if len(definitions) != count:
        raise UnreadableError(f"damaged header: it states {count} channels and describes {len(definitions)}")
    if len(content) < expected:
        raise UnreadableError(f"truncated file: {len(content)} bytes of samples, the header says {expected}")
    samples = np.frombuffer(content[:expected], order + kind).reshape(length, count).T
    rate = float(group.get("SamplingFrequency") or 0)
    factors = ("ChannelSensitivity", "ChannelSensitivityCorrectionFactor")
    gain = np.array([math.prod(_number(one, factor, 1) for factor in factors) for one in definitions])
    units = [_unit(one) for one in definitions]
    names = numbered([_name(one, i) for i, one in enumerate(definitions)])
    every = [Channel(n, u, rate, calibration_problem(u, g)) for n, u, g in zip(names, units, gain, strict=True)]
    choice = choose(every)
    flags = (*choice.flags, *((f"groups of channels aside: {others}",) if others else ()))
    header = header_of(path, "dicom-waveform", every, choice, length, "ecg", flags, ids)
    padding = group.get("WaveformPaddingValue")
    return _Group(
        header,
        list(choice.kept),
        samples,
        gain,
        np.array([_number(one, "ChannelBaseline", 0) for one in definitions]),
        None if padding is None else _padding(padding, order + kind),
    )


def _number(definition: Any, keyword: str, default: float) -> float:
    value = definition.get(keyword)
    return default if value in (None, "") else float(value)


def _unit(definition: Any) -> str:
    """Where no sensitivity is stated the numbers have no unit."""
    codes = definition.get("ChannelSensitivityUnitsSequence") or ()
    if definition.get("ChannelSensitivity") in (None, "") or not codes:
        return ""
    return canonical_unit(str(codes[0].get("CodeValue") or ""))


def _name(definition: Any, number: int) -> str:
    """Of the lead, by its code; else what stands beside the code, or the channel's label."""
    sources = definition.get("ChannelSourceSequence") or ()
    code = str(sources[0].get("CodeValue") or "") if sources else ""
    found = _LEAD_CODE.fullmatch(code)
    if found and int(found[2]) in _LEADS:
        return _LEADS[int(found[2])]
    meaning = str(sources[0].get("CodeMeaning") or "").strip() if sources else ""
    known = _MEANING.fullmatch(meaning)
    return known["name"] if known else meaning or str(definition.get("ChannelLabel") or "").strip() or f"{number + 1}"


def _padding(value: Any, kind: str) -> int:
    if isinstance(value, bytes):
        size = np.dtype(kind).itemsize
        return int(np.frombuffer(value[:size].ljust(size, b"\0"), kind)[0])
    return int(value)
