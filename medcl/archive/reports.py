"""Reports become rows of the manifest, beside the records that they describe."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from medcl.archive.card import inside
from medcl.archive.file_state import state
from medcl.archive.identity import name_codes, record_code
from medcl.archive.links import links, text_ids
from medcl.archive.manifest import Manifest
from medcl.archive.report_place import Places, ReportPlace
from medcl.archive.report_read import Clean, Draft, ReadFiles, ReportRule, check_deidentifier, table_drafts
from medcl.archive.table import read_table
from medcl.archive.walk import Walk, walk
from medcl.engine.parallel import run_chunks
from medcl.engine.progress import progress
from medcl.errors import MedclError, UsageError
from medcl.modality.formats import suffix_of
from medcl.wording import counted, line

__all__ = ["ReportRule", "ReportSummary", "join_reports"]

_CHUNK = 256
_Placed = list[tuple[Draft, ReportPlace]]


@dataclass(frozen=True)
class ReportSummary:
    """What was found of reports.

    Args:
        reports: that are usable.
        linked: of them, that describe at least one usable record.
        alone: of them, that describe none; they can still train text.
        without: usable records that no report describes.
        identical: usable reports whose text another one has too.
        no_patient: usable reports of which nobody knows the patient, so that they are in no split.
        quarantined: reason -> reports that cannot be used; of files with their suffix, `.pdf, damaged PDF`.
    """

    reports: int
    linked: int
    alone: int
    without: int
    identical: int
    no_patient: int
    quarantined: dict[str, int]

    def __str__(self) -> str:
        parts = [f"{self.linked} linked, {self.alone} without a record"]
        parts += [f"{self.identical} with a text that others have too"] if self.identical else []
        parts += [f"{self.no_patient} of no known patient and so in no split"] if self.no_patient else []
        text = line("reports", f"{self.reports} ({', '.join(parts)}); {self.without} records have no report")
        if self.quarantined:
            listed = counted(self.quarantined) if len(self.quarantined) > 1 else next(iter(self.quarantined))
            text += f"; {sum(self.quarantined.values())} quarantined ({listed})"
        if self.reports and not self.linked:
            text += "\n  none describes a record: the paths, names or ids of records and what names them have to agree"
        return text


def join_reports(
    manifest: Manifest,
    rules: Sequence[ReportRule],
    folder: Path,
    *,
    salt: bytes,
    pattern: re.Pattern[str] | None = None,
    missing: Sequence[str] = (),
    jobs: int = -1,
    found: Walk | None = None,
) -> tuple[Manifest, ReportSummary]:
    """Add reports to the records.

    A report has the patient and the split of what it describes. The reports of a patient without any record are in
    `train` where the split was drawn here and the rule's patients are those of the records; under an official split,
    which may place them elsewhere, they are in none.

    Args:
        manifest: scanned records, labelled and split; rows of reports are replaced.
        rules: where the reports are.
        folder: of the archive.
        salt: of the codes, the same as the manifest's.
        pattern: of ids in paths.
        missing: words of tables for a missing value, beside the usual ones.
        jobs: processes.
        found: files that a rule's glob is not asked for; None: those that match it.

    Returns:
        The manifest with its reports behind the records, and the counts. Empty reports, binary files and those in
        another encoding are rows too, with the reason in `status`.

    Raises:
        UsageError: a glob without files, a table or a column that is not there, a study of several patients.
        MedclError: what is no table, or a key that is the name of several records.
    """
    manifest = manifest.select(manifest.kinds != "report")
    drafts = [_drafts(rule, manifest, folder, pattern, missing, jobs, found) for rule in rules]
    files = {draft.path for own in drafts for draft in own if draft.format != "table"}
    listed = manifest.column("path")
    # A damaged DICOM file that a rule claims is a report that cannot be read, not a volume.
    refused = (manifest.column("trial") < 0) & np.array([path in files for path in listed], dtype=bool)
    manifest = manifest.select(~refused) if refused.any() else manifest
    places = Places(manifest, pattern, salt)
    rows: list[dict[str, Any]] = []
    numbers: dict[str, int] = defaultdict(int)
    states: dict[str, dict[str, Any]] = {}
    public = bool(manifest.metadata.get("scan", {}).get("public_ids"))
    for rule, own in zip(rules, drafts, strict=True):
        placed = _placed(rule, own, places)
        train = _may_train(manifest, placed)
        for draft, place in placed:
            if draft.path not in states:
                states[draft.path] = state(folder, draft.path, [os.path.basename(draft.path)])
            rows.append(_row(draft, place, numbers[draft.path], salt, public, train) | states[draft.path])
            numbers[draft.path] += 1
    added = pa.Table.from_pylist(rows, schema=manifest.table.schema)
    joined = replace(manifest, table=pa.concat_tables([manifest.table.select(added.column_names), added]))
    joined = _with_splits(joined, len(manifest))
    # With the salt that everybody knows, names could be tried until a code fits.
    names = [] if public else name_codes((word for own in drafts for draft in own for word in draft.known), salt)
    joined = replace(joined, metadata=_metadata(manifest, rules, files.difference(listed[refused]), names))
    return joined, _summary(joined)


def _drafts(
    rule: ReportRule,
    manifest: Manifest,
    folder: Path,
    pattern: re.Pattern[str] | None,
    missing: Sequence[str],
    jobs: int,
    found: Walk | None,
) -> list[Draft]:
    check_deidentifier(rule.deidentify)
    clean = Clean(rule.deidentify)
    if rule.files is None:
        if rule.table is None or rule.key is None:
            raise UsageError("reports in a table need `table` and `key`")
        tables = [rule.table] if isinstance(rule.table, str) else rule.table
        table = read_table([inside(folder, one) for one in tables], missing)
        relative = {path: os.path.relpath(path, folder).replace(os.sep, "/") for path in set(table.files)}
        paths = [relative[path] for path in table.files]
        sections = rule.sections or {"": str(rule.column)}
        cells = table_drafts(table, paths, sections, rule.key, rule.patient, rule.belongs == "record", pattern)
        return _counted(run_chunks(clean, cells, jobs=jobs, chunk=_CHUNK, ordered=True), len(cells))
    taken = files_of_records(manifest)
    paths = [path for path in (walk(folder, rule.files) if found is None else found).files if path not in taken]
    if not paths and found is None:
        raise UsageError(f"reports {rule.files!r}: all files of the pattern are records, none is a report")
    read = ReadFiles(folder, pattern, clean)
    drafts = _counted(run_chunks(read, paths, jobs=jobs, chunk=_CHUNK, instead=read.fatal), len(paths))
    return sorted(drafts, key=lambda draft: draft.path)


def _counted(parts: Iterable[Sequence[Draft]], total: int) -> list[Draft]:
    drafts: list[Draft] = []
    with progress("scan: reports", total, "report") as bar:
        for part in parts:
            drafts += part
            bar.update(len(part))
    return drafts


def files_of_records(manifest: Manifest) -> set[str]:
    """The files that are records, or parts of one."""
    found = manifest.select(manifest.column("trial") >= 0)
    taken = set(found.column("path"))
    for path, names in zip(found.column("path"), found.column("files"), strict=True):
        inside = os.path.dirname(path)
        taken.update(os.path.normpath(os.path.join(inside, name)) for name in names or ())
    return taken


def _placed(rule: ReportRule, drafts: Sequence[Draft], places: Places) -> _Placed:
    """Each report with what it describes; a report of several single records stands once for each."""
    find = places.of_cell if rule.files is None else places.of_file
    try:
        return [(draft, place) for draft in drafts for place in find(draft, rule.belongs)]
    except MedclError as error:
        raise type(error)(f"reports in {rule.table or rule.files}, column {rule.key!r}: {error}") from error


def _may_train(manifest: Manifest, placed: _Placed) -> bool:
    """Whether patients that only have reports can be told from those that have records."""
    drawn = "official" not in manifest.metadata.get("split", {})
    return drawn and any(place.patient_known for _, place in placed)


def _row(draft: Draft, place: ReportPlace, number: int, salt: bytes, public: bool, train: bool) -> dict[str, Any]:
    name = f"{draft.path}#{number}" if number or draft.format == "table" else draft.path
    usable = draft.status == "ok"
    return {
        "record_id": name if public else record_code(f"report\0{name}", salt),
        "modality": "report",
        "format": draft.format,
        "path": draft.path,
        "part": number,
        "files": [os.path.basename(draft.path)],
        "patient": place.patient,
        "found_patient": place.patient,
        "study": place.study,
        # What has neither trial nor study speaks of its whole patient.
        "trial": place.trial,
        "report": draft.text if usable else None,
        "flags": list(draft.flags) or None,
        "status": draft.status,
        "found_status": draft.status,
        "split": "train" if train and usable and place.patient is not None and not place.patient_known else None,
    }


def _with_splits(manifest: Manifest, n_records: int) -> Manifest:
    """The reports that come behind the records in the splits of their patients."""
    if not manifest.has("split"):
        return manifest
    splits, patients, status = (manifest.column(name) for name in ("split", "patient", "status"))
    split_of = {
        int(patient): split
        for patient, split in zip(patients[:n_records], splits[:n_records], strict=True)
        if patient >= 0 and split is not None
    }
    for row in range(n_records, len(manifest)):
        if status[row] == "ok":
            splits[row] = split_of.get(int(patients[row]), splits[row])
    return manifest.with_column("split", pa.array(splits, type=pa.string()))


def _metadata(
    manifest: Manifest, rules: Sequence[ReportRule], files: Iterable[str], names: list[int]
) -> dict[str, Any]:
    """What holds for all rows; the scan has counted the files of reports among those that are no records."""
    about = dict(manifest.metadata.get("scan", {}))
    if about.get("others") is not None:
        others: Counter[str] = Counter(about["others"])
        about["others"] = dict(others - Counter(map(suffix_of, files)))
    return {
        **manifest.metadata,
        "scan": about,
        "reports": {"deidentify": [rule.deidentify for rule in rules], "names": names},
    }


def _summary(manifest: Manifest) -> ReportSummary:
    ok, is_report = manifest.column("status") == "ok", manifest.kinds == "report"
    found, texts = links(manifest), text_ids(manifest)
    usable = ok & is_report
    same = Counter(texts[usable].tolist())
    left_out = is_report & ~ok
    columns = (manifest.column(name)[left_out] for name in ("status", "path", "format"))
    reasons = Counter(_reason(*row) for row in zip(*columns, strict=True))
    linked = int((found.n_records[usable] > 0).sum())
    return ReportSummary(
        reports=int(usable.sum()),
        linked=linked,
        alone=int(usable.sum()) - linked,
        without=int((found.n_reports[ok & ~is_report] == 0).sum()),
        identical=sum(count for count in same.values() if count > 1),
        no_patient=int((manifest.column("patient")[usable] < 0).sum()),
        quarantined=dict(reasons.most_common()),
    )


def _reason(status: Any, path: Any, form: Any) -> str:
    """Why a report is left out, in a few words; of a file its suffix too, so that no kind of file goes unseen."""
    short = str(status).split(":")[0]
    if form == "table":
        return short
    return f"{os.path.splitext(str(path))[1].lower() or 'no suffix'}, {short}"
