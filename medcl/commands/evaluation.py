"""What an encoder is worth: finetune, compare."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from medcl import files
from medcl.commands import parsers


def finetune(argv: Sequence[str]) -> None:
    """Measure a pretrained encoder at label fractions, beside the same network from scratch."""
    from medcl.evaluate.config import PROTOCOLS, USUAL, FinetuneConfig, SegmentConfig

    parser = parsers.config_parser(finetune)
    parser.add_argument("run", type=Path, help="the run folder that `medcl pretrain` wrote")
    parser.add_argument("--manifest", type=Path, required=True, help="what `medcl scan` wrote, with splits and labels")
    parser.add_argument("--target", required=True, help="the column to predict: of labels, or of label maps")
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
        default=list(USUAL),
        choices=PROTOCOLS,
        help="frozen (probe, knn), the encoder trained too (finetune), or the probe beside one on raw pixels (pixels)",
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
    parser.add_argument(
        "--save-masks", action="store_true", help="write the predicted label maps of the first repeat as NIfTI"
    )
    parser.add_argument("--jobs", type=int, default=-1, help="processes; the result is the same for any number")
    parser.add_argument(
        "-o", "--output", type=Path, help="folder of results.json and report.html; default: RUN/eval/TARGET"
    )
    parser.add_class_arguments(FinetuneConfig, "finetune")
    parser.add_class_arguments(SegmentConfig, "segment")
    given = parser.instantiate(parser.parse_args(argv))
    from medcl.evaluate.wording import show

    manifest, store = parsers.read(given.manifest), parsers.store_of(given.manifest)
    output = given.output or given.run / "eval" / files.safe_name(given.target)
    if given.target in manifest.masks:
        from medcl.evaluate.config import SegmentationConfig
        from medcl.evaluate.segment import evaluate_masks

        names = {field.name for field in fields(SegmentationConfig)}
        asked = SegmentationConfig(**{name: given[name] for name in names})
        show(evaluate_masks(given.run, manifest, asked, store, output))
    else:
        from medcl.evaluate.config import EvaluateConfig
        from medcl.evaluate.evaluation import evaluate

        names = {field.name for field in fields(EvaluateConfig)}
        config = EvaluateConfig(**{name: given[name] for name in names})
        show(evaluate(given.run, manifest, config, store, output))
    print(f"report: {output / 'report.html'}")


def compare(argv: Sequence[str]) -> None:
    """Put the results of several runs on the same test patients side by side."""
    parser = parsers.parser(compare)
    parser.add_argument("results", type=Path, nargs="+", help="results.json files, or folders that hold one")
    parser.add_argument(
        "-o", "--output", type=Path, help="write a page (HTML); with --pool, a folder of results.json and report.html"
    )
    parser.add_argument("--names", nargs="+", default=[], help="how to call them, in order")
    parser.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    parser.add_argument("--pool", action="store_true", help="they are folds of one cross-validation: pool them")
    given = parser.parse_args(argv)
    from medcl.evaluate import compare as comparing
    from medcl.evaluate import cross_validation
    from medcl.evaluate import wording as table
    from medcl.evaluate.page import write_page

    paths = [path / "results.json" if path.is_dir() else path for path in given.results]
    if given.pool:
        pooled = cross_validation.combine_folds(paths)
        print(table.markdown(pooled)) if given.markdown else table.show(pooled)
        if given.output:
            pooled.save(given.output / "results.json")
            write_page(pooled, given.output / "report.html")
        return
    comparison = comparing.compare(paths, given.names)
    print(comparing.markdown(comparison)) if given.markdown else comparing.show(comparison)
    if given.output:
        comparing.write_page(comparison, given.output)
        print(f"page: {given.output}")
