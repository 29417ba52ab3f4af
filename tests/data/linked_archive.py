"""ImageSamples with reports: real PNG files, of a pattern that the report names."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from medcl.archive.file_state import header_checksum
from medcl.archive.manifest import Manifest
from medcl.archive.schema import SCHEMA

PATTERNS = ("horizontal stripes", "vertical stripes", "a checkerboard", "a uniform opacity")
SIDE = 24


def said(pattern: int, number: int) -> str:
    """The report on a picture; only its first sentence is about what is seen."""
    return f"The picture shows {PATTERNS[pattern]} all over. Study number {number} of this examination series."


def pixels_of(pattern: int) -> NDArray[np.bool_]:
    """(SIDE, SIDE) where a picture of a pattern is bright."""
    row, column = (np.arange(SIDE)[:, None] // 6 % 2 == 1), (np.arange(SIDE)[None, :] // 6 % 2 == 1)
    return np.broadcast_to((row, column, row ^ column, np.True_)[pattern], (SIDE, SIDE))


def picture_row(folder: Path, number: int, pattern: int, **levels: int) -> dict[str, Any]:
    """Write a picture, and say what a scan would."""
    rng = np.random.default_rng(number)
    pixels = (rng.integers(0, 60, (SIDE, SIDE)) + 180 * pixels_of(pattern)).astype(np.uint8)
    path = folder / f"{number}.png"
    Image.fromarray(pixels).save(path)
    about = path.stat()
    return {
        "record_id": f"image-{number}",
        "modality": "xray",
        "format": "png",
        "path": path.name,
        "n_channels": 1,
        "shape": [SIDE, SIDE],
        "dtype": "uint8",
        "part": 0,
        "size": about.st_size,
        "mtime_ns": about.st_mtime_ns,
        "checksum": header_checksum(path, [path.name]),
        "status": "ok",
        "split": "train",
        **levels,
    }


def report_row(number: int, text: str | None, **levels: int) -> dict[str, Any]:
    """What a scan says of a report."""
    return {
        "record_id": f"report-{number}",
        "modality": "report",
        "format": "text",
        "path": f"{number}.txt",
        "part": 0,
        "report": text,
        "checksum": f"report-{number}",
        "status": "ok" if text else "empty report",
        "split": "train",
        **levels,
    }


def manifest_of(rows: Sequence[dict[str, Any]], root: Path) -> Manifest:
    """The manifest of some rows."""
    return Manifest(pa.Table.from_pylist(list(rows), schema=SCHEMA), root, {"salt": "tests"})


def pictures_with_reports(
    folder: Path, patients: int = 12, each: int = 2, text: Callable[[int, int], str | None] = said
) -> Manifest:
    """Some pictures of each patient, every one with a report of its own; the last quarter of the patients is tested."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(patients * each):
        patient, pattern = number // each, number % len(PATTERNS)
        levels: dict[str, Any] = {"patient": 100 + patient, "study": 500 + patient, "trial": 1000 + number}
        levels["split"] = "test" if patient >= patients * 3 // 4 else "train"
        rows.append(picture_row(folder, number, pattern, **levels))
        rows.append(report_row(number, text(pattern, number), **levels))
    return manifest_of(rows, folder)
