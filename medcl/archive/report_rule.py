"""Where the reports of an archive are, and what they describe."""

from dataclasses import dataclass, field
from typing import Literal

from medcl.errors import UsageError


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
