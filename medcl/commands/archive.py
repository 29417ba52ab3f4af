"""From files to a manifest: phantom, scan, split."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from medcl.commands import parsers


def phantom(argv: Sequence[str]) -> None:
    """Write synthetic ECG and EEG patients as real WFDB and EDF files with label tables."""
    parser = parsers.parser(phantom)
    parser.add_argument("folder", type=Path, help="where to write; must be empty or new")
    parser.add_argument("--ecg-patients", type=int, default=120, help="patients with 12-lead ECGs")
    parser.add_argument("--eeg-subjects", type=int, default=20, help="subjects with 19-channel EEGs")
    parser.add_argument("--seed", type=int, default=0, help="the same seed writes the same bytes")
    given = parser.parse_args(argv)
    from medcl.phantom.archive import write

    written = write(given.folder, ecg_patients=given.ecg_patients, eeg_subjects=given.eeg_subjects, seed=given.seed)
    print(written)


def scan(argv: Sequence[str]) -> None:
    """Find the recordings in a folder and write them as a manifest."""
    parser = parsers.parser(scan)
    parser.add_argument("folder", type=Path, help="the archive; it is only read")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="the manifest, a Parquet file; a second scan reads only what changed",
    )
    parser.add_argument("--card", type=Path, help="data-set card (YAML) that says how ids, labels and folds are found")
    parser.add_argument("--labels", type=Path, help="table with one row a record: CSV, TSV or Parquet")
    parser.add_argument("--record-column", help="its column that names the record: path, or file name")
    parser.add_argument("--patient-column", help="its column with the patient")
    parser.add_argument(
        "--target-columns",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="its columns to predict; name:kind fixes the kind",
    )
    parser.add_argument(
        "--id-pattern", help="regular expression on the path with the groups patient, and if any session and trial"
    )
    parser.add_argument(
        "--patient-per-record",
        action="store_true",
        help="every record is a patient of its own, where nothing else is known",
    )
    parser.add_argument("--include", help="only paths that match, such as 'records100/**'")
    parser.add_argument("--modality", choices=["ecg", "eeg"], help="where the channel names do not tell")
    _add_split_options(parser)
    parser.add_argument("--jobs", type=int, default=-1, help="processes; -1 is one a core")
    given = parser.parse_args(argv)
    from medcl.archive.build import ScanRequest, build_manifest

    request = ScanRequest(
        folder=given.folder,
        output=given.output,
        card=given.card,
        labels=given.labels,
        record_column=given.record_column,
        patient_column=given.patient_column,
        target_columns=tuple(given.target_columns),
        id_pattern=given.id_pattern,
        patient_per_record=given.patient_per_record,
        include=given.include,
        modality=given.modality,
        fractions=tuple(given.fractions),
        stratify=given.stratify,
        seed=given.seed,
        jobs=given.jobs,
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
    from medcl.archive.split import folds
    from medcl.archive.split import split as split_patients

    manifest = parsers.read(given.manifest)
    if given.folds is not None:
        manifest = folds(manifest, given.folds, given.fold, stratify=given.stratify, seed=given.seed)
    else:
        manifest = split_patients(manifest, tuple(given.fractions), stratify=given.stratify, seed=given.seed)
    output = given.output or given.manifest
    manifest.write(output)
    counts = ", ".join(f"{name} {len(manifest.split_rows(name))}" for name in ("train", "val", "test"))
    print(f"{output}: records in {counts}")


def _add_split_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fractions",
        type=float,
        nargs=3,
        default=[0.7, 0.1, 0.2],
        metavar=("TRAIN", "VAL", "TEST"),
        help="shares of the patients",
    )
    parser.add_argument(
        "--stratify", metavar="TARGET", help="keep the proportions of this target; default: the first one"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split")
