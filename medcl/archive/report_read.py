"""The texts of reports, without what names a person; in several processes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from medcl.archive.deidentify import Deidentifier, deidentify, load_deidentifier
from medcl.archive.path_ids import ids_of
from medcl.archive.table import LabelTable
from medcl.engine.quiet import quiet
from medcl.errors import MedclError, UnreadableError, reason
from medcl.readers.report_text import canonical

EMPTY = "empty report"
_SHORTEST = 4  # characters of an id that is looked for in the text: a shorter one is also a count or a measurement
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1f\ufffd]")


@dataclass(frozen=True)
class Draft:
    """A report before it is known what it describes. Its ids are clear: it never leaves the scan.

    Args:
        path: of its file or table, relative to the archive.
        format: text, xml, dicom-sr or table; None where it is none of them.
        text: what is kept of it.
        status: `ok`, or why it cannot be used.
        key: what the table says that it describes.
        stated: ids that its table or the file itself states: patient, study.
        records: names of records that the file says it belongs to.
        path_ids: ids in its path.
        known: what names a person and may stand in the text.
    """

    path: str
    format: str | None
    text: str = ""
    status: str = "ok"
    key: str | None = None
    stated: dict[str, str] = field(default_factory=dict)
    records: tuple[str, ...] = ()
    path_ids: dict[str, str] = field(default_factory=dict)
    known: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clean:
    """Takes what names a person out of texts, and out of the queue what is no text.

    Args:
        deidentify: see `ReportRule`.
    """

    deidentify: str

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft]:
        """The same reports with the text that is kept."""
        clear = _deidentifier(self.deidentify)
        return [self._one(draft, clear) for draft in drafts]

    def _one(self, draft: Draft, clear: Deidentifier) -> Draft:
        if draft.status != "ok":
            return replace(draft, text="")
        if not draft.text.strip():
            return replace(draft, text="", status=EMPTY)
        if _NO_TEXT.search(draft.text):
            return replace(draft, text="", status="not text: it holds control characters, or signs that were lost")
        known = [word for word in draft.known if len(word.strip()) >= _SHORTEST]
        text = clear(draft.text, known)
        if not isinstance(text, str):
            raise MedclError(f"de-identifier {self.deidentify!r}: the function returned no text")
        return replace(draft, text=text) if text.strip() else replace(draft, text="", status=EMPTY)


@dataclass(frozen=True)
class ReadFiles:
    """Reads report files.

    Args:
        root: of the archive.
        pattern: of ids in the paths.
        clean: of the texts.
    """

    root: Path
    pattern: re.Pattern[str] | None
    clean: Clean

    def __call__(self, paths: Sequence[str]) -> list[Draft]:
        """Read files, whose paths are relative to the root; one that is no report has the format None."""
        with quiet():
            drafts = [self._one(path) for path in paths]
        return self.clean(drafts)

    def fatal(self, path: str) -> list[Draft]:
        """What stands for a file whose reading ended the process that tried."""
        return [Draft(path, None, status="damaged file: reading it ends the reader")]

    def _one(self, path: str) -> Draft:
        # The library of DICOM takes its time to load: only where reports are files.
        from medcl.readers.report import identify_report, read_reports

        form = None
        try:
            form = identify_report(self.root / path)
            if form is None:
                return Draft(path, None, status="no report: a DICOM object of another kind")
            found = read_reports(self.root / path, form)
        except Exception as error:
            return Draft(path, form, status=reason(error))
        ids = _path_ids(path, self.pattern)
        known = (*found.ids.values(), *found.records, *ids.values())
        return Draft(path, form, found.text, "ok", None, dict(found.ids), found.records, ids, known)


def table_drafts(
    table: LabelTable,
    paths: Sequence[str],
    sections: dict[str, str],
    key: str,
    patient: str | None,
    record: bool,
    pattern: re.Pattern[str] | None,
) -> list[Draft]:
    """The reports of a table.

    Args:
        table: one row a report.
        paths: (rows,) of the table's file.
        sections: heading -> column; '' is text without a heading.
        key: column of what a report describes.
        patient: column of the patient.
        record: whether the key names records, which are paths and no numbers.
        pattern: of ids in the paths of records.

    Returns:
        One draft a row, not cleaned.

    Raises:
        UsageError: there is no such column.
    """
    bodies = {heading: table.column(column) for heading, column in sections.items()}
    keys = table.column(key) if record else table.codes(key)
    owners = [None] * len(table) if patient is None else table.codes(patient)
    drafts = []
    for row, (path, name, owner) in enumerate(zip(paths, keys, owners, strict=True)):
        cells = {heading: cells[row] or "" for heading, cells in bodies.items()}
        # The text of one column is kept as it is: what looks like a heading in it may be one.
        text = cells[""] if set(cells) == {""} else canonical(cells)
        ids = _path_ids(name, pattern) if record and name is not None else {}
        known = (*(word for word in (name, owner) if word is not None), *ids.values())
        stated = {} if owner is None else {"patient": owner}
        drafts.append(Draft(path, "table", text, key=name, stated=stated, known=known))
    return drafts


def _path_ids(path: str, pattern: re.Pattern[str] | None) -> dict[str, str]:
    try:
        return ids_of(path, pattern)
    except UnreadableError:
        return {}


def _deidentifier(name: str) -> Deidentifier:
    if name == "none":
        return lambda text, known: text
    return deidentify if name == "rules" else load_deidentifier(name)
