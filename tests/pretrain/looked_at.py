"""Archives and recipes of the tests of the monitor, of loggers and of several processes."""

import csv
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from medcl import runs
from medcl.archive.manifest import Manifest
from tests.data.linked_archive import PATTERNS, manifest_of, picture_row, report_row

SIGNAL = {
    "modality": "signal",
    "data": {"window": 2.0, "stride": 1.0},
    "views": {"mask": "continuous", "jitter": 0.05},
    "encoder": {"name": "resnet", "dim": 16, "hidden": 8, "depth": 3, "stride": 8, "dropout": 0.1},
}
IMAGE = {
    "modality": "image",
    "data": {"size": [16, 16]},
    "views": {"contrast": [0.8, 1.2]},
    "encoder": {"name": "unet", "dims": 2, "widths": [4, 8, 8], "dim": 8, "norm": "group"},
}
REPORT = {
    "modality": "report",
    "data": {"length": 24},
    "encoder": {"dim": 16, "hidden": 32, "depth": 1, "dropout": 0.0, "vocabulary": 400, "patients": 2},
}


def on_signals(**changes: Any) -> dict[str, Any]:
    """Patients told apart by their recordings; `changes` stand beside it."""
    recipe = {
        "inputs": {"signal": deepcopy(SIGNAL)},
        "objectives": {
            "patient": {"of": "signal", "positives": "patient", "head": {"hidden": 16, "dim": 8}},
            "within": {"kind": "hierarchical", "of": "signal", "levels": {"sample": 0.1, "observation": 0.1}},
        },
        "batch": {"patients": 4, "records": 2, "samples": 2},
        "optimiser": {"steps": 6},
        "hardware": {"accelerator": "cpu"},
    }
    return {**recipe, **changes}


def on_three(loss: str = "symile", **changes: Any) -> dict[str, Any]:
    """Recordings, images and reports of a patient, of which some are missing."""
    recipe = {
        "inputs": {"signal": deepcopy(SIGNAL), "image": deepcopy(IMAGE), "report": deepcopy(REPORT)},
        "objectives": {
            "joint": {"between": ["image", "signal", "report"], "loss": loss, "head": {"hidden": 16, "dim": 8}},
        },
        "batch": {"patients": 4, "records": 1, "incomplete": True},
        "optimiser": {"steps": 4},
        "hardware": {"accelerator": "cpu"},
    }
    return {**recipe, **changes}


def three_inputs(ecg: Manifest, folder: Path) -> Manifest:
    """Recordings, with an image of most patients and a report of all but one."""
    ecg = ecg.ok()
    recorded = dict(zip(ecg.column("patient").tolist(), ecg.column("split"), strict=True))
    (folder / "images").mkdir()
    rows: list[dict[str, Any]] = []
    for number, (patient, split) in enumerate(recorded.items()):
        levels = {"patient": patient, "split": split}
        if number % 4:
            row = picture_row(folder / "images", number, number % 4, **levels)
            rows.append({**row, "path": str(folder / "images" / row["path"])})
        if number != 1:
            text = f"Sinus rhythm, {PATTERNS[number % 4]}. Patient group {number % 7}."
            rows.append(report_row(number, text, **levels))
    more = manifest_of(rows, ecg.root)
    return replace(ecg, table=pa.concat_tables([ecg.table, more.table], promote_options="default"))


def rows_of(folder: Path, name: str = runs.METRICS) -> list[dict[str, str]]:
    """The rows of a CSV file of a run, without what depends on the time."""
    with (folder / name).open(newline="") as lines:
        return [
            {key: value for key, value in row.items() if key != "samples_per_second"} for row in csv.DictReader(lines)
        ]


def values_of(folder: Path, name: str = runs.METRICS) -> list[dict[str, float]]:
    """The numbers of such rows."""
    return [{key: float(value) for key, value in row.items() if value} for row in rows_of(folder, name)]
