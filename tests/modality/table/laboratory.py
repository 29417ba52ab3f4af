"""Laboratory values of synthetic patients, written as a table with a row a patient, or as a file for each stay."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Analyte:
    """What a laboratory or a monitor measures.

    Attributes:
        name: In the tables.
        unit: In the headings.
        mean: Of healthy people.
        spread: Standard deviation among them.
        infection: Standard deviations by which a severe infection moves it.
        every: Hours from one measurement of a stay to the next, on average.
        digits: Behind the decimal point.
    """

    name: str
    unit: str
    mean: float
    spread: float
    infection: float
    every: float
    digits: int = 1


ANALYTES = (
    Analyte("CRP", "mg/l", 40, 15, 4.0, 12),
    Analyte("leukocytes", "10^9/l", 8, 2, 2.5, 12),
    Analyte("lactate", "mmol/l", 1.4, 0.5, 2.0, 6),
    Analyte("creatinine", "µmol/l", 80, 15, 1.0, 12, 0),
    Analyte("Na", "mmol/l", 139, 3, 0.0, 8, 0),
    Analyte("K", "mmol/l", 4.1, 0.4, 0.0, 8),
    Analyte("haemoglobin", "g/dl", 13, 1.3, -0.5, 12),
    Analyte("heart rate", "/min", 80, 10, 1.5, 1, 0),
)
"""`Na` is a trap: it is sodium, and in small letters a word for a missing value."""
WARDS = ("medicine", "surgery", "intensive care")


@dataclass(frozen=True)
class TablePhantom:
    """What was written.

    Attributes:
        folder: Of the archive.
        labels: Table with `patient_id` and `infection`, 0 or 1.
        n_patients: Number of patients.
    """

    folder: Path
    labels: Path
    n_patients: int


def write_laboratory(folder: Path, n_patients: int = 60, seed: int = 0, missing: float = 0.15) -> TablePhantom:
    """Write `laboratory.csv`, a row a patient, its side-car `laboratory.json`, and the labels.

    Args:
        folder: Made where it is not there.
        n_patients: Number of patients.
        seed: Of everything that is random.
        missing: Probability that a value was not measured.

    Returns:
        What was written.
    """
    rng = np.random.default_rng(seed)
    severity = _severity(n_patients, rng)
    archive = folder / "archive"
    archive.mkdir(parents=True, exist_ok=True)
    with (archive / "laboratory.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["patient_id", "sex", "ward", *(f"{one.name} [{one.unit}]" for one in ANALYTES)])
        for number, ill in enumerate(severity):
            values = [f"{_level(one, ill, rng):.{one.digits}f}" for one in ANALYTES]
            values = ["n/a" if rng.random() < missing else value for value in values]
            ward = WARDS[min(int(ill * 1.5 + rng.random()), 2)]
            table.writerow([_patient(number), rng.integers(2), ward, *values])
    about = {"medcl": {"patient": "patient_id"}, "sex": {"Levels": {"0": "female", "1": "male"}}}
    about["ward"] = {"Levels": {ward: ward for ward in WARDS}}
    (archive / "laboratory.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    return _labelled(folder, severity)


def write_stays(folder: Path, n_patients: int = 60, seed: int = 0, hours: float = 24) -> TablePhantom:
    """Write a file for each stay with a line a value, as PhysioNet's challenge of 2012 has it, and the labels.

    Args:
        folder: Made where it is not there.
        n_patients: Number of patients, one stay each.
        seed: Of everything that is random.
        hours: Length of a stay.

    Returns:
        What was written.
    """
    rng = np.random.default_rng(seed)
    severity = _severity(n_patients, rng)
    archive = folder / "archive"
    archive.mkdir(parents=True, exist_ok=True)
    for number, ill in enumerate(severity):
        rows = [(0.0, "PatientID", _patient(number)), (0.0, "Age [years]", str(rng.integers(20, 90)))]
        own = rng.standard_normal(len(ANALYTES))
        for at, one in enumerate(ANALYTES):
            times = np.cumsum(rng.exponential(one.every, max(2, int(3 * hours / one.every))))
            for time in times[times < hours]:
                # An infection sets in over the first hours.
                level = _level(one, ill * min(1.0, 0.3 + time / 12), rng, own[at])
                rows.append((float(time), f"{one.name} [{one.unit}]", f"{level:.{one.digits}f}"))
        rows.sort(key=lambda row: row[0])
        lines = [f"{int(time):02d}:{int(time % 1 * 60):02d},{name},{value}" for time, name, value in rows]
        text = "\n".join(["Time,Parameter,Value", *lines, ""])
        (archive / f"{_patient(number)}.txt").write_text(text, encoding="utf-8")
    return _labelled(folder, severity)


def _severity(n_patients: int, rng: np.random.Generator) -> Floats:
    """(n,) of the infection of each patient: 0 for half of them, else 0.5 to 1.2."""
    ill = rng.permutation(n_patients) < n_patients // 2
    return np.where(ill, rng.uniform(0.5, 1.2, n_patients), 0.0)


def _level(analyte: Analyte, severity: float, rng: np.random.Generator, own: float | None = None) -> float:
    """A value: of the person, the infection and the measurement."""
    person = float(rng.standard_normal()) if own is None else 0.9 * own + 0.3 * float(rng.standard_normal())
    return max(analyte.mean + analyte.spread * (person + analyte.infection * severity), analyte.mean / 10)


def _patient(number: int) -> str:
    return f"P{number:04d}"


def _labelled(folder: Path, severity: Floats) -> TablePhantom:
    labels = folder / "labels.csv"
    lines = [f"{_patient(number)},{int(ill > 0)}" for number, ill in enumerate(severity)]
    labels.write_text("\n".join(["patient_id,infection", *lines, ""]), encoding="utf-8")
    return TablePhantom(folder / "archive", labels, len(severity))
