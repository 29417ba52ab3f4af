"""The texts of reports, without what names a person; in several processes."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from medcl.archive.deid_presidio import find_with_presidio, is_presidio, models_of
from medcl.archive.deidentify import Deidentifier, deidentify, load_deidentifier, replace_found
from medcl.archive.path_ids import ids_of, is_placeholder, without_placeholders
from medcl.archive.table import LabelTable
from medcl.engine.parallel import quiet
from medcl.errors import MedclError, UnreadableError, UsageError, reason
from medcl.modality.report.text import canonical
from medcl.modality.report.wording import names_a_person


@dataclass(frozen=True)
class ReportRule:
    """Reports that are files, or cells of a table.

    Args:
        files: glob of report files relative to the archive (text, XML, DICOM structured reports): `reports/**/*.txt`.
            Their ids come from the id pattern on their paths, else from what they state themselves.
        table: as `read_table` takes it, relative to the archive; a rule of a data-set card without `files` and `table`
            means the card's own table.
        column: of the table that holds the text.
        sections: heading -> column, where the table has a column a section: `{FINDINGS: findings}`.
        key: column that names what a report describes. The rule of a card that uses the card's table need not say it.
        patient: column of the patient id, where a study is numbered within its patient.
        belongs: what a report describes: a `record` (the key is a path, with or without suffix, a file name or the
            folder of a DICOM series; a file has the name of its record beside or above it, or states it), a `study`
            (the key is its clear id, or that of a session) or a `patient`. A file speaks of the finest of these that
            can be found, but of no finer one.
        deidentify: `rules` replaces names, dates, ids and numbers; `presidio` what presidio finds as well
            (`presidio:LANGUAGE=MODEL,...` with other spaCy models than the one for English); `none` keeps the text;
            `module:function` is a function of the text and of the names that are known to stand in it.
    """

    files: str | None = None
    table: str | tuple[str, ...] | None = None
    column: str | None = None
    sections: dict[str, str] = field(default_factory=dict)
    key: str | None = None
    patient: str | None = None
    belongs: Literal["record", "study", "patient"] = "record"
    deidentify: str = "rules"

    def __post_init__(self) -> None:
        if self.files is not None and (self.table or self.column or self.sections or self.key or self.patient):
            raise UsageError("reports are `files`, or cells of a `table` with columns: give one of them")
        if self.files is None and (self.column is None) == (not self.sections):
            raise UsageError("reports in a table: `column` names the one of the text, or `sections` one a heading")
        if self.table is not None and self.key is None:
            raise UsageError("reports in a table: `key` names the column that tells what each report describes")
        if self.deidentify not in ("rules", "none", "presidio") and not all(self.deidentify.partition(":")):
            raise UsageError(f"deidentify is {self.deidentify!r}, allowed are rules, presidio, none or module:function")


EMPTY = "empty report"
_SHORTEST = 4  # characters of an id
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
        flags: what a person should know of how it was read.
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
    flags: tuple[str, ...] = ()


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
        text = clear(draft.text, draft.known)
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
        from medcl.modality.report.record import identify_report, read_reports

        form = None
        try:
            form = identify_report(self.root / path)
            if form is None:
                return Draft(path, None, status="no report: a DICOM object of another kind")
            found = read_reports(self.root / path, form)
        except Exception as error:  # A damaged file may raise anything, and ends no scan.
            return Draft(path, form, status=reason(error))
        ids, stated = _path_ids(path, self.pattern), dict(found.ids)
        if is_placeholder(stated.get("patient", "")):
            stated.pop("patient", None)
        known = (*_long(found.ids.values()), *_long(found.records), *_long(ids.values()), *found.names)
        return Draft(path, form, found.text, "ok", None, stated, found.records, ids, _named(known), found.flags)


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
    owners = [None] * len(table) if patient is None else without_placeholders(table.codes(patient))
    used = {key, patient, *sections.values()}
    persons = [table.columns[name] for name in table.columns if name not in used and names_a_person(name)]
    drafts = []
    for row, (path, name, owner) in enumerate(zip(paths, keys, owners, strict=True)):
        cells = {heading: cells[row] or "" for heading, cells in bodies.items()}
        # The text of one column is kept as it is: what looks like a heading in it may be one.
        text = cells[""] if set(cells) == {""} else canonical(cells)
        ids = _path_ids(name, pattern) if record and name is not None else {}
        named = (cells[row] for cells in persons)
        known = (*_long((name, owner, *ids.values())), *(word for word in named if word is not None))
        stated = {} if owner is None else {"patient": owner}
        drafts.append(Draft(path, "table", text, key=name, stated=stated, known=_named(known)))
    return drafts


def _long(ids: Iterable[str | None]) -> list[str]:
    """Without those that are too short to look for: `12`, `PA` and `a0` are also a count, a view and a measurement."""
    return [one for one in ids if one is not None and len(one.strip()) >= _SHORTEST]


def _path_ids(path: str, pattern: re.Pattern[str] | None) -> dict[str, str]:
    try:
        ids = ids_of(path, pattern)
    except UnreadableError:
        return {}
    # A report of nobody known is not that of the first other one. 0 may be a patient: else no record has it.
    if is_placeholder(ids.get("patient", ""), zero_is_id=True):
        ids.pop("patient", None)
    return ids


def _named(words: Iterable[str]) -> tuple[str, ...]:
    """Of what may name a person in a text, what does: `unknown` is a word of reports."""
    return tuple(word for word in words if not is_placeholder(word))


def check_deidentifier(name: str) -> None:
    """Refuse a de-identifier that is not there, before any report is read.

    Raises:
        UsageError: it needs a package or a model that is not installed, or a function that does not exist.
    """
    if is_presidio(name):
        models_of(name)
    else:
        _deidentifier(name)


def _deidentifier(name: str) -> Deidentifier:
    if name == "none":
        return lambda text, known: text
    if is_presidio(name):
        return partial(_with_presidio, name)
    return deidentify if name == "rules" else load_deidentifier(name)


def _with_presidio(spec: str, text: str, known: Sequence[str]) -> str:
    text = unicodedata.normalize("NFC", text)
    return replace_found(text, find_with_presidio(text, known, spec))
