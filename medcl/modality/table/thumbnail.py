"""A table as a small card: a line a variable with its value and unit; in time a sparkline and the last value."""

from typing import TYPE_CHECKING

import numpy as np

from medcl.modality.table.record import Floats, PatientTable

if TYPE_CHECKING:
    from PIL import Image

PAPER, INK, FAINT, LINE = (255, 255, 255), (20, 20, 30), (120, 120, 130), (30, 90, 160)
LINES = 12
"""Variables that are shown, those with most values first."""
_HEIGHT, _MARGIN, _FINER = 18, 6, 4


def card(record: PatientTable, width: int) -> "Image.Image":
    """Draw a record.

    Text without levels in the side-car is not shown: it may be a name.

    Returns:
        An image `width` wide: up to `LINES` variables in the order of the table, and how many more there are.
    """
    from PIL import Image, ImageDraw

    shown = [i for i, one in enumerate(record.variables) if one.classes is None or one.levels]
    counts = (~np.isnan(record.values)).sum(axis=0)
    chosen = sorted(sorted(shown, key=lambda i: -counts[i])[:LINES])
    rest = len(record.variables) - len(chosen)
    height = (len(chosen) + bool(rest)) * _HEIGHT + 2 * _MARGIN
    image = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(image)
    for line, i in enumerate(chosen):
        top, variable = _MARGIN + line * _HEIGHT, record.variables[i]
        value = _value(record, i)
        name = _plain(variable.name)
        while len(name) > 1 and draw.textlength(name) > width * 0.4:
            name = name[:-1]
        draw.text((_MARGIN, top), name, fill=INK)
        left = width - _MARGIN - int(draw.textlength(_plain(value)))
        draw.text((left, top), _plain(value), fill=INK)
        if record.times is not None and record.variables[i].classes is None:
            box = (int(width * 0.42), top + 3, int(width * 0.68), top + _HEIGHT - 4)
            _sparkline(image, record.times, record.values[:, i], box)
    if rest:
        draw.text((_MARGIN, _MARGIN + len(chosen) * _HEIGHT), f"and {rest} more", fill=FAINT)
    return image


def _value(record: PatientTable, number: int) -> str:
    """The last value of a variable with its unit; a dash where there is none."""
    known = record.values[~np.isnan(record.values[:, number]), number]
    variable = record.variables[number]
    if not len(known):
        return "-"
    return f"{known[-1]:.4g} {variable.unit}" if variable.classes is None else variable.classes[int(known[-1])]


def _plain(text: str) -> str:
    """What the built-in font has letters for."""
    return text.encode("latin-1", "replace").decode("latin-1")


def _sparkline(image: "Image.Image", times: Floats, values: Floats, box: tuple[int, int, int, int]) -> None:
    """A line through the values over the time of the whole table, drawn larger and reduced, so that it is smooth."""
    from PIL import Image, ImageDraw

    left, top, right, bottom = box
    there = ~np.isnan(values)
    if not there.any():
        return
    size = ((right - left) * _FINER, (bottom - top) * _FINER)
    span = max(float(times[-1] - times[0]), 1e-9)
    low, high = float(values[there].min()), float(values[there].max())
    # A margin of one line, so that the highest and the lowest value are seen whole.
    x = _FINER + (times[there] - times[0]) / span * (size[0] - 2 * _FINER)
    y = _FINER + (high - values[there]) / max(high - low, 1e-9) * (size[1] - 2 * _FINER)
    if high <= low:
        y[:] = size[1] / 2
    mask = Image.new("L", size)
    points = np.column_stack([x, y])
    ImageDraw.Draw(mask).line(points.ravel().tolist(), fill=255, width=_FINER, joint="curve")
    for at in (points[0], points[-1]):
        ImageDraw.Draw(mask).ellipse([*(at - _FINER), *(at + _FINER)], fill=255)
    image.paste(LINE, (left, top), mask.reduce(_FINER))
