"""A few pictures and their manifest, among records of other kinds."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image as Picture

from medcl.archive.manifest import Manifest
from medcl.archive.schema import SCHEMA


def pixels_of(number: int, rows: int = 40, columns: int = 40, channels: int = 1) -> np.ndarray:
    generator = np.random.default_rng(number)
    shape = (rows, columns) if channels == 1 else (rows, columns, channels)
    return generator.integers(0, 256, shape).astype(np.uint8)


def write_archive(folder: Path, pictures: dict[str, np.ndarray], others: bool = False) -> Manifest:
    """Write PNG files, name -> pixels (rows, columns) or (rows, columns, 3), and the manifest that a scan would make.

    With `others`, a report comes before the first picture and a recording behind each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = (
        [_row("r.txt", 0, modality="report", format="text", report="clear lungs")] if others else []
    )
    for number, (name, pixels) in enumerate(pictures.items()):
        path = folder / f"{name}.png"
        Picture.fromarray(pixels).save(path)
        about = path.stat()
        own = {"n_channels": 1 if pixels.ndim == 2 else 3, "shape": list(pixels.shape[:2]), "part": 0}
        own |= {"size": about.st_size, "mtime_ns": about.st_mtime_ns}
        rows.append(_row(path.name, number, modality="xray", format="png", **own))
        if others:
            rows.append(_row(f"{name}.hea", number, modality="ecg", format="wfdb", sampling_rate=100.0, n_samples=10))
    return Manifest(pa.Table.from_pylist(rows, schema=SCHEMA), folder, {"salt": "test"})


def _row(path: str, patient: int, **columns: Any) -> dict[str, Any]:
    codes = {"patient": patient, "study": 100 + patient, "series": 200 + patient, "trial": 300 + patient}
    return {"record_id": path, "path": path, "files": [path], "status": "ok", "found_status": "ok", **codes, **columns}
