"""An ECG on its paper: 25 mm a second and 10 mm a millivolt, thin lines every mm, thick ones every 5 mm."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medcl.modality.signal import traces
from medcl.modality.signal.record import Signal, kept_unit

if TYPE_CHECKING:
    from PIL import Image

MM_A_SECOND, MM_A_MILLIVOLT = 25.0, 10.0
PAPER, THIN, THICK, INK = (255, 250, 248), (250, 222, 218), (240, 178, 172), (20, 20, 30)
USUAL = ("ii", "v1", "v5", "i", "v2", "iii")
LEADS = 3
_LEAD_MM, _PULSE_MM = 15, 10  # height of a lead; width of the calibration pulse with its margins
_COLOURS = 24


def strip(signal: Signal, start: float, width: int) -> "Image.Image":
    """Draw some leads.

    Args:
        signal: in millivolt, or a unit that can be turned into it; leads in another unit are drawn as tall as fits,
            without the calibration pulse that would lie.
        start: seconds from the beginning.
        width: of the image in pixels; at 3 pixels a mm, 300 pixels are 3.6 seconds.

    Returns:
        Few colours: three leads below each other (II, V1 and V5 where they are known), each behind a pulse of 1 mV.
    """
    from PIL import Image, ImageDraw

    mm = 3 if width >= 180 else 2  # pixels
    chosen = leads(signal)
    height = (len(chosen) * _LEAD_MM + 5) * mm
    paper = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(paper)
    for every, colour in ((1, THIN), (5, THICK)):
        for x in range(0, width, every * mm):
            draw.line([(x, 0), (x, height)], fill=colour)
        for y in range(0, height, every * mm):
            draw.line([(0, y), (width, y)], fill=colour)
    first = round(start * signal.sampling_rate)
    count = int((width / mm - _PULSE_MM) / MM_A_SECOND * signal.sampling_rate) + 1
    physical = signal.physical()
    lines, names = [], []
    for place, lead in enumerate(chosen):
        level = ((place + 0.5) * _LEAD_MM + 5) * mm
        millivolt, calibrated = in_millivolt(physical[lead], signal.units[lead])
        part = millivolt[first : first + count]
        at, values = traces.thinned(part, width)
        lines.append(
            (
                (_PULSE_MM + at / signal.sampling_rate * MM_A_SECOND) * mm,
                level - values * MM_A_MILLIVOLT * mm,
            )
        )
        if calibrated:
            pulse = np.array([[1, 0], [3, 0], [3, 10], [8, 10], [8, 0], [_PULSE_MM, 0]], dtype=np.float64)
            lines.append((pulse[:, 0] * mm, level - pulse[:, 1] * mm))
        names.append((level, signal.channels[lead]))
    traces.over(paper, lines, INK)
    for level, name in names:
        draw.text((_PULSE_MM * mm + 3, level - 9 * mm), name[:6], fill=INK)
    return paper.quantize(_COLOURS)


def leads(signal: Signal) -> list[int]:
    """The channels that are drawn: up to three, the usual ones first."""
    names = [name.strip().lower().removeprefix("lead ").removeprefix("ecg ") for name in signal.channels]
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
