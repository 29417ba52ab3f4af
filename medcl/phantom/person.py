"""The identity of a synthetic patient in the headers of a hospital: everything that de-identification has to remove."""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TypeAlias

import numpy as np

Watch: TypeAlias = Callable[[range], Iterable[int]]
"""Iterates over numbers of patients, and may tell how many are done."""

FAMILIES = ("Phantom", "Sample", "Testmann", "Exemple", "Muster", "Grün", "Prøve", "Ficción")
GIVEN = {"F": ("Ada", "Änne", "Inès", "Maren", "Zoë"), "M": ("Bruno", "Jörg", "René", "Tomás", "Ulf")}


@dataclass(frozen=True)
class Person:
    """A patient of no real hospital.

    Attributes:
        number: Of the patient's card, DICOM's Patient ID.
        name: `Family^Given`.
        birth: Date of birth.
        sex: 'F' or 'M'.
    """

    number: str
    name: str
    birth: date
    sex: str


@dataclass(frozen=True)
class Study:
    """One visit to the scanner.

    Attributes:
        person: The patient.
        day: Date.
        time: `HHMMSS`.
        accession: Number of the order.
        key: Unique to the study; all UIDs follow from it.
    """

    person: Person
    day: date
    time: str
    accession: str
    key: str

    @property
    def age(self) -> int:
        """Of the person on that day, completed years."""
        birth = self.person.birth
        return self.day.year - birth.year - ((self.day.month, self.day.day) < (birth.month, birth.day))


def draw_build(
    rng: np.random.Generator, *, age: tuple[float, float], women: float, spread: float
) -> tuple[str, int, float]:
    """Sex, age and size of a patient who is scanned.

    Args:
        rng: Random number generator.
        age: Mean and standard deviation, years; no patient is younger than 18 or older than 95.
        women: Their mean size; that of men is 1.
        spread: Standard deviation of the size among either.

    Returns:
        'F' or 'M', whole years, and the factor of all lengths.
    """
    sex = "F" if rng.random() < 0.5 else "M"
    years = int(np.clip(rng.normal(*age), 18, 95))
    return sex, years, float(rng.normal(women if sex == "F" else 1.0, spread))


def draw_person(sex: str, age: int, rng: np.random.Generator) -> Person:
    """A person of this age on 1 January 2020."""
    name = f"{FAMILIES[rng.integers(len(FAMILIES))]}^{GIVEN[sex][rng.integers(len(GIVEN[sex]))]}"
    # 1 January less whole years less up to 365 days: completed years are exact, whatever the leap years.
    birth = date(2020 - age, 1, 1) - timedelta(days=int(rng.integers(0, 365)))
    return Person(f"MRN{rng.integers(10**9, 10**10)}", name, birth, sex)


def draw_studies(person: Person, count: int, key: str, rng: np.random.Generator) -> tuple[Study, ...]:
    """The visits of a person in 2020, in order.

    Args:
        person: The patient.
        count: Number of visits, at most 300.
        key: Unique to the person among all that are written.
        rng: Random number generator.
    """
    days = np.sort(rng.choice(365, count, replace=False))
    return tuple(
        Study(
            person=person,
            day=date(2020, 1, 1) + timedelta(days=int(day)),
            time=f"{rng.integers(7, 19):02d}{rng.integers(60):02d}{rng.integers(60):02d}",
            accession=f"A{rng.integers(10**6, 10**7)}",
            key=f"{key}/{visit}",
        )
        for visit, day in enumerate(days, start=1)
    )


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table of patients; its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
