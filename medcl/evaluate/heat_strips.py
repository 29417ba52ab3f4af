"""How much each sample of a bag counts, or how it is scored, where that is learned: a strip for each test item."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medcl.evaluate.cells import read
from medcl.evaluate.experiment import Planned
from medcl.evaluate.tasks.base import Floats, Rows, Task
from medcl.evaluate.wording import arm_name
from medcl.show.images import CIVIDIS, data_uri, png

MOST, WIDTH, HEIGHT, GAP = 40, 240, 8, 2
"""Strips; pixels of a strip across and down, and between two."""
HIGHEST = 4.0
"""Times an even share, from which on a sample has the brightest colour."""
EVEN = f"Dark blue is a weight of 0, yellow {HIGHEST:g} times an even share or more."


@dataclass(frozen=True)
class HeatStrips:
    """Strips of the test items of one model.

    Args:
        title: which model.
        caption: how to read them.
        image: data URI.
    """

    title: str
    caption: str
    image: str


def heat_strips(models: Sequence[Planned], task: Task, test: Rows, plural: str, folder: Path) -> list[HeatStrips]:
    """Of every run and protocol the model of repeat 1 with the most labels, in the first fold.

    Args:
        models: finished.
        task: their labels.
        test: (items,) of the first fold.
        plural: what items are called.
        folder: of the cells.
    """
    chosen = {
        (one.protocol, one.arm.name): one
        for one in models
        if one.arm.info.kind == "run" and one.repeat == 0 and one.fold == models[0].fold
    }
    found = []
    for (protocol, _), one in chosen.items():
        arrays = read(folder, one.cell.key)
        if "attended" not in arrays:
            continue
        classes = task.classes_of(test)
        # Items of one class stand together, the likeliest first.
        likely = arrays["test"].reshape(len(test), -1)[:, -1]
        order = np.lexsort((-likely, -classes.argmax(axis=1) if classes.size else -likely))
        counts = arrays["attended"]
        scored = "instances" in arrays
        values = arrays["instances"] if scored else arrays["attention"] * np.repeat(counts, counts)
        highest = 1.0 if scored else HIGHEST
        image = strips(values / highest, counts, order[:MOST])
        scale = f"Dark blue is a score of 0 of {task.class_names[-1]}, yellow 1." if scored else EVEN
        title = f"{arm_name(protocol, one.arm.info)}, {one.subset.label} labelled"
        caption = (
            f"{min(len(test), MOST)} of {len(test)} test {plural}, a row each, the last class first and in it the "
            f"highest prediction; samples from left to right in the order of the records. {scale}"
        )
        found.append(HeatStrips(title, caption, data_uri(png(image, max(image.shape[:2]), smooth=False))))
    return found


def strips(values: Floats, counts: Rows, order: Rows) -> NDArray[np.uint8]:
    """Draw values as colours.

    Args:
        values: (N,) of the samples of all items: 0 is dark blue, 1 and more yellow.
        counts: (items,) number of samples of each.
        order: (rows,) items that are drawn.

    Returns:
        (height, WIDTH, 3); where an item has more samples than a strip has pixels, a pixel is the highest of its own.
    """
    first = np.cumsum(counts) - counts
    image = np.full((len(order) * (HEIGHT + GAP), WIDTH, 3), 255, dtype=np.uint8)
    levels = np.linspace(0, 1, len(CIVIDIS))
    for row, item in enumerate(order.tolist()):
        own = values[first[item] : first[item] + counts[item]]
        starts = np.arange(WIDTH) * len(own) // WIDTH
        ends = np.maximum(starts + 1, -(-(np.arange(1, WIDTH + 1) * len(own)) // WIDTH))
        shown = np.array([own[start:end].max() for start, end in zip(starts, ends, strict=True)])
        colours = np.column_stack([np.interp(shown, levels, channel) for channel in np.array(CIVIDIS).T])
        image[row * (HEIGHT + GAP) : row * (HEIGHT + GAP) + HEIGHT] = np.rint(colours)
    return image
