"""The command `medcl`: one function a command. Heavy imports live inside them, so that help answers at once."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from medcl.errors import MedclError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from medcl.archive.manifest import Manifest


def phantom(argv: Sequence[str]) -> None:
    """Write synthetic ECG and EEG patients as real WFDB and EDF files with label tables."""
    parser = _parser("phantom", phantom)
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
    parser = _parser("scan", scan)
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
    parser = _parser("split", split)
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

    manifest = _read(given.manifest)
    if given.folds is not None:
        manifest = folds(manifest, given.folds, given.fold, stratify=given.stratify, seed=given.seed)
    else:
        manifest = split_patients(manifest, tuple(given.fractions), stratify=given.stratify, seed=given.seed)
    output = given.output or given.manifest
    manifest.write(output)
    counts = ", ".join(f"{name} {len(manifest.split_rows(name))}" for name in ("train", "val", "test"))
    print(f"{output}: records in {counts}")


def pretrain(argv: Sequence[str]) -> None:
    """Train an encoder on a manifest without labels."""
    from medcl.pretrain.config import PretrainConfig

    parser = _config_parser("pretrain", pretrain)
    parser.add_argument(
        "--config", action="config", help="a recipe (YAML); single values are overridden as --optimiser.steps 500"
    )
    parser.add_argument("--manifest", type=Path, required=True, help="what `medcl scan` wrote")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the run folder")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's last.ckpt")
    parser.add_argument("--until", type=int, help="stop after this step, to be resumed: for queues with a time limit")
    parser.add_class_arguments(PretrainConfig)
    given = parser.instantiate_classes(parser.parse_args(argv))
    from medcl.pretrain.run import pretrain as train

    config = PretrainConfig(**{field.name: given[field.name] for field in fields(PretrainConfig)})
    store = _store_of(given.manifest)
    done = train(config, _read(given.manifest), store, given.output, resume=given.resume, until=given.until)
    if done.speaks:
        print(done)


def finetune(argv: Sequence[str]) -> None:
    """Measure a pretrained encoder at label fractions, beside the same network from scratch."""
    from medcl.evaluate.config import PROTOCOLS, FinetuneConfig

    parser = _config_parser("finetune", finetune)
    parser.add_argument("run", type=Path, help="the run folder that `medcl pretrain` wrote")
    parser.add_argument("--manifest", type=Path, required=True, help="what `medcl scan` wrote, with splits and labels")
    parser.add_argument("--target", required=True, help="the label column to predict")
    parser.add_argument(
        "--labels",
        nargs="+",
        default=["1%", "10%", "100%"],
        metavar="FRACTION",
        help="share (1%%, 0.1) or count (50) of the training patients",
    )
    parser.add_argument("--unit", choices=["patient", "record"], default="patient", help="what a fraction counts")
    parser.add_argument(
        "--protocols",
        nargs="+",
        default=list(PROTOCOLS),
        choices=PROTOCOLS,
        help="frozen (probe, knn) or the encoder trained too (finetune)",
    )
    parser.add_argument("--repeats", type=int, default=5, help="seeds, each with its own subsets and random weights")
    parser.add_argument(
        "--repeats-full",
        type=int,
        default=0,
        help="seeds of fine-tuning with all labels, where there is one subset; 0: as --repeats",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first repeat")
    parser.add_argument("--bootstrap", type=int, default=1000, help="resamples of the test patients")
    parser.add_argument(
        "--allow-transductive",
        action="store_true",
        help="test on patients seen in pretraining, and say so in the report",
    )
    parser.add_argument("--jobs", type=int, default=-1, help="processes; the result is the same for any number")
    parser.add_argument(
        "-o", "--output", type=Path, help="folder of results.json and report.html; default: RUN/eval/TARGET"
    )
    parser.add_class_arguments(FinetuneConfig, "finetune")
    given = parser.instantiate_classes(parser.parse_args(argv))
    from medcl.evaluate.config import EvaluateConfig
    from medcl.evaluate.evaluation import evaluate
    from medcl.evaluate.table import show

    names = {field.name for field in fields(EvaluateConfig)}
    config = EvaluateConfig(**{name: given[name] for name in names})
    output = given.output or given.run / "eval" / given.target
    show(evaluate(given.run, _read(given.manifest), config, _store_of(given.manifest), output))
    print(f"report: {output / 'report.html'}")


def compare(argv: Sequence[str]) -> None:
    """Put the results of several runs on the same test patients side by side."""
    parser = _parser("compare", compare)
    parser.add_argument("results", type=Path, nargs="+", help="results.json files, or folders that hold one")
    parser.add_argument(
        "-o", "--output", type=Path, help="write a page (HTML); with --pool, a folder of results.json and report.html"
    )
    parser.add_argument("--names", nargs="+", default=[], help="how to call them, in order")
    parser.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    parser.add_argument("--pool", action="store_true", help="they are folds of one cross-validation: pool them")
    given = parser.parse_args(argv)
    from medcl.evaluate import compare as comparing
    from medcl.evaluate import pool, table
    from medcl.evaluate.report import write_report

    paths = [path / "results.json" if path.is_dir() else path for path in given.results]
    if given.pool:
        pooled = pool.pool(paths)
        print(table.markdown(pooled)) if given.markdown else table.show(pooled)
        if given.output:
            pooled.save(given.output / "results.json")
            write_report(pooled, given.output / "report.html")
        return
    comparison = comparing.compare(paths, given.names)
    print(comparing.markdown(comparison)) if given.markdown else comparing.show(comparison)
    if given.output:
        comparing.write_page(comparison, given.output)
        print(f"page: {given.output}")


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "phantom": phantom,
    "scan": scan,
    "split": split,
    "pretrain": pretrain,
    "finetune": finetune,
    "compare": compare,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: words behind `medcl`; default: those of the process.

    Returns:
        0 done, 1 the work failed, 2 the call was wrong.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0 if words else 2
    if words[0] == "--version":
        from medcl import __version__

        print(__version__)
        return 0
    name, *rest = words
    if name not in COMMANDS:
        print(f"medcl: no command {name!r}\n\n{_overview()}", file=sys.stderr)
        return 2
    try:
        COMMANDS[name](rest)
    except MedclError as error:
        print(f"medcl {name}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"medcl {name}: interrupted", file=sys.stderr)
        return 1
    return 0


def _overview() -> str:
    lines = [f"  {name:<10} {(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: medcl COMMAND ...",
            "",
            "Contrastive learning on medical archives.",
            "",
            *lines,
            "",
            "medcl COMMAND --help tells more.",
        ]
    )


def _parser(name: str, command: Callable[..., None]) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"medcl {name}", description=command.__doc__)


def _config_parser(name: str, command: Callable[..., None]) -> "ArgumentParser":
    """A parser that also takes dataclasses and YAML files; it takes a third of a second to import."""
    from jsonargparse import ArgumentParser

    return ArgumentParser(prog=f"medcl {name}", description=command.__doc__)


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


def _read(path: Path) -> "Manifest":
    from medcl.archive.manifest import Manifest

    return Manifest.read(path)


def _store_of(manifest: Path) -> Path:
    """Recordings are prepared once, beside their manifest."""
    return manifest.with_suffix(".store")
