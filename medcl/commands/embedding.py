"""Apply a run's encoder to an archive: embed."""

from collections.abc import Sequence
from pathlib import Path

from medcl.commands import parsers, quarantine


def embed(argv: Sequence[str]) -> None:
    """Write the embeddings of the records of a manifest to one Parquet file; an interrupted call goes on."""
    parser = parsers.parser(embed)
    parser.add_argument("run", type=Path, help="the run folder that `medcl pretrain` wrote")
    parser.add_argument("--manifest", type=Path, required=True, help="what `medcl scan` wrote")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the Parquet file")
    parser.add_argument(
        "--level",
        choices=["window", "record", "patient"],
        default="record",
        help="what a row is of: a window of a recording (slice or patch of a volume), a record, or a patient",
    )
    parser.add_argument(
        "--pool",
        choices=["mean", "max"],
        default="mean",
        help="over windows; the mean of a patient is over the means of its records",
    )
    parser.add_argument("--half", action="store_true", help="float16 instead of float32")
    parser.add_argument(
        "--of",
        choices=["image", "volume", "signal", "report"],
        help="kind of the records, of a run on several modalities; default: all that it has encoders of",
    )
    parser.add_argument("--split", default="", help="whose records are embedded; default: all")
    parser.add_argument("--batch", type=int, help="windows at a time; changes no embedding")
    parser.add_argument("--jobs", type=int, default=-1, help="processes that decode records; -1 is one a core")
    given = parser.parse_args(argv)
    from medcl.embed.apply import embed_manifest
    from medcl.embed.config import EmbedConfig

    config = EmbedConfig(
        level=given.level,
        pool=given.pool,
        half=given.half,
        kind=given.of,
        split=given.split,
        batch=given.batch,
        jobs=given.jobs,
    )
    manifest, store = parsers.read(given.manifest), parsers.store_of(given.manifest)
    done = embed_manifest(given.run, manifest, config, store, given.output)
    for line in quarantine.told(done.left_out, len(manifest), "records"):
        print(line)
    if done.already:
        print(f"{done.path}: was there already, of the same run, records and settings")
    elif done.taken_over:
        print(f"went on behind {done.taken_over} parts that an interrupted call had finished")
    print(f"{done.path}: {done.rows} embeddings of width {done.dim}, one a {given.level}")
