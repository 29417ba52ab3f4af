"""Look at embeddings: explore."""

import webbrowser
from collections.abc import Sequence
from pathlib import Path

from medcl.commands import parsers
from medcl.errors import UsageError

_METHODS = ("tsne", "pca", "umap")


def explore(argv: Sequence[str]) -> None:
    """Write a page that shows embeddings as a map, with what is known of the records beside it."""
    parser = parsers.parser(explore)
    parser.add_argument("embeddings", type=Path, help="the file that `medcl embed` wrote")
    parser.add_argument("--manifest", type=Path, help="what was embedded, where it has more labels now or has moved")
    parser.add_argument("--color", default="", metavar="COLUMN", help="what colours first; default: the first label")
    parser.add_argument(
        "--projection", nargs="+", choices=_METHODS, default=["tsne", "pca"], help="default: tsne pca; kept in a cache"
    )
    parser.add_argument("-o", "--output", type=Path, help="the page; default: explore.html beside the embeddings")
    parser.add_argument("--open", action="store_true", help="show it in the browser")
    parser.add_argument(
        "--thumbnails", default="1000", metavar="N", help="records that are drawable, drawn at random, or `none`"
    )
    parser.add_argument("--write-xy", action="store_true", help="write the first map into the file, as columns x and y")
    parser.add_argument(
        "--unusual", type=Path, metavar="PNG", help="a contact sheet of the 20 records furthest from those of training"
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    given = parser.parse_args(argv)
    output = given.output or given.embeddings.with_name("explore.html")
    if output.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"-o {output}: a page is an .html file")
    count = _count(given.thumbnails)
    from medcl.embed.embeddings import EmbeddingsFile
    from medcl.embed.vectors import vectors_of
    from medcl.explore.assemble import page_data
    from medcl.explore.page import write_page

    embeddings = EmbeddingsFile.read(given.embeddings)
    manifest = None if given.manifest is None else parsers.read(given.manifest)
    vectors = vectors_of(embeddings)
    data = page_data(
        embeddings,
        vectors,
        methods=given.projection,
        manifest=manifest,
        color=given.color,
        thumbnails=count,
        seed=given.seed,
    )
    write_page(data, output)
    if given.write_xy:
        from medcl.explore.embeddings import write_xy

        write_xy(embeddings, next(iter(data.projections.values())))
    print(f"{output}: {len(data):,} points, {output.stat().st_size / 1e6:.1f} MB; open it in any browser")
    if given.unusual is not None:
        from medcl.archive.manifest import Manifest
        from medcl.explore.outliers import write_unusual_of

        about = embeddings.about
        of = Manifest(embeddings.table(), Path(about.root), about.archive) if manifest is None else manifest
        write_unusual_of(embeddings, vectors, of, given.unusual)
        print(f"{given.unusual}: the most unusual records")
    if given.open:
        webbrowser.open(output.absolute().as_uri())


def _count(text: str) -> int:
    if text == "none":
        return 0
    if not text.isdecimal():
        raise UsageError(f"--thumbnails {text}: a number, or none")
    return int(text)
