"""An ECG on its paper: 25 mm a second, 10 mm a millivolt, some leads as a strip or all of them as a recording."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medcl.modality.signal.record import Signal, kept_unit
from medcl.modality.signal.thumbnail import inked, thinned

if TYPE_CHECKING:
    from PIL import Image

MM_A_SECOND, MM_A_MILLIVOLT = 25.0, 10.0
GRID = np.array([(255, 250, 248), (250, 222, 218), (240, 178, 172)])
"""Colours of the paper, of its lines every millimetre, and of those every 5 mm."""
INK = np.array([20, 20, 30])
USUAL = ("ii", "v1", "v5", "i", "v2", "iii")
STANDARD = (("i", "ii", "iii"), ("avr", "avl", "avf"), ("v1", "v2", "v3"), ("v4", "v5", "v6"))
"""The columns of a recording of 12 leads; below them lead II runs through."""
LEADS, MOST, SECONDS = 3, 16, 10.0
TALLEST = 48.0
"""Millimetres of a row at most: beyond, the gain is halved, as an electrocardiograph does."""
_SHADES = 4  # of ink: with the paper's colours few enough for 4 bits a pixel
_LETTERS, _LABEL, _FOOT = 3.2, 4.4, 5.0  # mm: size of letters, height of a label with its gap, and of the bottom line
_PULSE = np.array([[1, 0], [3, 0], [3, 10], [8, 10], [8, 0], [10, 0]], dtype=np.float64)  # mm: 5 mm wide, 1 mV high


@dataclass(frozen=True)
class Trace:
    """A lead in a row.

    Args:
        row: number of the row.
        lead: number of the channel.
        start: seconds from the beginning of the recording.
        seconds: length.
        offset: seconds of paper before it.
    """

    row: int
    lead: int
    start: float
    seconds: float
    offset: float = 0.0


def ecg_strip(signal: Signal, start: float, width: int) -> "Image.Image":
    """Draw some leads.

    Args:
        signal: in millivolt, or a unit that can be turned into it; leads in another unit are drawn as tall as fits,
            without the calibration pulse.
        start: seconds from the beginning.
        width: of the image in pixels; at 3 pixels a mm, 300 pixels are 3.6 seconds.

    Returns:
        Few colours: three leads below each other (II, V1 and V5 where they are known).
    """
    scale = 3 if width >= 180 else 2
    seconds = max(width / scale - _PULSE[-1, 0], 1.0) / MM_A_SECOND
    traces = [Trace(row, lead, start, seconds) for row, lead in enumerate(leads(signal))]
    return _drawn(signal, traces, width, scale)


def whole_ecg(signal: Signal, start: float, scale: int = 3) -> "Image.Image | None":
    """Draw all leads of ten seconds.

    Args:
        signal: see `ecg_strip`.
        start: seconds from the beginning.
        scale: pixels a mm.

    Returns:
        Of 12 standard leads four columns of three leads with 2.5 s each, and lead II below them; of others a row each,
        `MOST` at most. None where a strip shows all leads.
    """
    if len(signal.channels) <= LEADS:
        return None
    names = _names(signal)
    seconds = min(SECONDS, max(signal.data.shape[1] / signal.sampling_rate - start, 0.5))
    if all(name in names for column in STANDARD for name in column):
        part = seconds / len(STANDARD)
        traces = [
            Trace(row, names.index(name), start + part * place, part, part * place)
            for place, column in enumerate(STANDARD)
            for row, name in enumerate(column)
        ]
        traces.append(Trace(len(STANDARD[0]), names.index("ii"), start, seconds))
    else:
        traces = [Trace(row, row, start, seconds) for row in range(min(len(names), MOST))]
    return _drawn(signal, traces, round((_PULSE[-1, 0] + seconds * MM_A_SECOND) * scale), scale)


def leads(signal: Signal) -> list[int]:
    """The channels of a strip: up to three, the usual ones first."""
    names = _names(signal)
    known = [names.index(name) for name in USUAL if name in names]
    rest = [number for number in range(len(names)) if number not in known]
    return sorted((known + rest)[:LEADS])


def in_millivolt(values: NDArray[np.float32], unit: str) -> tuple[NDArray[np.float64], bool]:
    """A lead about its median.

    Returns:
        (time,) millivolt and True; of another unit than a voltage, as many "millivolt" as fit the height, and False.
    """
    centred = values.astype(np.float64)
    present = centred[np.isfinite(centred)]
    centred -= np.median(present) if present.size else 0
    kept, factor = kept_unit(unit, "ecg")
    if kept == "mV":
        return centred * factor, True
    largest = float(np.max(np.abs(present - np.median(present)))) if present.size else 0.0
    return centred * (0.9 / largest if largest else 1.0), False


def _names(signal: Signal) -> list[str]:
    return [name.strip().lower().removeprefix("lead ").removeprefix("ecg ") for name in signal.channels]


def _drawn(signal: Signal, traces: Sequence[Trace], width: int, scale: int) -> "Image.Image":
    """Draw traces.

    A row is as high as its traces reach above and below the baseline. The label of a trace stands above the highest
    point of its beginning, so that it covers no wave.
    """
    from PIL import ImageDraw, ImageFont

    font = ImageFont.load_default(_LETTERS * scale)
    rate, physical = signal.sampling_rate, signal.physical()
    held = {trace.lead: in_millivolt(physical[trace.lead], signal.units[trace.lead]) for trace in traces}
    calibrated = all(known for _, known in held.values())
    parts = []
    for trace in traces:
        first = round(trace.start * rate)
        parts.append(held[trace.lead][0][first : first + int(trace.seconds * rate) + 1])
    labels = [re.sub(r"^AV(?=[RLF]$)", "aV", signal.channels[trace.lead].strip()[:12]) for trace in traces]
    gain, spans = _rows(traces, parts, [font.getlength(one) / scale for one in labels], rate)
    levels = np.cumsum([0.0, *(up + down for up, down in spans[:-1])]) + [up for up, _ in spans]
    height = round((sum(up + down for up, down in spans) + _FOOT) * scale)

    lines, words = [], []
    for trace, part, label in zip(traces, parts, labels, strict=True):
        level = levels[trace.row] * scale
        left = (_PULSE[-1, 0] + trace.offset * MM_A_SECOND) * scale
        at, values = thinned(part, width)
        lines.append((left + at / rate * MM_A_SECOND * scale, level - values * gain * scale))
        if not trace.offset and held[trace.lead][1]:
            lines.append((_PULSE[:, 0] * scale, level - _PULSE[:, 1] * gain / MM_A_MILLIVOLT * scale))
        words.append((left + scale, level - _top(part, font.getlength(label) / scale, rate, gain) * scale, label))
    ink = inked(width, height, lines)
    draw = ImageDraw.Draw(ink)
    for x, y, label in words:
        draw.text((x, y), label, fill=255, font=font, anchor="ls")
    said = f"{MM_A_SECOND:g} mm/s   " + (f"{gain:g} mm/mV" if calibrated else "no unit of voltage")
    draw.text((scale, height - scale), said, fill=255, font=font, anchor="ls")
    return _on_paper(np.asarray(ink), scale)


def _on_paper(ink: NDArray[np.uint8], scale: int) -> "Image.Image":
    """Ink (rows, columns) from 0 to 255 on lined paper, in the few colours that there are."""
    from PIL import Image

    paper = np.zeros(ink.shape, dtype=np.uint8)
    for every, colour in ((scale, 1), (5 * scale, 2)):
        paper[::every] = paper[:, ::every] = colour
    shares = np.arange(_SHADES)[:, None] / (_SHADES - 1)
    palette = np.concatenate([(1 - shares) * colour + shares * INK for colour in GRID])
    drawn = Image.fromarray(paper * _SHADES + np.rint(ink * ((_SHADES - 1) / 255)).astype(np.uint8))
    drawn.putpalette(np.rint(palette).astype(np.uint8).tobytes())
    return drawn


def _rows(
    traces: Sequence[Trace], parts: Sequence[NDArray[np.float64]], lengths: Sequence[float], rate: float
) -> tuple[float, list[tuple[float, float]]]:
    """The gain in mm a millivolt, and how far each row reaches above and below its baseline in mm."""
    gain = MM_A_MILLIVOLT
    while True:
        spans = [(gain, 1.0)] * (max(trace.row for trace in traces) + 1)  # the calibration pulse
        for trace, part, length in zip(traces, parts, lengths, strict=True):
            present = part[np.isfinite(part)] * gain
            up, down = spans[trace.row]
            highest, lowest = (float(present.max()), float(present.min())) if present.size else (0.0, 0.0)
            up = max(up, highest, _top(part, length, rate, gain) + _LETTERS)
            spans[trace.row] = up, max(down, -lowest)
        # Air, and whole millimetres: a baseline lies on a line of the paper.
        spans = [(float(np.ceil(up + 1)), float(np.ceil(down + 1))) for up, down in spans]
        if max(up + down for up, down in spans) <= TALLEST or gain < 1e-6:
            return gain, spans
        gain /= 2


def _top(part: NDArray[np.float64], length: float, rate: float, gain: float) -> float:
    """Millimetres above the baseline at which a label of some length in mm covers nothing of a trace."""
    below = part[: int((length + 2) / MM_A_SECOND * rate) + 1]
    below = below[np.isfinite(below)]
    return (float(max(below.max(), 0.0)) if below.size else 0.0) * gain + (_LABEL - _LETTERS)
