"""Whether an encoder finds the place that a phrase speaks of, by boxes that are given."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from medcl.archive.manifest import Manifest
from medcl.archive.table import read_table
from medcl.embed import encoders
from medcl.embed.encoders import device
from medcl.errors import MedclError, UsageError
from medcl.evaluate.multimodal_space import tokenizer_of
from medcl.evaluate.multimodal_trials import CHANCE, Trial, Tried
from medcl.evaluate.results_tables import Queries
from medcl.modality.image.boxes import Box, region_of
from medcl.networks.grounding import phrase_maps
from medcl.stats.grounding import METRICS, by_chance, grounded
from medcl.stats.intervals import Measured
from medcl.stats.retrieval import Ints, QueryValues

COLUMNS = ("record", "sentence", "x", "y", "width", "height")
"""Of a table of boxes: the record or the path of its file, a phrase, and a box in pixels of the file."""
AT_ONCE = 32
"""Phrases with their images at a time."""
Boxes = dict[tuple[int, str], list[Box]]
"""The boxes of a phrase in the image of a row of the manifest."""


def read_boxes(path: Path, manifest: Manifest) -> Boxes:
    """The boxes of a table; those of one phrase in one image are one region.

    A row names an image by its record id, or by its path without suffix, relative to the archive. Rows of images that
    the manifest does not have are left out.

    Raises:
        UsageError: the table cannot be read, lacks a column or a number, or names no image of the manifest.
    """
    table = read_table(path)
    for name in COLUMNS:
        if name not in table.columns:
            raise UsageError(f"--boxes {path}: has no column {name!r}; it needs {', '.join(COLUMNS)}")
    names, phrases = table.column("record"), table.column("sentence")
    numbers = [table.values(name, table.column(name)) for name in COLUMNS[2:]]
    rows: dict[str, int] = {}
    for row, (record, file) in enumerate(zip(manifest.column("record_id"), manifest.column("path"), strict=True)):
        if manifest.kinds[row] == "image":
            rows |= {str(record): row, str(PurePosixPath(str(file)).with_suffix("")): row}
    found: Boxes = {}
    for line, (name, phrase, *box) in enumerate(zip(names, phrases, *numbers, strict=True)):
        if name is None or phrase is None or any(one is None for one in box):
            raise UsageError(f"--boxes {table.place(line)}: a cell of {', '.join(COLUMNS)} is empty")
        if name in rows:
            x, y, width, height = (float(one) for one in box if one is not None)
            if width <= 0 or height <= 0:
                raise UsageError(f"--boxes {table.place(line)}: a box of width {width:g} and height {height:g}")
            found.setdefault((rows[name], phrase), []).append((x, y, width, height))
    if not found:
        raise UsageError(f"--boxes {path}: none of its records is an image of the manifest, such as {names[:1]}")
    return found


def grounding(tried: Tried, boxes: Boxes) -> Iterator[Trial]:
    """How well the map of every phrase shows its boxes, in the tested images; see `medcl.stats.grounding.grounded`.

    Raises:
        MedclError: no tested image has a box that lies in what the encoder sees.
    """
    arms, manifest = tried.arms, tried.manifest
    among = set(tried.held["image"].rows.tolist())
    tested = [(row, phrase) for row, phrase in boxes if row in among]
    shapes, every = manifest.table["shape"].to_pylist(), manifest.of_kind("image")
    configs = {name: encoders.config_of(run.card.sides["image"]) for name, run in arms.items()}
    seen = {
        name: {key: region_of(boxes[key], tuple(shapes[key[0]][:2]), config) for key in tested}
        for name, config in configs.items()
    }
    kept = [key for key in tested if all(one[key].any() and not one[key].all() for one in seen.values())]
    if not kept:
        raise MedclError("--boxes: no tested image has a box in what the encoder sees of it")
    rows: Ints = np.unique([row for row, _ in kept])
    asking = manifest.column("patient")[[row for row, _ in kept]]
    measured: dict[str, Measured] = {}
    for name, run in arms.items():
        config, regions = configs[name], seen[name]
        folder = encoders.prepared(every, config, tried.store, tried.config.jobs)
        parts = encoders.samples_in(folder, manifest.select(rows), config)
        text, encoder = tokenizer_of(run), run.encoder.to(device())
        values: dict[str, list[float]] = {one: [] for one in METRICS}
        for start in range(0, len(kept), AT_ONCE):
            part = kept[start : start + AT_ONCE]
            firsts = [int(parts.samples_of(int(np.searchsorted(rows, row)))[0]) for row, _ in part]
            tokens = torch.from_numpy(text.encode([phrase for _, phrase in part], text.length).astype(np.int64))
            x = parts.__getitems__(firsts)["x"].to(device())
            for key, cells in zip(part, phrase_maps(encoder, "image", x, tokens.to(device())), strict=True):
                for one, value in grounded(cells, regions[key]).items():
                    values[one].append(value)
        measured[name] = QueryValues({one: np.array(some) for one, some in values.items()})
    noise = [by_chance(float(next(iter(seen.values()))[key].mean())) for key in kept]
    measured[CHANCE] = QueryValues({one: np.array([row[one] for row in noise]) for one in METRICS})
    about = Queries("grounding of phrases in boxes", len(kept), len(np.unique(asking)), 1)
    yield Trial(about, measured, asking)
