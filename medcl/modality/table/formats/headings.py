"""What a heading means: a variable with its unit, an id, a time, or the columns of a table in long form."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from medcl.errors import MedclError, UnreadableError, cause
from medcl.modality.cells import is_missing, number
from medcl.modality.sheet import Sheet, read_parquet, read_sheet

LEVELS = ("patient", "study", "series")
"""Levels that a column may have the ids of, outermost first."""
_PATIENT = re.compile(
    r"(patient|subject|participant|record|person|case)[ _-]?(id|no|nr|number)|mrn|patient|subject", re.I
)
_NAME = re.compile(r"(?P<name>.*\S)\s*(\[(?P<square>[^\]]*)\]|\((?P<round>[^)]*)\))\s*")
_UNIT = re.compile(r"[A-Za-zµμ%°]")
_LITRE = re.compile(r"(?<![A-Za-z])([mudcµμ]?)l(?![A-Za-z])")
HOURS = {"s": 1 / 3600, "sec": 1 / 3600, "min": 1 / 60, "h": 1.0, "d": 24.0}
"""Unit of time -> hours."""
_SPELT = {"second": "s", "seconds": "s", "minute": "min", "minutes": "min", "mins": "min", "hour": "h", "hours": "h"}
_SPELT |= {"hr": "h", "hrs": "h", "day": "d", "days": "d"}
_TIME = re.compile(
    r"(chart|event|store|sample|measurement)?[ _]?(time|date[ _]?time|timestamp|hours?|hrs?|minutes?|days?)"
    r"([ _](since|after|from)[ _]\w+)?(_(s|sec|min|h|d))?",
    re.I,
)
_PARAMETER = {"parameter", "variable", "item", "itemid", "test", "analyte", "measurement"}
_VALUE = {"value", "result", "valuenum"}
_UNITS = {"unit", "units", "valueuom"}


@dataclass(frozen=True)
class SideCar:
    """What a JSON file beside a table says of it: keys of a BIDS data dictionary, and under `medcl` what columns are.

        {"medcl": {"patient": "pid", "time": "hours"}, "hours": {"Units": "h"}, "sex": {"Levels": {"0": "female"}}}

    Args:
        roles: `patient`, `study`, `series`, `time`, `parameter`, `value`, `unit` -> name of a column.
        units: column -> unit.
        levels: column -> cell -> what it stands for.
        missing: column -> cells that stand for no value.
        file: its name; empty where there is none.
    """

    roles: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    levels: dict[str, dict[str, str]] = field(default_factory=dict)
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    file: str = ""


@dataclass(frozen=True)
class Roles:
    """Which column of a table is what; -1 where there is none.

    Args:
        ids: level -> column.
        time: column of times.
        parameter: of a table in long form, the column that names the variable of a row.
        value: its value.
        unit: its unit.
    """

    ids: dict[str, int]
    time: int = -1
    parameter: int = -1
    value: int = -1
    unit: int = -1

    @property
    def is_long(self) -> bool:
        """Whether a row is one value."""
        return self.parameter >= 0

    @property
    def taken(self) -> set[int]:
        """Columns that hold no values of variables of their own."""
        return {*self.ids.values(), self.time, self.parameter, self.value, self.unit}


@lru_cache(maxsize=4096)
def one_spelling(unit: str) -> str:
    """A unit as it is compared: `mg / dl` is `mg/dL`, `µmol/l` is `umol/L`, `percent` is `%`."""
    plain = re.sub(r"\s*/\s*", "/", unit.strip()).replace("µ", "u").replace("μ", "u")
    plain = {"percent": "%", "degc": "°C", "deg c": "°C", "celsius": "°C"}.get(plain.lower(), plain)
    return _LITRE.sub(r"\1L", plain)


@lru_cache(maxsize=4096)
def name_and_unit(heading: str) -> tuple[str, str]:
    """`glucose` and `mmol/L` of `glucose [mmol/l]` or `glucose (mmol/l)`; the unit is empty where none is stated."""
    found = _NAME.fullmatch(heading)
    unit = (found["square"] or found["round"] or "") if found else ""
    return (found["name"].strip(), one_spelling(unit)) if found and _UNIT.search(unit) else (heading.strip(), "")


def is_patient(name: str) -> bool:
    """Whether a column or parameter of this name has ids of patients, which are no values."""
    return _PATIENT.fullmatch(name.strip()) is not None


def is_time(heading: str) -> bool:
    """Whether a column of this heading has times."""
    return _TIME.fullmatch(name_and_unit(heading)[0]) is not None


def hours_of(heading: str, unit: str = "") -> float | None:
    """Hours that a number under a heading counts, by its unit or its name (`hours`, `time_min`); None if unknown."""
    name, own = name_and_unit(heading)
    for word in (unit, own, name, name.rpartition("_")[2], re.split(r"[ _]", name)[0]):
        known = _SPELT.get(word.strip().lower(), word.strip().lower())
        if known in HOURS:
            return HOURS[known]
    return None


def roles(headings: Sequence[str], beside: SideCar) -> Roles:
    """Which column is what, by the side-car or else by the names.

    Raises:
        UnreadableError: the side-car names a column that is not there.
    """
    names = [name_and_unit(heading)[0] for heading in headings]
    folded = [name.lower() for name in names]

    def place(role: str, words: set[str]) -> int:
        wanted = beside.roles.get(role)
        if wanted is None:
            return next((i for i, name in enumerate(folded) if name in words), -1)
        known = [i for i, heading in enumerate(headings) if wanted in (heading, names[i])]
        if not known:
            raise UnreadableError(f"{beside.file}: its `medcl` names the {role} column, which the table does not have")
        return known[0]

    ids = {level: place(level, set()) for level in LEVELS if level in beside.roles}
    if "patient" not in ids:
        patient = next((i for i, name in enumerate(names) if is_patient(name)), None)
        ids |= {} if patient is None else {"patient": patient}
    time = place("time", {name for name in folded if is_time(name)})
    long = place("parameter", _PARAMETER), place("value", _VALUE)
    if min(long) < 0:
        return Roles(ids, time)
    return Roles(ids, time, *long, place("unit", _UNITS))


def side_car(path: Path) -> SideCar:
    """What lies beside a table: `labs.json` beside `labs.csv`; empty where there is none, or it is not about a table.

    Raises:
        UnreadableError: it has a key `medcl` and cannot be used.
    """
    file = path.with_suffix(".json")
    if not file.is_file():
        return SideCar()
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableError(f"{file.name}: {cause(error)}") from error
    own = content.get("medcl") if isinstance(content, dict) else None
    if own is None:
        return SideCar()
    known = {*LEVELS, "time", "parameter", "value", "unit"}
    if not isinstance(own, dict) or not all(key in known and isinstance(value, str) for key, value in own.items()):
        raise UnreadableError(f"{file.name}: `medcl` gives names of columns under {', '.join(sorted(known))} alone")
    columns = {str(name): about for name, about in content.items() if name != "medcl" and isinstance(about, dict)}
    missing = {name: about["Missing"] for name, about in columns.items() if isinstance(about.get("Missing"), list)}
    return SideCar(
        own,
        {name: one_spelling(str(about["Units"])) for name, about in columns.items() if about.get("Units")},
        {name: _texts(about["Levels"]) for name, about in columns.items() if isinstance(about.get("Levels"), dict)},
        {name: tuple(map(str, cells)) for name, cells in missing.items()},
        file.name,
    )


def _texts(levels: dict[str, Any]) -> dict[str, str]:
    return {
        str(cell): str(word.get("Description", cell) if isinstance(word, dict) else word)
        for cell, word in levels.items()
    }


_UNIT_ROWS = {"unit", "units"}


def open_sheet(path: Path) -> Sheet:
    """Read the cells of a table.

    Raises:
        UnreadableError: it is no table, or its headings are not one for each column.
    """
    try:
        with path.open("rb") as file:
            is_parquet = file.read(4) == b"PAR1"
        sheet = read_parquet(path) if is_parquet else read_sheet(path)
    except OSError:
        raise
    except MedclError as error:
        raise UnreadableError(str(error).removeprefix(str(path)).lstrip(":, ")) from error
    names = [name_and_unit(name)[0] for name in sheet.names]
    if len(sheet.names) > 1 and all(number(name) is not None for name in sheet.names):
        raise UnreadableError("its first line holds numbers: is the heading missing?")
    if not all(names):
        raise UnreadableError("a column without a heading")
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise UnreadableError(f"the column {twice!r} occurs twice: give each column a heading of its own")
    if not sheet.rows:
        raise UnreadableError("the table has no rows")
    return sheet


def without_units(sheet: Sheet, own: Roles) -> tuple[Sheet, dict[int, str]]:
    """The sheet without a second row that has the units, and column -> unit.

    It is one only where it has neither an id nor a number: no patient is taken for a row of units.
    """
    first, keys = sheet.rows[0], [*own.ids.values(), *([own.time] if own.time >= 0 and not own.ids else [])]
    time = first[own.time] if own.time >= 0 else None
    empty = [is_missing(first[key]) or str(first[key]).strip("[]() ").lower() in _UNIT_ROWS for key in keys]
    if own.time in keys:
        empty[keys.index(own.time)] |= hours_of("", str(time).strip("[]() ")) is not None
    if not keys or not all(empty) or own.is_long or any(cell and number(cell) is not None for cell in first):
        return sheet, {}
    units = {i: one_spelling(cell.strip("[]() ")) for i, cell in enumerate(first) if cell and not is_missing(cell)}
    units = {i: unit for i, unit in units.items() if unit.lower() not in _UNIT_ROWS}
    if len(sheet.rows) == 1:
        raise UnreadableError("the table has no rows but that of the units")
    return Sheet(sheet.names, sheet.rows[1:], sheet.numbers[1:], sheet.counted, sheet.separator, sheet.dialect), units
