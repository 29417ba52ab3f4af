"""Annotations of EDF+ and BDF+, and the triggers of BDF."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.signal.channels import without_person
from medcl.modality.signal.epochs import Event, Events
from medcl.modality.signal.formats import edf
from medcl.modality.signal.formats.edf_header import EdfHeader, parse

_LIST = re.compile(rb"([+-]\d{1,12}(?:\.\d{0,40})?)(?:\x15[^\x14]*)?\x14([^\0]*)\x14\0")
_STATUS = "status"
_CODES = 0xFFFF  # of the status channel of BDF; the bits above tell of the recorder


def read_events(path: Path) -> Events:
    """Read the annotations of an EDF+ or BDF+, or else where the status channel of a BDF takes a new code above 0.

    Times are those of the samples: what happened in a gap of the recording is left out.

    Raises:
        UnreadableError: it is damaged, or has neither.
    """
    header = parse(path)
    notes = [i for i, channel in enumerate(header.channels) if channel is None]
    if not notes:
        return _of_status(path, header)
    texts, onsets = _lists(path, header, notes)
    stretches = tuple(float(record * header.duration) for record in edf.breaks(path, header))
    placed = [(name, _place(second, onsets, header.duration)) for name, second in texts]
    events = [Event(name, second) for name, second in placed if second is not None]
    names = without_person([one.name for one in events], header.patient)
    safe = [Event(name, one.second) for name, one in zip(names, events, strict=True)]
    return Events(tuple(sorted(safe, key=lambda one: one.second)), stretches)


def _lists(path: Path, header: EdfHeader, notes: list[int]) -> tuple[list[tuple[str, float]], NDArray[np.float64]]:
    """Texts with their times, and when each data record begins, (records,)."""
    frame, texts = int(header.begins[-1]) * header.width, []
    onsets = np.full(header.records, np.nan)
    with path.open("rb") as file:
        for record in range(header.records):
            for i in notes:
                file.seek(header.start + record * frame + int(header.begins[i]) * header.width)
                lists = _LIST.findall(file.read(header.samples[i] * header.width))
                # The first list of a record says when it begins; it has an empty text.
                if i == notes[0] and lists and not lists[0][1].strip(b"\x14"):
                    onsets[record] = float(lists[0][0])
                for second, written in lists:
                    said = [" ".join(one.decode("utf-8", "replace").split()) for one in written.split(b"\x14")]
                    texts += [(one, float(second)) for one in said if one]
    known = np.flatnonzero(np.isfinite(onsets))
    begin = onsets[known[0]] - known[0] * header.duration if len(known) else 0.0
    regular: NDArray[np.float64] = begin + np.arange(header.records, dtype=np.float64) * header.duration
    if not header.discontinuous:
        return texts, regular
    return texts, np.asarray(np.where(np.isfinite(onsets), onsets, regular), dtype=np.float64)


def _place(second: float, onsets: NDArray[np.float64], duration: float) -> float | None:
    record = int(np.searchsorted(onsets, second + 1e-9, side="right")) - 1
    within = second - onsets[record]
    return float(record * duration + within) if record >= 0 and within < duration else None


def _of_status(path: Path, header: EdfHeader) -> Events:
    named = [i for i, one in enumerate(header.channels) if one is not None and one.name.casefold() == _STATUS]
    if not named:
        raise UnreadableError("no events: it has no annotations (EDF+, BDF+) and no status channel (BDF)")
    codes = edf.samples_of(path, header, named[0]) & _CODES
    at = np.flatnonzero(np.diff(codes, prepend=codes[:1]) * (codes > 0))
    rate = header.samples[named[0]] / header.duration
    return Events(tuple(Event(str(codes[i]), float(i / rate)) for i in at.tolist()))
