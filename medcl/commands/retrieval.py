"""What an encoder of several modalities is worth, and what it finds: evaluate, retrieve."""

from collections.abc import Sequence
from pathlib import Path

from medcl.commands import parsers

_WIDTH = 90  # letters of a report's line


def evaluate(argv: Sequence[str]) -> None:
    """Measure retrieval, zero-shot classification and the modality gap of a run on several modalities."""
    parser = parsers.parser(evaluate)
    parser.add_argument("run", type=Path, help="the run folder that `medcl pretrain` wrote")
    parser.add_argument("--manifest", type=Path, required=True, help="records and reports, with splits")
    parser.add_argument("--prompts", type=Path, help="YAML of prompts: classes of targets in words")
    parser.add_argument("--split", default="test", help="whose records are tested")
    parser.add_argument(
        "--text",
        choices=["whole", "sentence"],
        default="whole",
        help="what stands for a report: the whole of it, cut at the encoder's length, or the mean of its sentences",
    )
    parser.add_argument(
        "--reports",
        choices=["all", "record", "study"],
        default="all",
        help="which count: all, those that describe one record (captions), or those of a whole study or patient",
    )
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 5, 10], metavar="K", help="of recall@k")
    parser.add_argument("--bootstrap", type=int, default=1000, help="resamples of the patients")
    parser.add_argument("--seed", type=int, default=0, help="of the resamples")
    parser.add_argument("--temperature", type=float, default=0.1, help="of the softmax over classes")
    parser.add_argument("--pictures", type=int, default=3, help="grounding pictures of the best and worst pairs, each")
    parser.add_argument(
        "--allow-transductive",
        action="store_true",
        help="test on patients seen in pretraining, and say so in the report",
    )
    parser.add_argument("--jobs", type=int, default=-1, help="processes that prepare records")
    parser.add_argument(
        "-o", "--output", type=Path, help="folder of results.json and report.html; default: RUN/eval/joint"
    )
    given = parser.parse_args(argv)
    from medcl.evaluate.config import MultimodalEvaluateConfig
    from medcl.evaluate.multimodal_evaluation import evaluate_multimodal
    from medcl.evaluate.multimodal_page import show

    config = MultimodalEvaluateConfig(
        prompts=given.prompts,
        split=given.split,
        text=given.text,
        reports=given.reports,
        ranks=tuple(sorted(set(given.ranks))),
        bootstrap=given.bootstrap,
        seed=given.seed,
        temperature=given.temperature,
        pictures=given.pictures,
        allow_transductive=given.allow_transductive,
        jobs=given.jobs,
    )
    output = given.output or given.run / "eval" / "joint"
    manifest, store = parsers.read(given.manifest), parsers.store_of(given.manifest)
    show(evaluate_multimodal(given.run, manifest, config, store, output))
    print(f"report: {output / 'report.html'}")


def retrieve(argv: Sequence[str]) -> None:
    """List the records of an archive that are nearest to a text, or to a record."""
    parser = parsers.parser(retrieve)
    parser.add_argument("run", type=Path, nargs="?", help="the run folder that `medcl pretrain` wrote")
    parser.add_argument("--manifest", type=Path, help="the archive that is searched")
    parser.add_argument(
        "--embeddings",
        type=Path,
        help="or the embeddings that are searched, of any run; their index is kept beside them. Only --text needs RUN",
    )
    parser.add_argument(
        "--add", type=Path, nargs="+", default=[], metavar="FILE", help="embeddings to be added to the index of others"
    )
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument("--text", help="what to look for, such as 'left pleural effusion'")
    query.add_argument("--record", metavar="ID", help="a record; among several modalities its reports are looked for")
    parser.add_argument(
        "--other-patients", action="store_true", help="leave out records of the same patient (with --embeddings)"
    )
    parser.add_argument("-k", type=int, default=10, help="how many")
    parser.add_argument("--split", default="", help="of which records are found; default: all")
    parser.add_argument(
        "--of", choices=["image", "volume", "signal", "report"], help="kind of the records that are found"
    )
    parser.add_argument("--jobs", type=int, default=-1, help="processes that prepare records")
    parser.add_argument("-o", "--output", type=Path, help="contact sheet: a .png, or an .html page")
    given = parser.parse_args(argv)
    if given.embeddings is not None:
        from medcl.commands.retrieval_index import retrieve_indexed

        retrieve_indexed(given)
        return
    if given.run is None or given.manifest is None:
        parser.error("RUN and --manifest are needed, or --embeddings")
    if given.add or given.other_patients:
        parser.error("--add and --other-patients go with --embeddings")
    from medcl.evaluate.search import Archive, write_sheet
    from medcl.show.wording import number

    manifest, store = parsers.read(given.manifest), parsers.store_of(given.manifest)
    archive = Archive.open(given.run, manifest, store, given.split, given.jobs)
    find = archive.by_record if given.record is not None else archive.by_text
    found = find(given.record if given.record is not None else given.text, given.k, given.of)
    width = max(len(one.record_id) for one in found)
    print(f"{'rank':>4}  {'cosine':>6}  record")
    for one in found:
        text = " ".join(one.text.split())
        short = text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "\N{HORIZONTAL ELLIPSIS}"
        print(f"{one.rank:>4}  {number(one.similarity, digits=3):>6}  {one.record_id:<{width}}  {short}".rstrip())
    if given.output:
        write_sheet(archive, found, given.record or given.text, given.output)
        print(f"sheet: {given.output}")
