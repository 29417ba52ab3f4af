"""Which reports describe which records, and which texts are the same."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.errors import UsageError
from medcl.modality.report.text import text_code

Ints: TypeAlias = NDArray[np.int64]

Partners = Literal["all", "record", "study"]
PARTNERS: dict[Partners, str] = {
    "all": "report",
    "record": "report of one record",
    "study": "report of a study or patient",
}
"""Which reports count, in words."""

_LEVELS = ("trial", "study", "patient")  # the finest that a report has is the one it speaks of


@dataclass(frozen=True, eq=False)
class Links:
    """The pairs of records and reports of a manifest; every number is a row of it.

    Args:
        records: (pairs,) the record of each pair, ascending.
        reports: (pairs,) the report of each pair, ascending for one record.
        n_rows: of the manifest.
    """

    records: Ints
    reports: Ints
    n_rows: int
    _described: Ints = field(init=False, repr=False)  # the records by report
    _record_starts: Ints = field(init=False, repr=False)
    _report_starts: Ints = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_described", self.records[np.lexsort((self.records, self.reports))])
        object.__setattr__(self, "_record_starts", _starts(self.records, self.n_rows))
        object.__setattr__(self, "_report_starts", _starts(self.reports, self.n_rows))

    def reports_of(self, row: int) -> Ints:
        """The rows of the reports that describe a record, ascending; none where `row` is itself a report."""
        return self.reports[self._record_starts[row] : self._record_starts[row + 1]]

    def records_of(self, row: int) -> Ints:
        """The rows of the records that a report describes, ascending; none where `row` is no report."""
        return self._described[self._report_starts[row] : self._report_starts[row + 1]]

    def told(self, table: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A table (rows, classes) in which a report also has the classes of the records that it describes."""
        found = table.copy()
        np.logical_or.at(found, self.reports, table[self.records])
        return found

    @property
    def n_reports(self) -> Ints:
        """(rows,) how many reports describe each row."""
        return np.diff(self._record_starts)

    @property
    def n_records(self) -> Ints:
        """(rows,) how many records each row describes."""
        return np.diff(self._report_starts)


def links(manifest: Manifest) -> Links:
    """Pair reports with the records that they describe.

    A report with a trial describes the record of that trial; else, with a study, all records of the study; else all
    records of its patient. A report of another patient than the record is never its partner. What is quarantined has
    no partners.

    Args:
        manifest: records and reports.

    Returns:
        The pairs.
    """
    usable = manifest.column("status") == "ok"
    is_report = manifest.kinds == "report"
    reports, records = np.flatnonzero(usable & is_report), np.flatnonzero(usable & ~is_report)
    found: list[tuple[Ints, Ints]] = []
    for level in _LEVELS:
        codes = manifest.column(level)
        speaking = codes[reports] >= 0
        found.append(_joined(codes, records, reports[speaking]))
        reports = reports[~speaking]
    left, right = (np.concatenate([pair[side] for pair in found]) for side in (0, 1))
    patient = manifest.column("patient")
    same = (patient[left] == patient[right]) | (patient[left] < 0) | (patient[right] < 0)
    left, right = left[same], right[same]
    order = np.lexsort((right, left))
    return Links(left[order], right[order], len(manifest))


def taking_part(manifest: Manifest, reports: Partners) -> NDArray[np.bool_]:
    """(rows,) which rows are linked: every record, and of the reports those of `reports`.

    Args:
        manifest: of all kinds.
        reports: `record` for those that name the one record that they describe, `study` for those that do not and so
            speak of all records of a study or a patient.

    Raises:
        UsageError: another word.
    """
    if reports not in PARTNERS:
        raise UsageError(f"reports: {reports} is none of {', '.join(PARTNERS)}")
    if reports == "all":
        return np.ones(len(manifest), dtype=bool)
    of_one = manifest.column("trial") >= 0
    return np.asarray((manifest.kinds != "report") | (of_one == (reports == "record")))


def text_ids(manifest: Manifest) -> Ints:
    """A number for each text, by which identical texts are known.

    Args:
        manifest: records and reports.

    Returns:
        (records,) non-negative hash of the text, whatever its case, its white space and its Unicode form; -1 where
        there is no text. Among a million texts two share a number with a probability of 5e-8.
    """
    texts = manifest.column("report")
    return np.array([-1 if text is None else text_code(str(text)) for text in texts], dtype=np.int64)


def _joined(codes: Ints, records: Ints, reports: Ints) -> tuple[Ints, Ints]:
    """All pairs of a record and a report with the same code."""
    by_code = records[np.argsort(codes[records], kind="stable")]
    own = codes[by_code]
    first = np.searchsorted(own, codes[reports], side="left")
    count = np.searchsorted(own, codes[reports], side="right") - first
    # Position of each pair among the records of its report, without a loop: 0 1 2 | 0 | 0 1 ...
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return by_code[np.repeat(first, count) + within], np.repeat(reports, count)


def _starts(rows: Ints, n_rows: int) -> Ints:
    """Where the pairs of each row begin when they are sorted by it, and the end."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(np.bincount(rows, minlength=n_rows))])
