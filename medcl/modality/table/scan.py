"""What a scan keeps of a table, and what its summary says of tables."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from medcl.modality.table.record import TableHeader
from medcl.wording import line, unusual, usable_rows

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


@dataclass(frozen=True)
class TableSummary:
    """Counts of usable tables.

    Args:
        tables: one a patient, a study or a stay.
        files: that they are in.
        timed: those with several rows in time.
        fewest: variables of a table: the least.
        most: variables of a table: the most.
        flags: what is unusual, without details -> tables.
    """

    tables: int
    files: int
    timed: int
    fewest: int
    most: int
    flags: dict[str, int]

    def __str__(self) -> str:
        variables = f"{self.fewest}" if self.fewest == self.most else f"{self.fewest} to {self.most}"
        timed = f", {self.timed} with rows in time" if self.timed else ""
        lines = [
            line("tables", f"{self.tables} in {self.files} files{timed}"),
            line("variables", variables),
        ]
        return "\n".join([*lines, *unusual(self.flags, "tables")])


def summary(records: pa.Table) -> TableSummary | None:
    """Count tables.

    Args:
        records: rows of the manifest, usable ones and others.

    Returns:
        The counts, or None: none is usable.
    """
    usable = usable_rows(records)
    if not len(usable):
        return None
    variables, rows = (usable[name].to_numpy() for name in ("n_channels", "n_samples"))
    flags = Counter(flag.split(":")[0] for own in usable["flags"].to_pylist() for flag in own or ())
    return TableSummary(
        tables=len(usable),
        files=len(usable["path"].unique()),
        timed=int((rows > 1).sum()),
        fewest=int(variables.min()),
        most=int(variables.max()),
        flags=dict(flags.most_common()),
    )
