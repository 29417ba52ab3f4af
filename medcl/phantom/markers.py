"""A laboratory table of the patients of `shapes`: each marker follows one finding, one the history, two nothing."""

import csv
import json
from pathlib import Path

import numpy as np

from medcl.phantom.person import write_csv
from medcl.phantom.shapes import KINDS, PLACE, REPORTS

HISTORY = ("The patient never smoked.", "The patient is a smoker.")
"""What a report says of what no image shows."""
MARKERS = (*(f"{kind}_marker" for kind in KINDS), "cotinine", "sodium", "potassium")
"""Columns of the table: one a kind of finding, one of the history, two that nothing drives."""
RISE, SPREAD = 3.0, 1.0
"""Of a marker that is driven, and of all of them around their mean of 10, U/mL."""


def add_markers(folder: Path, seed: int = 0) -> str:
    """Write `shapes/markers.csv` with a side-car, a row a study, and a column `history` into the table of reports.

    The columns are `patient`, `study` (the folder names of the image) and `MARKERS`, in U/mL. A marker is higher by
    `RISE` in studies with its finding, cotinine in patients who smoke, a third of all, whatever is found.

    Args:
        folder: as `shapes.write_shapes` wrote it.
        seed: that it was given.
    """
    smokers: dict[str, bool] = {}
    rows: list[tuple[str, ...]] = []
    for number, row in enumerate(_read(folder / PLACE / "labels.csv")):
        rng = np.random.default_rng([seed, 32, number])
        smokes = smokers.setdefault(row["patient"], bool(rng.random() < 1 / 3))
        driven = [*(row[kind] == "present" for kind in KINDS), smokes, False, False]
        values = 10 + RISE * np.array(driven) + SPREAD * rng.standard_normal(len(MARKERS))
        rows.append((*row["record"].split("/"), *(f"{value:.2f}" for value in values)))
    write_csv(folder / PLACE / "markers.csv", ("patient", "study", *MARKERS), rows)
    sidecar = {"medcl": {"patient": "patient", "study": "study"}, **{name: {"Units": "U/mL"} for name in MARKERS}}
    (folder / PLACE / "markers.json").write_text(json.dumps(sidecar, indent=1) + "\n", encoding="utf-8")
    told = folder / REPORTS / "reports.csv"
    reports = [{**row, "history": HISTORY[smokers[row["patient"]]]} for row in _read(told)]
    write_csv(told, tuple(reports[0]), [tuple(row.values()) for row in reports])
    return f"{folder}: {len(rows)} rows of {len(MARKERS)} markers ({PLACE}/markers.csv), a history in each report"


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
