"""From files to a manifest: phantom, scan, split."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from medcl import files
from medcl.commands import next_step
from medcl.commands.arguments import Column, ManifestSource, PathSource, Result, config_of, one_or_many
from medcl.errors import UsageError

if TYPE_CHECKING:
    from medcl.archive.manifest import Manifest
    from medcl.archive.report_read import ReportRule

Fractions = Annotated[tuple[float, float, float], ("TRAIN", "VAL", "TEST")]


@one_or_many
def phantom(
    folder: PathSource,
    ecg_patients: int = 120,
    eeg_subjects: int = 20,
    ct_patients: int = 0,
    mr_patients: int = 0,
    xray_patients: int = 0,
    reports: bool = False,
    seed: int = 0,
    stimulus: bool = False,
    shape_patients: int = 0,
    shape_sites: bool = False,
    organ_patients: int = 0,
    shape_markers: bool = False,
) -> Result[Path]:
    """Write synthetic patients as real files with label tables: WFDB, EDF, DICOM, NIfTI, and reports of them.

    Args:
        folder: new or empty folder that is written.
        ecg_patients: number of patients with 12-lead ECGs.
        eeg_subjects: number of subjects with 19-channel EEGs.
        ct_patients: number of patients with CTs of the chest and label maps.
        mr_patients: number of patients with MRs of the head and label maps.
        xray_patients: number of patients with radiographs of the chest; the same patients as those of the CTs.
        reports: write reports too, of the ECGs (text), CTs and radiographs (DICOM SR).
        seed: random seed; the same seed writes the same bytes.
        stimulus: let the subjects of EEGs hear speech, whose envelope is a further channel, `envelope`.
        shape_patients: number of patients with small images of shapes, their reports and the boxes of their findings:
            a test bed of methods for images and reports.
        shape_sites: let three hospitals mark these images and word their reports differently.
        organ_patients: number of patients with MRs of the abdomen of three scanners, in axial or coronal slices, and
            label maps of seven organs.
        shape_markers: add a table of laboratory values to the images of shapes, which follow the findings and a history
            that reports tell: image, report and table of each study.

    Returns:
        The folder.

    Raises:
        UsageError: a number is negative, or all are 0, or there are no images to which a table could belong.
        MedclError: the folder is not empty, or cannot be written.
    """
    folder = Path(folder)
    counts = {
        "ecg": ecg_patients,
        "eeg": eeg_subjects,
        "ct": ct_patients,
        "mr": mr_patients,
        "xray": xray_patients,
        "shapes": shape_patients,
        "organs": organ_patients,
    }
    if min(counts.values()) < 0:
        raise UsageError("a number of patients is below 0")
    if not any(counts.values()):
        raise UsageError("nothing to write: every number of patients is 0")
    if shape_markers and not shape_patients:
        raise UsageError("--shape-markers: needs --shape-patients, whose studies the table is of")
    from medcl.engine.progress import watched

    watch = partial(watched, title="phantom", unit="patient")
    written: list[object] = []
    try:
        if ecg_patients or eeg_subjects:
            from medcl.phantom.archive import write

            written.append(write(folder, ecg_patients, eeg_subjects, seed, stimulus=stimulus, watch=watch))
        if ct_patients or mr_patients:
            from medcl.phantom.volumes import write_volumes

            counted = {"ct_patients": ct_patients, "mr_patients": mr_patients}
            written.append(write_volumes(folder, **counted, seed=seed, watch=watch))
        if xray_patients:
            from medcl.phantom.radiograph import write_radiographs

            written.append(write_radiographs(folder, xray_patients, seed, watch=watch))
        if shape_patients:
            from medcl.phantom.shapes import SITES, write_shapes

            sites = SITES if shape_sites else ()
            written.append(write_shapes(folder, shape_patients, seed, sites=sites, watch=watch))
        if shape_markers:
            from medcl.phantom.markers import add_markers

            written.append(add_markers(folder, seed))
        if organ_patients:
            from medcl.phantom.organ_archive import write_organs

            written.append(write_organs(folder, organ_patients, seed, watch=watch))
        if reports:
            from medcl.phantom.report_files import add_reports

            written.append(add_reports(folder, seed))
    except OSError as error:
        raise files.unwritable(folder, error) from error
    kinds = [kind for kind, count in counts.items() if count]
    first, *others = next_step.after_phantom(folder, kinds, markers=shape_markers)
    lines = [*map(str, written), *(f"to scan the others: {one}" for one in others)]
    return Result("\n".join(lines), lambda: folder, folder, first)


@one_or_many
def scan(
    folder: PathSource,
    output: PathSource,
    *,
    card: Path | str | None = None,
    labels: PathSource | None = None,
    masks: Annotated[str | None, "PATTERN"] = None,
    mask_classes: Sequence[Annotated[str, "CLASS"]] = (),
    mask_name: str = "mask",
    sampling_rate: Annotated[float | None, "HZ"] = None,
    channels: Sequence[Annotated[str, "NAME"]] = (),
    unit: str = "",
    events: Sequence[Annotated[str, "NAME"]] = (),
    epoch: Annotated[tuple[float, float] | None, ("START", "END")] = None,
    reports: Annotated[str | None, "GLOB_OR_TABLE"] = None,
    report_column: Sequence[Column] = (),
    report_key: Annotated[str | None, "COLUMN"] = None,
    report_patient: Annotated[str | None, "COLUMN"] = None,
    report_belongs: Literal["record", "study", "patient"] = "record",
    **settings: Annotated[Any, "medcl.archive.config:ScanRequest"],
) -> "Result[Manifest]":
    """Find the recordings and volumes in a folder and write them as a manifest.

    Args:
        folder: the archive, or its DICOMDIR; it is only read.
        output: the manifest, a Parquet file; a second scan reads only what changed.
        card: data-set card (YAML file, or the name of a shipped one) that says how ids, labels and folds are found.
        labels: table with one row a record or patient: CSV, TSV, Parquet, JSON or JSON lines.
        masks: paths of label maps relative to the folder: `labels/{name}`, `{folder}/{stem}_seg.nii.gz`, or with the
            groups of `--id-pattern`; label maps are no records.
        mask_classes: names of the voxel values of label maps from 0, the background, on.
        mask_name: column of the label maps in the manifest.
        sampling_rate: sampling rate in Hz of signals whose files do not state it, such as .npy.
        channels: channel names of signals whose files name none, in their order.
        unit: unit of signals whose files state none: uV, mV or V.
        events: events that recordings are cut around, each epoch a record; NAME=LABEL labels them otherwise.
        epoch: seconds from an event to the beginning and to the end of its epoch, such as -0.2 0.8.
        reports: report files by their paths in the folder, such as `reports/**/*.txt` (text, HTML, RTF, PDF, Word, XML,
            HL7, DICOM SR), or, with `--report-column`, a table: CSV, TSV, Parquet, JSON or JSON lines.
        report_column: column of the text; or one a section, such as FINDINGS=findings IMPRESSION=impression.
        report_key: column that names what each report describes.
        report_patient: column of the patient in the table of reports.
        report_belongs: level that a report describes; a report file belongs to the finest known one from here on.
        settings: the other fields of `medcl.archive.config.ScanRequest`.

    Returns:
        The manifest.

    Raises:
        UsageError: options contradict each other, or name what is not there.
        MedclError: the folder cannot be read, or holds no record that can be used.
    """
    if (masks is None) != (not mask_classes):
        raise UsageError("--masks and --mask-classes need each other: where label maps are, and what their values mean")
    from medcl.archive.build import build_manifest
    from medcl.archive.config import ScanRequest
    from medcl.archive.manifest import Manifest
    from medcl.archive.masks import MaskRule
    from medcl.modality.signal.config import Stated

    output = Path(output)
    request = config_of(
        ScanRequest,
        settings,
        folder=Path(folder),
        output=output,
        card=None if card is None else Path(card),
        labels=None if labels is None else Path(labels),
        masks=None if masks is None else MaskRule(masks, tuple(mask_classes), mask_name),
        reports=_report_rules(reports, report_column, report_key, report_patient, report_belongs),
        stated=Stated(
            sampling_rate, tuple(channels), unit, tuple(events), None if epoch is None else (epoch[0], epoch[1])
        ),
    )
    found = build_manifest(request)
    return Result(str(found), lambda: Manifest.read(output), output, next_step.after_scan(found, output))


@one_or_many
def split(
    manifest: ManifestSource,
    output: PathSource | None = None,
    *,
    fractions: Fractions = (0.7, 0.1, 0.2),
    stratify: Annotated[str | None, "TARGET"] = None,
    seed: int = 0,
    folds: int | None = None,
    fold: int = 0,
) -> "Result[Manifest]":
    """Divide the patients of a manifest into train, val and test anew.

    Args:
        manifest: manifest that `medcl scan` wrote.
        output: manifest with the new split; default: the same file.
        fractions: shares of the patients, or numbers of patients or of records: 200 20 40.
        stratify: target whose proportions the split keeps; default: the first one.
        seed: random seed of the split.
        folds: number of folds of patients, for cross-validation.
        fold: number of the fold that becomes the test split; the next one is the validation split.

    Returns:
        The manifest.

    Raises:
        UsageError: there is no such target or fold, or a manifest in memory comes without `output`.
        MedclError: there are too few patients.
    """
    from medcl.archive import split as splits
    from medcl.archive.manifest import Manifest

    if isinstance(manifest, Manifest):
        if output is None:
            raise UsageError("a manifest in memory needs output=, the file that is written")
        before, path = manifest, Path(output)
    else:
        before, path = Manifest.read(Path(manifest)), Path(manifest if output is None else output)
    if folds is not None:
        after = splits.folds(before, folds, fold, stratify=stratify, seed=seed)
    else:
        after = splits.split(before, tuple(fractions), stratify=stratify, seed=seed)
    after.write(path)
    rows = {name: after.split_rows(name) for name in ("train", "val", "test")}
    lines = [f"{path}: records in {', '.join(f'{name} {len(own)}' for name, own in rows.items())}"]
    patients = after.column("patient")
    if hint := splits.missing_splits({name: len(set(patients[own])) for name, own in rows.items()}, path):
        lines.append(hint)
    return Result("\n".join(lines), lambda: after, path, next_step.after_manifest(after, path))


def _report_rules(
    reports: str | None,
    columns: Sequence[str],
    key: str | None,
    patient: str | None,
    belongs: Literal["record", "study", "patient"],
) -> "tuple[ReportRule, ...]":
    from medcl.archive.report_read import ReportRule

    if reports is None:
        if columns or key or patient:
            raise UsageError(
                "--report-column, --report-key and --report-patient are columns of a table: give it with --reports"
            )
        return ()
    if not columns:
        if key or patient:
            raise UsageError("--report-key and --report-patient are columns of a table: --report-column names its text")
        return (ReportRule(files=reports, belongs=belongs),)
    if key is None:
        raise UsageError("--report-column needs --report-key, the column that tells what each report describes")
    single = len(columns) == 1 and "=" not in columns[0]
    pairs = [] if single else [text.partition("=") for text in columns]
    if any(not (heading and column) for heading, _, column in pairs):
        raise UsageError("--report-column: several columns are sections, each with its heading: FINDINGS=findings")
    rule = ReportRule(
        # A table need not lie in the archive.
        table=str(Path(reports).absolute()),
        column=columns[0] if single else None,
        sections={heading: column for heading, _, column in pairs},
        key=key,
        patient=patient,
        belongs=belongs,
    )
    return (rule,)
