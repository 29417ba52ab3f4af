"""The text of a WFDB header, by the grammar of the wfdb package."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from wfdb.io import header as grammar

from medcl.errors import UnreadableError
from medcl.readers.signal import canonical_unit

NOTHING = "~"  # a segment in which nothing was recorded


@dataclass(frozen=True)
class Line:
    """One signal of a header.

    Args:
        file: that holds its samples.
        format: of storage.
        per_frame: samples a frame.
        skew: frames that it is behind the others in the file.
        byte_offset: of the first sample.
        unit: in one spelling; empty where none is stated.
        checksum: sum of the samples modulo 2**16, if stated.
        name: of the lead.
    """

    file: str
    format: str
    per_frame: int
    skew: int
    byte_offset: int
    unit: str
    checksum: int | None
    name: str


@dataclass(frozen=True)
class Header:
    """A header as its text states it.

    Args:
        rate: frames a second; None where none is stated.
        frames: of the record; None where it is not stated.
        signals: of a record that is not divided.
        segments: name and frames of each, of a record that is.
    """

    rate: float | None
    frames: int | None
    signals: tuple[Line, ...]
    segments: tuple[tuple[str, int], ...]


def parse(path: Path) -> Header:
    """Read the text of a header.

    Args:
        path: x.hea.

    Returns:
        What it states, and no default where it is silent.

    Raises:
        UnreadableError: it cannot be read, or breaks the grammar.
    """
    try:
        lines, _ = grammar.parse_header_content(_text(path.read_bytes()))
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}") from error
    record = grammar.rx_record.match(lines[0]) if lines else None
    if record is None:
        raise UnreadableError("not a WFDB header: the first line names no record")
    try:
        rate = float(record["fs"]) if record["fs"] else None
        frames = int(record["sig_len"]) if record["sig_len"] else None
        if record["base_time"]:
            grammar.wfdb_strptime(record["base_time"])
        if record["base_date"]:
            datetime.strptime(record["base_date"], "%d/%m/%Y")
        stated = int(record["n_seg"] or record["n_sig"])
        kind = "segment" if record["n_seg"] else "signal"
        if len(lines) - 1 != stated:
            raise UnreadableError(f"damaged WFDB header: it states {stated} {kind}s and describes {len(lines) - 1}")
        if record["n_seg"]:
            return Header(rate, frames, (), tuple(_segment(line) for line in lines[1:]))
        return Header(rate, frames, tuple(_line(line, number) for number, line in enumerate(lines[1:])), ())
    except ValueError as error:
        raise UnreadableError(f"damaged WFDB header: {error}") from error


def _text(content: bytes) -> str:
    """WFDB headers are ASCII by definition; dropping the rest, as wfdb does, would turn a stated \u00b5V into V."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _segment(text: str) -> tuple[str, int]:
    match = grammar.rx_segment.match(text)
    if match is None:
        raise UnreadableError("damaged WFDB header: a segment line breaks the grammar")
    return match["seg_name"], int(match["seg_len"])


def _line(text: str, number: int) -> Line:
    match = grammar.rx_signal.match(text)
    if match is None:
        raise UnreadableError(f"damaged WFDB header: the line of signal {number} breaks the grammar")
    return Line(
        file=match["file_name"],
        format=match["fmt"],
        per_frame=int(match["samps_per_frame"] or 1),
        skew=int(match["skew"] or 0),
        byte_offset=int(match["byte_offset"] or 0),
        unit=canonical_unit(match["units"]),
        checksum=int(match["checksum"]) if match["checksum"] else None,
        name=match["sig_name"].strip() or f"signal {number}",
    )


def samples_per_frame(header: Header) -> int:
    """How many samples of each signal stand in a frame, that is, at one tick of the stated rate.

    Args:
        header: of a record that is not divided.

    Returns:
        The number; 1 where there is no signal.

    Raises:
        UnreadableError: the signals differ in it, so they differ in sampling rate.
    """
    counts = {line.per_frame for line in header.signals}
    if len(counts) > 1:
        rates = ", ".join(f"{(header.rate or 0) * count:g}" for count in sorted(counts))
        raise UnreadableError(
            f"several sampling rates: signals of {rates} Hz in one record; they are not resampled here"
        )
    return counts.pop() if counts else 1
