"""One report from one file, in whatever format its content is, and the ids and names that it states."""

from importlib import import_module
from pathlib import Path
from typing import cast

from medcl.errors import UnreadableError, system_reason
from medcl.modality.foreign import deadline
from medcl.modality.report.formats import FORMATS
from medcl.modality.report.formats.text import Report

MODALITIES = ("report",)
"""What the manifest calls them: a scan does not find them by their content, but where a rule says that they are."""
_ROOM = "medcl.modality.report.formats"
MOST_BYTES = 16 * 2**20
"""Of a file; the reports of a whole hospital in one file are a table."""
_LONGEST = 60.0  # seconds that a file may take


def read_reports(path: Path, format: str) -> Report:
    """Read the report that a file holds.

    Args:
        path: of the file.
        format: as `identify_report` found it. RTF and PDF need the extra `medcl[reports]`.

    Returns:
        The report. Its text is empty where the file holds none: that is no error of the file.

    Raises:
        UnreadableError: the file cannot be opened, is larger than `MOST_BYTES`, takes longer than a minute, is not of
            that format, needs a package that is not installed, or its bytes are not in the encoding that it states.
    """
    content = _bytes(path)
    if format == "dicom-sr":
        from medcl.modality.report.formats.sr import read_sr

        return read_sr(path)
    reader = next((form.reader for form in FORMATS if form.name == format), None)
    if reader is None:
        raise UnreadableError(f"format {format!r} is none of {', '.join(form.name for form in FORMATS)}")
    with deadline(_LONGEST):
        return cast(Report, getattr(import_module(f"{_ROOM}.{reader}"), f"read_{format}")(content))


def identify_report(path: Path) -> str | None:
    """Which format the content of a file is, whatever its name; for files that are said to be reports.

    Returns:
        The format; None where it is a DICOM object that is no report. A file of no format that is known is 'text':
        whether it is readable is for `read_reports` to say.

    Raises:
        UnreadableError: the file cannot be opened.
    """
    from medcl.modality.dicom.file import is_dicom
    from medcl.modality.report.formats.documents import is_docx

    if is_dicom(path):
        from medcl.modality.report.formats.sr import is_structured_report

        return "dicom-sr" if is_structured_report(path) else None
    with path.open("rb") as file:
        start = file.read(1024)
    found = (form for form in FORMATS if form.begins and form.begins(start, path))
    return next(form.name for form in found if form.name != "docx" or is_docx(_bytes(path)))


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {system_reason(error)}") from error
    if len(content) > MOST_BYTES:
        raise UnreadableError(
            f"a report of more than {MOST_BYTES // 2**20} MB: if it holds many reports, write them as a table (CSV)"
        )
    return content
