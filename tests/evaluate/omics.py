"""Several tables of each patient, written as real files and scanned, with a label and their splits."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import medcl

RECIPE: dict[str, Any] = {
    "inputs": {
        name: {"modality": "table", "data": {"columns": [f"{name}*"]}, "encoder": {"dim": 8, "hidden": 16, "depth": 1}}
        for name in ("a", "b", "c")
    },
    "objectives": {"pairs": {"between": ["a", "b", "c"], "loss": "m3col", "head": {"hidden": 16, "dim": 8}}},
    "batch": {"patients": 16},
    "optimiser": {"steps": 2},
    "hardware": {"accelerator": "cpu"},
}
"""Of three tables whose variables begin with a, b and c."""


def write_tables(
    folder: Path, tables: Mapping[str, Any], label: Any, split: Any, names: Mapping[str, list[str]] | None = None
) -> Path:
    """The manifest of patients with a table each of several kinds; who is NaN in all of one has no row there.

    Args:
        folder: of the archive and the manifest.
        tables: {name: (patients, variables)}.
        label: (patients,) of the column `y`.
        split: (patients,) names.
        names: {name: of its variables}; default: the name and a number.
    """
    (folder / "archive").mkdir(parents=True)
    people = [f"P{number:04d}" for number in range(len(label))]
    for name, values in tables.items():
        head = (names or {}).get(name) or [f"{name}{column}" for column in range(values.shape[1])]
        rows = [
            [one, *(f"{value:.6g}" for value in own)]
            for one, own in zip(people, values, strict=True)
            if not np.isnan(own).all()
        ]
        with (folder / "archive" / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["patient", *head], *rows])
        (folder / "archive" / f"{name}.json").write_text(json.dumps({"medcl": {"patient": "patient"}}))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["patient", "y"], *zip(people, label.tolist(), strict=True)])
    output = folder / "manifest.parquet"
    manifest = medcl.scan(
        folder / "archive", output, labels=str(folder / "labels.csv"), patient_column="patient",
        target_columns=("y",), jobs=1, patient_per_record=False,
    ).value  # fmt: skip
    codes, first = np.unique(manifest.column("patient"), return_index=True)
    assert len(codes) == len(label)
    # Coded patients are told by their first value: rows of a file are in the order of the patients.
    order = manifest.column("part")
    of_row = [split[have[part]] for have, part in zip(_present(manifest, tables), order, strict=True)]
    manifest.with_column("split", pa.array(of_row, pa.string())).write(output)
    return output


def _present(manifest: Any, tables: Mapping[str, Any]) -> list[Any]:
    """Of each record the patients that have a row in its file."""
    there = {name: np.flatnonzero(~np.isnan(values).all(axis=1)) for name, values in tables.items()}
    return [there[Path(str(path)).stem] for path in manifest.column("path")]
