"""How counts are written in the summary that a command prints."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def line(name: str, text: str) -> str:
    """A line of a summary."""
    return f"{name:<15}{text}"


def counted(counts: Mapping[str, int], shown: int = 4, alone: bool = False) -> str:
    """The most frequent things with their counts.

    Args:
        counts: thing -> number of times, the most frequent first.
        shown: number of things that are named.
        alone: whether a thing that stands alone has its count too.

    Returns:
        Such as `nifti: 260, dicom: 12`; by default a thing that stands alone goes without its count.
    """
    bare = len(counts) == 1 and not alone
    parts = [f"{name}" if bare else f"{name}: {count}" for name, count in list(counts.items())[:shown]]
    more = len(counts) - shown
    return ", ".join(parts) + (f", {more} more" if more > 0 else "") if parts else "none"


def unusual(flags: Mapping[str, int], records: str) -> list[str]:
    """The lines that list what is unusual about records.

    Args:
        flags: what is unusual -> number of records.
        records: what they are, such as `recordings`.
    """
    if not flags:
        return []
    lines = [line("unusual", f"{sum(flags.values())} flags of usable {records}")]
    return lines + [f"  {count:>6}  {flag}" for flag, count in flags.items()]


def count(values: pa.ChunkedArray) -> Counter[Any]:
    """How often each value occurs, without an object a row."""
    return Counter({one["values"].as_py(): one["counts"].as_py() for one in pc.value_counts(values)})


def usable_rows(records: pa.Table) -> pa.Table:
    """The rows whose status is `ok`; where all are, the table itself and no copy of it."""
    usable = pc.equal(records["status"], "ok")
    return records if pc.all(usable).as_py() else records.filter(usable)
