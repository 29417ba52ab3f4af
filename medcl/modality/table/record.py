"""What a reader of tables returns, the variables of one patient and their values; and what a scan keeps of it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.wording import line, unusual, usable_rows

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Variable:
    """A column of a table, or a parameter of a table in long form.

    Args:
        name: as stated, without the unit.
        unit: in one spelling (`mmol/L`); empty where none is stated.
        classes: words of a category, which its codes 0, 1, ... stand for; None for numbers.
        levels: whether a side-car names the classes; else they are the texts of the cells.
    """

    name: str
    unit: str = ""
    classes: tuple[str, ...] | None = None
    levels: bool = False


@dataclass(frozen=True)
class TableHeader:
    """What a table file says of itself and of one of its records.

    Args:
        format: `patient-table` or `time-table`.
        variables: of the record.
        n_rows: of the record: 1, or one for each time.
        part: number of the record in the file, from 0.
        ids: clear ids by level.
        files: of the record, relative to the folder of the first: the table, and the side-car where there is one.
        flags: what is unusual, in words.
    """

    format: str
    variables: tuple[Variable, ...]
    n_rows: int
    part: int
    ids: dict[str, str]
    files: tuple[str, ...]
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class PatientTable:
    """The values of one patient, of one study, or of a stay in time.

    Args:
        variables: of the columns of `values`.
        values: (rows, variables) float64, categories as codes; NaN where there is no value.
        times: (rows,) hours, ascending; equal ones where a variable was measured twice at a time. None: one row without
            a time.
        ids: clear ids by level: `patient`, `study`, `series`.
        unusable: name of a variable -> why its cells hold no values; all of them are NaN.
        flags: what is unusual, in words.

    Raises:
        UnreadableError: the parts do not fit one another.
    """

    variables: tuple[Variable, ...]
    values: Floats
    times: Floats | None = None
    ids: dict[str, str] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows = 1 if self.times is None else len(self.times)
        if self.values.shape != (rows, len(self.variables)):
            raise UnreadableError(
                f"values of shape {self.values.shape} of {len(self.variables)} variables in {rows} rows"
            )
        if not self.variables:
            raise UnreadableError("no variable: the table has ids and times alone")
        if self.times is not None and not (np.isfinite(self.times).all() and (np.diff(self.times) >= 0).all()):
            raise UnreadableError("the times of a table are finite and ascend")


MODALITIES = ("table",)
DAMAGED = ()
OWN_STUDY = False


def columns(header: TableHeader) -> dict[str, Any]:
    """The columns of the manifest that a header fills: rows, variables, number of the record in its file, flags."""
    return {
        "modality": "table",
        "n_samples": header.n_rows,
        "n_channels": len(header.variables),
        "shape": [header.n_rows, len(header.variables)],
        "flags": list(header.flags),
        "part": header.part,
    }


def summary(records: pa.Table) -> str | None:
    """See `WingScan.summary`."""
    usable = usable_rows(records)
    if not len(usable):
        return None
    variables, rows = (usable[name].to_numpy() for name in ("n_channels", "n_samples"))
    flags = Counter(flag.split(":")[0] for own in usable["flags"].to_pylist() for flag in own or ())
    fewest, most, timed = int(variables.min()), int(variables.max()), int((rows > 1).sum())
    in_time = f", {timed} with rows in time" if timed else ""
    lines = [
        line("tables", f"{len(usable)} in {len(usable['path'].unique())} files{in_time}"),
        line("variables", f"{fewest}" if fewest == most else f"{fewest} to {most}"),
    ]
    return "\n".join([*lines, *unusual(dict(flags.most_common()), "tables")])
