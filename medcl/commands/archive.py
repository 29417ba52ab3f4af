"""From files to a manifest: phantom, scan, split."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcl import files
from medcl.commands import parsers
from medcl.errors import UsageError

if TYPE_CHECKING:
    from medcl.archive.report_read import ReportRule

MODALITIES = ["ecg", "eeg", "ct", "mr", "pt", "xray", "mg", "us", "xa", "nm", "es", "op", "photo", "image"]
"""Those of `medcl.archive.record.Modality`, which takes longer to load than the help may."""


def phantom(argv: Sequence[str]) -> None:
    """Write synthetic patients as real files with label tables: WFDB, EDF, DICOM, NIfTI, and reports of them."""
    parser = parsers.parser(phantom)
    parser.add_argument("folder", type=Path, help="where to write; must be empty or new")
    parser.add_argument("--ecg-patients", type=int, default=120, help="patients with 12-lead ECGs")
    parser.add_argument("--eeg-subjects", type=int, default=20, help="subjects with 19-channel EEGs")
    parser.add_argument("--ct-patients", type=int, default=0, help="patients with CTs of the chest and label maps")
    parser.add_argument("--mr-patients", type=int, default=0, help="patients with MRs of the head and label maps")
    parser.add_argument(
        "--xray-patients", type=int, default=0, help="patients with radiographs of the chest: those of the CTs"
    )
    parser.add_argument(
        "--reports", action="store_true", help="reports too, of the ECGs (text), CTs and radiographs (DICOM SR)"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed writes the same bytes")
    given = parser.parse_args(argv)
    counts = given.ecg_patients, given.eeg_subjects, given.ct_patients, given.mr_patients, given.xray_patients
    if min(counts) < 0:
        parser.error("a number of patients is below 0")
    if not any(counts):
        parser.error("nothing to write: every number of patients is 0")
    try:
        _write_phantom(given)
    except OSError as error:
        raise files.unwritable(given.folder, error) from error


def _write_phantom(given: argparse.Namespace) -> None:
    if given.ecg_patients or given.eeg_subjects:
        from medcl.phantom.archive import write

        print(write(given.folder, ecg_patients=given.ecg_patients, eeg_subjects=given.eeg_subjects, seed=given.seed))
    if given.ct_patients or given.mr_patients:
        from medcl.phantom.volumes import write_volumes

        volumes = write_volumes(
            given.folder, ct_patients=given.ct_patients, mr_patients=given.mr_patients, seed=given.seed
        )
        print(volumes)
    if given.xray_patients:
        from medcl.phantom.radiograph import write_radiographs

        print(write_radiographs(given.folder, given.xray_patients, given.seed))
    if given.reports:
        from medcl.phantom.report_files import add_reports

        print(add_reports(given.folder, given.seed))


def scan(argv: Sequence[str]) -> None:
    """Find the recordings and volumes in a folder and write them as a manifest."""
    parser = parsers.parser(scan)
    parser.add_argument("folder", type=Path, help="the archive, or its DICOMDIR; it is only read")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="the manifest, a Parquet file; a second scan reads only what changed",
    )
    parser.add_argument(
        "--card",
        type=Path,
        help="data-set card (YAML, or the name of a shipped one) that says how ids, labels and folds are found",
    )
    parser.add_argument(
        "--labels", type=Path, help="table with one row a record or patient: CSV, TSV, Parquet, JSON or JSON lines"
    )
    parser.add_argument("--record-column", help="its column that names the record: path, or file name")
    parser.add_argument("--patient-column", help="its column with the patient; alone, it names all records of each")
    parser.add_argument(
        "--target-columns",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="its columns to predict; name:kind fixes the kind",
    )
    parser.add_argument(
        "--missing",
        nargs="+",
        default=[],
        metavar="WORD",
        help="words of tables for a missing value, beside n/a, NaN, unknown, . and the like",
    )
    parser.add_argument(
        "--id-pattern",
        help="regular expression on the path with the groups patient, and if any session or study, series and trial",
    )
    parser.add_argument(
        "--patient-per-record",
        action="store_true",
        help="every record is a patient of its own, where nothing else is known",
    )
    parser.add_argument("--include", help="only paths that match, such as 'records100/**'")
    parser.add_argument(
        "--modality",
        choices=MODALITIES,
        help="where the channel names do not tell, of NIfTI, which is mr else, and of pictures; DICOM states its own",
    )
    parser.add_argument(
        "--images",
        choices=["original", "all"],
        default="original",
        help="original leaves localizers and derived images of DICOM out: they are listed, with that as the reason",
    )
    parser.add_argument(
        "--masks",
        metavar="PATTERN",
        help="where label maps are, relative to the folder: 'labels/{name}', '{folder}/{stem}_seg.nii.gz', or with "
        "the groups of --id-pattern; label maps are no records",
    )
    parser.add_argument(
        "--mask-classes", nargs="+", metavar="CLASS", help="names of the voxel values from 0, the background, on"
    )
    parser.add_argument("--mask-name", default="mask", help="column of the label maps in the manifest")
    parser.add_argument(
        "--sampling-rate", type=float, metavar="HZ", help="of signals whose files do not state it, such as .npy"
    )
    parser.add_argument(
        "--channels", nargs="+", default=[], metavar="NAME", help="of signals whose files name none, in their order"
    )
    parser.add_argument("--unit", default="", help="of signals whose files state none: uV, mV or V")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse recordings with a wrong checksum or an incomplete end, which are flagged else; reads all samples",
    )
    _add_report_options(parser)
    _add_split_options(parser)
    parser.add_argument("--jobs", type=int, default=-1, help="processes; -1 is one a core")
    parser.add_argument("--cluster", metavar="ADDRESS", help="of a Dask scheduler (tcp://...) whose workers are used")
    parser.add_argument(
        "--deid-recipe", action=_ShowRecipe, help="show what is taken from a DICOM header, what becomes of it, and exit"
    )
    given = parser.parse_args(argv)
    if (given.masks is None) != (given.mask_classes is None):
        raise UsageError("--masks and --mask-classes need each other: where label maps are, and what their values mean")
    from medcl.archive.build import build_manifest
    from medcl.archive.config import ScanRequest
    from medcl.archive.masks import MaskRule
    from medcl.modality.signal.stated import Stated

    request = ScanRequest(
        folder=given.folder,
        output=given.output,
        card=given.card,
        labels=given.labels,
        record_column=given.record_column,
        patient_column=given.patient_column,
        target_columns=tuple(given.target_columns),
        missing=tuple(given.missing),
        id_pattern=given.id_pattern,
        patient_per_record=given.patient_per_record,
        include=given.include,
        modality=given.modality,
        images=given.images,
        masks=MaskRule(given.masks, tuple(given.mask_classes), given.mask_name) if given.masks else None,
        reports=_report_rules(given),
        deidentify=given.deidentify,
        fractions=tuple(given.fractions),
        stratify=given.stratify,
        seed=given.seed,
        jobs=given.jobs,
        cluster=given.cluster,
        stated=Stated(given.sampling_rate, tuple(given.channels), given.unit),
        strict=given.strict,
    )
    print(build_manifest(request))


def split(argv: Sequence[str]) -> None:
    """Divide the patients of a manifest into train, val and test anew."""
    parser = parsers.parser(split)
    parser.add_argument("manifest", type=Path, help="what `medcl scan` wrote")
    parser.add_argument("-o", "--output", type=Path, help="the manifest with the new split; default: the same file")
    _add_split_options(parser)
    parser.add_argument("--folds", type=int, help="cross-validation: this many folds of patients")
    parser.add_argument(
        "--fold", type=int, default=0, help="which fold is the test split; the next one is the validation split"
    )
    given = parser.parse_args(argv)
    from medcl.archive.split import folds, missing_splits
    from medcl.archive.split import split as split_patients

    manifest = parsers.read(given.manifest)
    if given.folds is not None:
        manifest = folds(manifest, given.folds, given.fold, stratify=given.stratify, seed=given.seed)
    else:
        manifest = split_patients(manifest, tuple(given.fractions), stratify=given.stratify, seed=given.seed)
    output = given.output or given.manifest
    manifest.write(output)
    rows = {name: manifest.split_rows(name) for name in ("train", "val", "test")}
    print(f"{output}: records in {', '.join(f'{name} {len(own)}' for name, own in rows.items())}")
    patients = manifest.column("patient")
    if hint := missing_splits({name: len(set(patients[own])) for name, own in rows.items()}, output):
        print(hint)


def _add_report_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reports",
        metavar="GLOB_OR_TABLE",
        help="report files by their paths in the folder, such as 'reports/**/*.txt' (text, HTML, RTF, PDF, Word, XML, "
        "HL7, DICOM SR), or, with --report-column, a table: CSV, TSV, Parquet, JSON or JSON lines",
    )
    parser.add_argument(
        "--report-column",
        nargs="+",
        metavar="COLUMN",
        help="its column of the text; or one a section, such as FINDINGS=findings IMPRESSION=impression",
    )
    parser.add_argument("--report-key", metavar="COLUMN", help="its column that names what each report describes")
    parser.add_argument("--report-patient", metavar="COLUMN", help="its column of the patient")
    parser.add_argument(
        "--report-belongs",
        choices=["record", "study", "patient"],
        default="record",
        help="what a report describes; a report file speaks of the finest of these that can be found from here on",
    )
    parser.add_argument(
        "--deidentify",
        metavar="rules|presidio|none|MODULE:FUNCTION",
        help="how names, dates, ids and numbers are replaced in reports; default: by rules, or as the card says",
    )


def _report_rules(given: argparse.Namespace) -> "tuple[ReportRule, ...]":
    from medcl.archive.report_read import ReportRule

    if given.reports is None:
        if given.report_column or given.report_key or given.report_patient:
            raise UsageError(
                "--report-column, --report-key and --report-patient are columns of a table: give it with --reports"
            )
        return ()
    if not given.report_column:
        if given.report_key or given.report_patient:
            raise UsageError("--report-key and --report-patient are columns of a table: --report-column names its text")
        return (ReportRule(files=given.reports, belongs=given.report_belongs),)
    if given.report_key is None:
        raise UsageError("--report-column needs --report-key, the column that tells what each report describes")
    single = len(given.report_column) == 1 and "=" not in given.report_column[0]
    pairs = [] if single else [text.partition("=") for text in given.report_column]
    if any(not (heading and column) for heading, _, column in pairs):
        raise UsageError("--report-column: several columns are sections, each with its heading: FINDINGS=findings")
    rule = ReportRule(
        # A table need not lie in the archive.
        table=str(Path(given.reports).absolute()),
        column=given.report_column[0] if single else None,
        sections={heading: column for heading, _, column in pairs},
        key=given.report_key,
        patient=given.report_patient,
        belongs=given.report_belongs,
    )
    return (rule,)


class _ShowRecipe(argparse.Action):
    """An option that, like --help, needs no others beside it."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> None:
        from medcl.archive.dicom_file_record import recipe

        print(recipe())
        parser.exit()


def _add_split_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fractions",
        type=float,
        nargs=3,
        default=[0.7, 0.1, 0.2],
        metavar=("TRAIN", "VAL", "TEST"),
        help="shares of the patients, or numbers of patients or of records: 200 20 40",
    )
    parser.add_argument(
        "--stratify", metavar="TARGET", help="keep the proportions of this target; default: the first one"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split")
