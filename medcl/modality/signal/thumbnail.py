"""Strips of recordings: lines drawn on paper, and an EEG as a bipolar montage."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medcl.modality.signal.record import Signal, kept_unit

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

FINER = 4


def polyline(
    draw: "ImageDraw.ImageDraw", x: NDArray[np.float64], y: NDArray[np.float64], colour: int, width: int
) -> None:
    """Draw a line through points, with a gap where one is no number."""
    missing = np.flatnonzero(~np.isfinite(y))
    for part in np.split(np.arange(len(y)), missing):
        part = part[np.isfinite(y[part])]
        if len(part) > 1:
            draw.line(np.column_stack([x[part], y[part]]).ravel().tolist(), fill=colour, width=width)


def inked(width: int, height: int, lines: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> "Image.Image":
    """Lines as a mask of ink: 255 where there is all of it.

    Args:
        width: of the mask in pixels.
        height: of the mask.
        lines: (x, y) of each in pixels, NaN where there is a gap.
    """
    from PIL import Image, ImageDraw

    mask = Image.new("L", (width * FINER, height * FINER))
    draw = ImageDraw.Draw(mask)
    for x, y in lines:
        polyline(draw, x * FINER, y * FINER, 255, round(1.25 * FINER))
    return mask.reduce(FINER)


def thinned(values: NDArray[np.float64], columns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A long line (samples,) as the lowest and highest value of each of some columns, so that no spike is lost.

    Returns:
        (p,) places in samples, (p,) values; the line itself where it is short.
    """
    n = len(values)
    if n <= 4 * columns:
        return np.arange(n, dtype=np.float64), values
    block = -(-n // columns)
    padded = np.pad(values, (0, -n % block), constant_values=np.nan).reshape(-1, block)
    filled_low, filled_high = np.where(np.isnan(padded), np.inf, padded), np.where(np.isnan(padded), -np.inf, padded)
    first, second = filled_low.argmin(1), filled_high.argmax(1)
    places = np.sort(np.column_stack([first, second]), axis=1) + block * np.arange(len(padded))[:, None]
    chosen = places.ravel()
    return chosen.astype(np.float64), padded.ravel()[chosen]


DOUBLE_BANANA = tuple(
    tuple(pair.split("-"))
    for chain in (
        "FP1-F7 F7-T7 T7-P7 P7-O1",
        "FP1-F3 F3-C3 C3-P3 P3-O1",
        "FZ-CZ CZ-PZ",
        "FP2-F4 F4-C4 C4-P4 P4-O2",
        "FP2-F8 F8-T8 T8-P8 P8-O2",
    )
    for pair in chain.split()
)
"""The longitudinal bipolar montage: left temporal and parasagittal chain, midline, right ones."""
OLD_NAMES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
SECONDS, MOST = 10.0, 18
EEG_PAPER, RULE, EEG_INK = (255, 255, 255), (222, 226, 230), (20, 32, 60)
_ROW, _NAME = 10, 40  # pixels
_EEG_COLOURS = 8


def montage_strip(signal: Signal, start: float, width: int) -> "Image.Image":
    """Draw up to ten seconds.

    Returns:
        Few colours: a row for each pair of `DOUBLE_BANANA`; of other electrodes the first ones as they were recorded. A
        line every second; the bar at the lower right is as high as its number of microvolts.
    """
    from PIL import Image, ImageDraw

    rate = signal.sampling_rate
    first = round(start * rate)
    names, rows = montage(signal)
    part = rows[:, first : first + int(SECONDS * rate)]
    with np.errstate(all="ignore"):
        part = part - np.nanmedian(np.where(np.isfinite(part), part, np.nan), axis=1, keepdims=True)
    spread = np.abs(part[np.isfinite(part)])
    swing = float(np.percentile(spread, 99)) if spread.size else 0.0
    scale = _nice(swing) if swing > 0 else 1.0  # microvolt a row
    height, span = (len(names) + 2) * _ROW, width - _NAME - 4
    paper = Image.new("RGB", (width, height), EEG_PAPER)
    draw = ImageDraw.Draw(paper)
    seconds = max(part.shape[1] / rate, 1e-9)
    for second in np.arange(0, seconds + 1e-9):
        x = _NAME + second / seconds * span
        draw.line([(x, 0), (x, height)], fill=RULE)
    lines = []
    for number, values in enumerate(part):
        at, thin = thinned(values, span)
        # Electrodes are drawn negative upwards.
        lines.append((_NAME + at / max(1, part.shape[1]) * span, (number + 1.25) * _ROW + thin / scale * _ROW))
    paper.paste(EEG_INK, mask=inked(width, height, lines))
    for number, name in enumerate(names):
        draw.text((2, (number + 0.7) * _ROW), name[:9], fill=EEG_INK, font_size=8)
    if kept_unit(signal.units[0], "eeg")[0] == "uV":
        draw.line([(width - 3, height - 2 - _ROW), (width - 3, height - 2)], fill=EEG_INK)
        draw.text((width - 6, height - 1), f"{scale:g} uV", fill=EEG_INK, font_size=8, anchor="rb")
    return paper.quantize(_EEG_COLOURS)


def montage(signal: Signal) -> tuple[list[str], NDArray[np.float64]]:
    """Rows of a montage.

    Returns:
        Their names, and (rows, time) microvolt.
    """
    physical = signal.physical().astype(np.float64)
    factors = [factor if kept == "uV" else 1.0 for kept, factor in (kept_unit(unit, "eeg") for unit in signal.units)]
    physical *= np.array(factors)[:, None]
    places = {electrode(name): number for number, name in enumerate(signal.channels)}
    pairs = [pair for pair in DOUBLE_BANANA if all(one in places for one in pair)]
    if len(pairs) >= 4:
        rows = [physical[places[one]] - physical[places[other]] for one, other in pairs]
        return ["-".join(pair) for pair in pairs], np.array(rows)
    return [name.strip() for name in signal.channels[:MOST]], physical[:MOST]


def electrode(name: str) -> str:
    """`FP1` of `Fp1`, `EEG Fp1-REF` and `Fp1.`, in today's names: T3 is T7. A bipolar channel stays as it is."""
    plain = re.sub(r"^EEG\s+", "", name.strip().upper()).strip(". ")
    plain = re.sub(r"-(REF|LE|AR|AVG|A1|A2|M1|M2)$", "", plain)
    return OLD_NAMES.get(plain, plain)


def _nice(value: float) -> float:
    """The next of 1, 2, 5, 10, ... at or above a value."""
    size = 10.0 ** np.floor(np.log10(value))
    return float(next(step * size for step in (1, 2, 5, 10) if step * size >= value * 0.999))
