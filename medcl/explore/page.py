"""The page of embeddings: one HTML file with the points, their columns, thumbnails and numbers inside."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from medcl.errors import UsageError, did_you_mean
from medcl.show import page
from medcl.show.thumbnails import Thumbnail

_KINDS = {"f4": "Float32Array", "i4": "Int32Array", "i2": "Int16Array", "i1": "Int8Array"}


class Blocks:
    """Data of a page, block by block; `explore.js` reads it by number.

    A list of 200,000 numbers in JSON takes a browser seconds; base64 is decoded in milliseconds, and a third larger
    than the bytes.
    """

    def __init__(self) -> None:
        self.content: list[str] = []

    def array(self, values: NDArray[Any], dtype: DTypeLike | None = None) -> dict[str, Any]:
        """An array of any shape, row by row, little-endian.

        Args:
            values: float32 or signed integers of 8, 16 or 32 bits.
            dtype: to convert to.

        Returns:
            What names it: number of the block and the browser's type.
        """
        plain = np.ascontiguousarray(values, dtype)
        kind = plain.dtype.str[1:]
        return {"block": self._add(plain.astype(f"<{kind}").tobytes()), "type": _KINDS[kind]}

    def text(self, lines: Sequence[str]) -> dict[str, Any]:
        """Lines of text; a line break in one becomes a space."""
        return {"block": self._add("\n".join(" ".join(line.splitlines()) for line in lines).encode())}

    def json(self, value: object) -> dict[str, Any]:
        """Anything that JSON can say, as it is: images in it are base64 already."""
        # The only sign that could end the block.
        self.content.append(json.dumps(value, ensure_ascii=False).replace("<", "\\u003c"))
        return {"block": len(self.content) - 1}

    def _add(self, content: bytes) -> int:
        self.content.append(base64.b64encode(content).decode("ascii"))
        return len(self.content) - 1


MOST = 1_000_000
"""Points that a page can hold: a browser draws no more of them smoothly."""
Ints: TypeAlias = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Categories:
    """A column of few values.

    Args:
        codes: (N,) integers, number k is of value `names[k]`, -1 where the value is missing.
        names: in any order; the page puts the most frequent first.
    """

    codes: Ints
    names: tuple[str, ...]


Column: TypeAlias = Categories | NDArray[np.floating[Any]]
"""Categories, or (N,) numbers with NaN where one is missing."""


@dataclass(frozen=True)
class MeasureTable:
    """Numbers next to the plot, already in words.

    Args:
        title: what is measured.
        header: names of the columns.
        rows: cells, the first of each names the row.
        note: how to read it.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class PageData:
    """What a page shows of N embeddings; no clear id of a patient may be among it.

    Args:
        title: a line that says of what the embeddings are.
        file: name of the Parquet file.
        ids: (N,) names of the rows, as they are listed and exported.
        projections: name -> (N, 2) coordinates, NaN where a row cannot be placed; the first is shown first.
        columns: name -> column, in the order of the menus.
        levels: name (`patient`, `study`, ...) -> (N,) codes, -1 where there is none; on the page they are numbered
            anew, so that none of them leaves it.
        neighbours: (N, k) rows that are nearest to each, nearest first, without itself, -1 where there is none.
        thumbnails: row -> what the record looks like; not every row needs one.
        measures: tables next to the plot.
        notes: sentences that a reader should know.
        color: the column that colours first; empty for the first.
        confounders: what can be read off the embeddings, for the model card of the run.
    """

    title: str
    file: str
    ids: Sequence[str]
    projections: Mapping[str, NDArray[np.floating[Any]]]
    columns: Mapping[str, Column] = field(default_factory=dict)
    levels: Mapping[str, Ints] = field(default_factory=dict)
    neighbours: Ints | None = None
    thumbnails: Mapping[int, Thumbnail] = field(default_factory=dict)
    measures: Sequence[MeasureTable] = ()
    notes: Sequence[str] = ()
    color: str = ""
    confounders: Sequence[Any] = ()

    def __len__(self) -> int:
        return len(self.ids)


def write_page(data: PageData, path: Path) -> None:
    """Write the page, whole or not at all; a browser needs no network to show it.

    Args:
        data: what it shows.
        path: `.html` file.

    Raises:
        UsageError: there are no points or too many, or something has another length than `ids`.
    """
    _check(data)
    blocks = Blocks()
    about: dict[str, Any] = {
        "count": len(data),
        "file": Path(data.file).stem,
        "ids": blocks.text(data.ids),
        "projections": [
            {"name": name, "xy": blocks.array(np.asarray(xy, np.float32).T)} for name, xy in data.projections.items()
        ],
        "columns": [_column(name, column, blocks) for name, column in data.columns.items()],
        "levels": [{"name": name, "codes": blocks.array(_renumbered(codes))} for name, codes in data.levels.items()],
        "neighbours": None,
        "thumbnails": blocks.json(_thumbnails(data.thumbnails)),
        "shown": len(data.thumbnails),
        "color": data.color or next(iter(data.columns), ""),
    }
    if data.neighbours is not None and data.neighbours.shape[1]:
        about["neighbours"] = {"k": data.neighbours.shape[1], "rows": blocks.array(data.neighbours.astype(np.int32))}
    patients = data.levels.get("patient")
    html = page.render(
        "explore/explore.html",
        # A figure must be named for plotly's script to be part of the page; `explore.js` draws it.
        {"map": {}},
        data=data,
        about=about,
        blocks=blocks,
        patients=0 if patients is None else len(np.unique(patients[patients >= 0])),
    )
    page.write(path, html)


def _check(data: PageData) -> None:
    count = len(data)
    if not count:
        raise UsageError(f"{data.file}: there is no embedding to show")
    if count > MOST:
        raise UsageError(
            f"{data.file}: a page shows {MOST:,} points at most, these are {count:,}: embed one --split, or --level "
            "patient"
        )
    if not data.projections:
        raise UsageError(f"{data.file}: there is no projection to show")
    arrays: dict[str, tuple[NDArray[Any], tuple[int, ...]]] = {
        f"projection {name!r}": (xy, (count, 2)) for name, xy in data.projections.items()
    }
    for name, column in data.columns.items():
        arrays[f"column {name!r}"] = (column.codes if isinstance(column, Categories) else column, (count,))
    arrays |= {f"level {name!r}": (codes, (count,)) for name, codes in data.levels.items()}
    if data.neighbours is not None:
        arrays["neighbours"] = (data.neighbours, (count, data.neighbours.shape[-1]))
    for name, (array, shape) in arrays.items():
        if array.shape != shape:
            raise UsageError(f"{data.file}: {name} is of shape {array.shape}, for {count} rows it must be {shape}")
    if data.color and data.color not in data.columns:
        raise UsageError(
            f"{data.file}: no column {data.color!r} to colour by: there are {', '.join(data.columns) or 'none'}"
            f"{did_you_mean(data.color, data.columns)}"
        )


def _column(name: str, column: Column, blocks: Blocks) -> dict[str, Any]:
    """A column as the page reads it; of categories the most frequent first."""
    if not isinstance(column, Categories):
        return {"name": name, "numbers": blocks.array(column.astype(np.float32))}
    codes = np.asarray(column.codes, np.int64)
    counts = np.bincount(codes[codes >= 0], minlength=len(column.names))
    order = np.argsort(-counts, kind="stable")
    place = np.append(np.argsort(order), -1)  # the last is for -1
    small = np.int8 if len(order) < 128 else np.int16 if len(order) < 32768 else np.int32
    return {"name": name, "names": [column.names[one] for one in order], "codes": blocks.array(place[codes], small)}


def _renumbered(codes: Ints) -> NDArray[np.int32]:
    """Codes from 0, -1 where there is none."""
    known = codes >= 0
    new = np.full(len(codes), -1, np.int32)
    new[known] = np.unique(codes[known], return_inverse=True)[1]
    return new


def _sliced(one: Thumbnail) -> dict[str, Any] | None:
    """Plane, sides and scale of a slice."""
    length, share = one.scale
    return {"label": one.label, "ends": one.ends, "length": length, "share": share} if one.label else None


def _thumbnails(thumbnails: Mapping[int, Thumbnail]) -> dict[str, Any]:
    """Each image once: all records whose files are missing share one."""
    images: dict[str, int] = {}
    rows = {
        str(row): [images.setdefault(one.uri, len(images)), one.text, one.missing, one.large_uri, _sliced(one)]
        for row, one in thumbnails.items()
    }
    return {"images": list(images), "rows": rows}
