"""`medcl scan` as one function: walk the folder, join the labels, split the patients, write the manifest."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medcl import documents
from medcl.archive import card as cards
from medcl.archive.config import ScanRequest
from medcl.archive.events import own_patients, with_events
from medcl.archive.identity import PUBLIC_SALT, site_salt
from medcl.archive.labels import JoinReport, join, join_card
from medcl.archive.manifest import Manifest
from medcl.archive.masks import MaskReport, join_masks
from medcl.archive.path_ids import compile_pattern
from medcl.archive.report_read import ReportRule
from medcl.archive.reports import ReportSummary, join_reports
from medcl.archive.scan import ScanSummary, require_patients, scan_to, summary
from medcl.archive.split import missing_splits, split
from medcl.archive.table import read_table
from medcl.errors import MedclError, UsageError
from medcl.modality.signal.config import Stated


@dataclass(frozen=True)
class BuildReport:
    """What a scan found, and where it was written."""

    summary: ScanSummary
    join: JoinReport | None
    splits: dict[str, int]
    output: Path
    masks: MaskReport | None = None
    reports: ReportSummary | None = None

    def __str__(self) -> str:
        lines = [str(self.summary)]
        if self.join is not None and self.join.rows:
            labelled = ", ".join(f"{name} {count}" for name, count in self.join.labelled.items()) or "none"
            lines.append(
                f"label table: {self.join.matched} records matched, {self.join.records_absent} not in the table, "
                f"{self.join.rows_absent} rows name no record; labelled: {labelled}"
            )
            if self.join.dialect:
                lines.append(f"  read with {self.join.dialect}")
        if self.reports is not None:
            lines.append(str(self.reports))
        lines.append("split, patients: " + ", ".join(f"{name} {count}" for name, count in self.splits.items()))
        if hint := missing_splits(self.splits, self.output):
            lines.append(f"  {hint}")
        lines.append(f"manifest: {self.output}")
        return "\n".join(lines)


def build_manifest(request: ScanRequest) -> BuildReport:
    """Scan an archive.

    Args:
        request: folder, output and where ids and labels come from.

    Returns:
        What was found.

    Raises:
        UsageError: options that contradict each other, a column that is not there.
        MedclError: the folder cannot be read, holds no record, or the labels do not fit.
    """
    card = cards.load(documents.find("card", request.card)) if request.card else None
    missing = (*request.missing, *(card.missing if card else ()))
    card = None if card is None else replace(card, missing=missing)
    if request.labels is not None and card is None:
        # Before the archive, which may take hours: a table that cannot be read is an error at once.
        read_table(request.labels, missing)
    previous = Manifest.read(request.output, in_memory=False) if request.output.exists() else None
    public = card is not None and card.public_ids
    salt = PUBLIC_SALT if public else site_salt()
    rules = _report_rules(request, card)
    id_pattern = request.id_pattern or (card.id_pattern if card else None)
    masks = request.masks or (card.masks if card else None)
    manifest = scan_to(
        request.folder,
        request.output,
        id_pattern=id_pattern,
        include=request.include or (card.records if card else None),
        previous=previous,
        salt=salt,
        public_ids=public,
        jobs=request.jobs,
        cluster=request.cluster,
        modality=request.modality or (card.modality if card else None),
        images=request.images,
        masks=masks,
        stated=_stated(request, card),
        strict=request.strict,
    )
    if events := list(_stated(request, card).labels.items()):
        manifest = with_events(manifest, events)
    report = None
    if card is not None:
        manifest, report = join_card(manifest, card, request.folder, salt=salt)
    elif request.labels is not None:
        manifest, report = join(
            manifest,
            request.labels,
            record_column=request.record_column,
            patient_column=request.patient_column,
            target_columns=request.target_columns,
            missing=missing,
            salt=salt,
        )
    manifest = own_patients(manifest) if request.patient_per_record else require_patients(manifest)
    if not manifest.usable.any():
        reasons = ", ".join(sorted({str(reason) for reason in manifest.column("status")})[:3])
        raise MedclError(
            f"{request.folder}: none of {len(manifest)} records can be used: "
            f"{reasons or 'no recording and no volume was found'}"
        )
    mask_report = None
    if masks is not None:
        manifest, mask_report = join_masks(
            manifest, masks, compile_pattern(id_pattern) if id_pattern else None, strict=request.strict
        )
    if not manifest.has("split") or not any(len(manifest.split_rows(name)) for name in ("train", "val", "test")):
        stratify = request.stratify or next(iter(manifest.targets), None)
        manifest = split(
            manifest, request.fractions, stratify=stratify, seed=request.seed, keep=_with_split(previous, manifest)
        )
    report_summary = None
    if rules:
        compiled = compile_pattern(id_pattern) if id_pattern else None
        manifest, report_summary = join_reports(
            manifest, rules, request.folder, salt=salt, pattern=compiled, missing=missing, jobs=request.jobs
        )
    if card is not None:
        about = {name: getattr(card, name) for name in ("name", "version", "source", "licence", "citation")}
        manifest = replace(manifest, metadata={**manifest.metadata, "dataset": about})
    manifest.write(request.output)
    patients = manifest.column("patient")
    splits = {name: len(np.unique(patients[manifest.split_rows(name)])) for name in ("train", "val", "test")}
    found = summary(manifest.select(manifest.kinds != "report"))
    return BuildReport(found, report, splits, request.output, mask_report, report_summary)


def _with_split(previous: Manifest | None, manifest: Manifest) -> Manifest | None:
    """The earlier manifest, where its patients can keep their splits: it has some, and codes patients alike."""
    if previous is None or not previous.has("split") or previous.metadata.get("salt") != manifest.metadata.get("salt"):
        return None
    return previous


def _stated(request: ScanRequest, card: cards.DatasetCard | None) -> Stated:
    """What the call states of signals; where it leaves something open, what the card does."""
    own = request.stated.settings() if request.stated is not None else {}
    return Stated.of((card.stated.settings() if card is not None else {}) | own)


def _report_rules(request: ScanRequest, card: cards.DatasetCard | None) -> list[ReportRule]:
    rules = [*(card.reports if card is not None else ()), *request.reports]
    if request.deidentify is not None and not rules:
        raise UsageError("--deidentify is about reports: say where they are with --reports, or with a card that does")
    return rules if request.deidentify is None else [replace(rule, deidentify=request.deidentify) for rule in rules]
