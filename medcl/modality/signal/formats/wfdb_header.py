"""The text of a WFDB header (header(5) of the WFDB Applications Guide), with the defaults that the format defines."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from medcl.errors import UnreadableError, quoted
from medcl.modality.signal.channels import canonical_unit, numbered

NOTHING = "~"  # a segment in which nothing was recorded, or a signal without a file
RATE, GAIN, UNIT = 250.0, 200.0, "mV"
"""Defaults of the format: frames a second, digital values a unit, unit."""
_LARGEST = 1 << 24  # bytes of a header; one of a thousand segments has some 20 kB
_COUNT = r"\d{1,15}"
_RECORD = re.compile(
    rf"(?P<name>[^/\s]+?)(?:/(?P<segments>{_COUNT}))?[ \t]+(?P<signals>{_COUNT})(?:[ \t]+(?P<rest>.*))?"
)
_RATE = re.compile(r"(?P<rate>\d*\.?\d*(?:[eE][-+]?\d+)?)(?:/.*)?")
_FORMAT = rf"(?P<format>\d{{1,4}})(?:x(?P<per_frame>{_COUNT}))?(?::(?P<skew>{_COUNT}))?(?:\+(?P<offset>{_COUNT}))?"
_GAIN = rf"(?P<gain>[-+]?\d*\.?\d*(?:[eE][-+]?\d+)?)(?:\((?P<baseline>-?{_COUNT})\))?(?:/(?P<unit>\S*))?"
# ADC resolution, ADC zero, initial value, checksum and block size: whole numbers, as many as there are; then the name.
_SIGNAL = re.compile(
    rf"(?P<file>\S+)\s+{_FORMAT}(?:\s+(?=[-+.\d(/]){_GAIN}(?!\S))?"
    rf"(?P<numbers>(?:\s+[-+]?{_COUNT}(?!\S)){{0,5}})(?:\s+(?P<name>.*))?"
)


@dataclass(frozen=True)
class SignalLine:
    """One signal of a header.

    Args:
        file: that holds its samples, in the folder of the header; `~` for none.
        format: of storage.
        per_frame: samples a frame.
        skew: frames that it is behind the others in the file.
        byte_offset: of the first sample.
        gain: digital values a unit.
        calibrated: whether the header states a gain; 200 is what the format assumes.
        baseline: digital value of zero; the ADC zero where none is stated, which is 0 where none is.
        unit: in one spelling; mV where none is stated.
        initial: first digital value, from which format 8 counts; the ADC zero where none is stated.
        checksum: sum of the samples modulo 2**16; None where none was computed (0 stands for that).
        name: of the lead, unique in its header.
    """

    file: str
    format: str
    per_frame: int
    skew: int
    byte_offset: int
    gain: float
    calibrated: bool
    baseline: int
    unit: str
    initial: int
    checksum: int | None
    name: str


@dataclass(frozen=True)
class WfdbHeader:
    """A header.

    Args:
        rate: frames a second.
        frames: of the record; None where it is not stated.
        signals: of a record that is not divided.
        segments: name and frames of each, of a record that is.
    """

    rate: float
    frames: int | None
    signals: tuple[SignalLine, ...]
    segments: tuple[tuple[str, int], ...]


def parse(path: Path, unit: str = "") -> WfdbHeader:
    """Read the text of a header, with the defaults of the format where it is silent.

    What stands behind the number of samples (time and date, in whatever form) is not needed and not read. `unit` is
    that of signals whose line states none; mV, as the format has it, where it is empty.

    Raises:
        UnreadableError: it cannot be understood, or leads to files outside its folder.
    """
    if path.stat().st_size > _LARGEST:
        raise UnreadableError("damaged WFDB header: more than 16 MiB of text")
    content = path.read_bytes()
    lines = [line for line in map(str.strip, _text(content).splitlines()) if line and not line.startswith("#")]
    record = _RECORD.fullmatch(lines[0]) if lines else None
    if record is None:
        raise UnreadableError("not a WFDB header: the first line names no record and no number of signals")
    stated = int(record["segments"] or record["signals"])
    kind = "segment" if record["segments"] else "signal"
    if len(lines) - 1 != stated:
        raise UnreadableError(f"damaged WFDB header: it states {stated} {kind}s and describes {len(lines) - 1}")
    rate, frames = _rate_and_frames((record["rest"] or "").split())
    if record["segments"]:
        return WfdbHeader(rate, frames, (), tuple(_segment(line, number) for number, line in enumerate(lines[1:], 1)))
    signals = [_line(line, number, unit) for number, line in enumerate(lines[1:])]
    names = [line.name for line in signals]
    if len(set(names)) < len(names):
        signals = [replace(line, name=name) for line, name in zip(signals, numbered(names), strict=True)]
    return WfdbHeader(rate, frames, tuple(signals), ())


def _text(content: bytes) -> str:
    """WFDB headers are ASCII by definition; dropping the rest, as wfdb does, would turn a stated \u00b5V into V."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _rate_and_frames(fields: list[str]) -> tuple[float, int | None]:
    rate = RATE
    if fields:
        match = _RATE.fullmatch(fields[0])
        # A slash belongs to the counter frequency, but without a rate before it the field is none.
        if match is None or not match["rate"].strip("."):
            raise UnreadableError(f"unknown sampling rate: the header states {quoted(fields[0])}")
        rate = float(match["rate"])
    if len(fields) < 2 or re.search(r"[:/]|\d-", fields[1]):
        # A time or a date stands where the number of samples may be left out.
        return rate, None
    if not re.fullmatch(_COUNT, fields[1]):
        raise UnreadableError(f"damaged WFDB header: {quoted(fields[1])} is no number of samples")
    return rate, int(fields[1])


def _segment(text: str, number: int) -> tuple[str, int]:
    fields = text.split()
    if len(fields) < 2 or not re.fullmatch(_COUNT, fields[1]):
        raise UnreadableError(f"damaged WFDB header: the line of segment {number} has no name and length")
    return _inside(fields[0], f"segment {number}"), int(fields[1])


def _inside(name: str, what: str) -> str:
    """A name of a file in the folder of the header."""
    if "/" in name or "\\" in name or "\0" in name or name in (".", ".."):
        raise UnreadableError(f"the header leads outside its folder: the name of {what} is a path")
    return name


def _line(text: str, number: int, unit: str) -> SignalLine:
    match = _SIGNAL.fullmatch(text)
    if match is None:
        raise UnreadableError(f"damaged WFDB header: the line of signal {number} has no file and storage format")
    file, form, per_frame, skew, offset, gain, baseline, own_unit, numbers, name = match.groups()
    name = (name or "").strip()
    fields = list(map(int, numbers.split()))
    try:
        value = float(gain or 0)
    except ValueError:
        value = float("nan")
    if value != value or (gain is None and re.match(r"[-+.]?\d|\S*[/()]", name)):
        # A name may stand where the gain is left out, but this was one.
        field = name.split()[0] if gain is None else gain
        raise UnreadableError(f"damaged WFDB header: the gain of signal {number} is no number: {quoted(field)}")
    if per_frame is not None and int(per_frame) == 0:
        raise UnreadableError(f"damaged WFDB header: signal {number} has no sample in a frame")
    zero = fields[1] if len(fields) > 1 else 0
    return SignalLine(
        file=_inside(file, f"the file of signal {number}"),
        format=form,
        per_frame=int(per_frame or 1),
        skew=int(skew or 0),
        byte_offset=int(offset or 0),
        gain=value or GAIN,
        calibrated=value != 0,
        baseline=int(baseline or zero),
        unit=canonical_unit(own_unit or "") or unit or UNIT,
        initial=fields[2] if len(fields) > 2 else zero,
        checksum=(fields[3] or None) if len(fields) > 3 else None,
        name=name or f"signal {number}",
    )
