"""Manifests of reports, as a scan makes them."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from medcl.archive.manifest import Manifest
from medcl.archive.schema import SCHEMA


def manifest(texts: Sequence[str | None], root: Path, *, volumes: int = 0) -> Manifest:
    """A report a text, of as many patients; quarantined where the text is None. `volumes` other records come first."""
    other = [
        {"record_id": f"v{i}", "modality": "ct", "format": "nifti", "patient": 1000 + i, "status": "ok"}
        for i in range(volumes)
    ]
    reports = [
        {
            "record_id": f"r{i}",
            "modality": "report",
            "format": "text",
            "path": f"{i}.txt",
            "patient": i,
            "study": i,
            "report": text,
            "status": "ok" if text is not None else "not text: byte 0",
        }
        for i, text in enumerate(texts)
    ]
    return Manifest(pa.Table.from_pylist([*other, *reports], schema=SCHEMA), root)
