"""The page of an evaluation of several modalities."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medcl.documents import plain
from medcl.evaluate.multimodal_results import (
    SHOWN,
    Direction,
    MultimodalResults,
    count_texts,
    gap_rows,
    headline,
    in_words,
    zero_shot_rows,
)
from medcl.modality import plural
from medcl.show import page
from medcl.wording import count, number

OverlayImages = Sequence[tuple[str, str]]
"""(image, overlay) as data URIs, in the order of `MultimodalResults.grounding`."""


@dataclass(frozen=True)
class DirectionTable:
    """Some metrics of every direction, one a column; a cell is (value with its interval, chance).

    Args:
        name: of the metrics.
        metrics: names of the columns.
        rows: (queries and candidates, what is a hit, their numbers, cells).
    """

    name: str
    metrics: tuple[str, ...]
    rows: tuple[tuple[str, str, str, tuple[tuple[str, str], ...]], ...]


def write_page(results: MultimodalResults, path: Path, images: OverlayImages = ()) -> None:
    """Write the page as one self-contained file."""
    page.write(path, render_page(results, images))


def render_page(results: MultimodalResults, images: OverlayImages = ()) -> str:
    """The page as HTML."""
    return page.render(
        "evaluate/multimodal.html",
        figures={},
        results=results,
        headline=headline(results),
        retrieval=[table for table in (_table(results, family) for family in SHOWN) if table.metrics],
        zero_shot=zero_shot_rows(results),
        gaps=gap_rows(results),
        per_class=[
            (one.result.target, one.kind, [(name, number(value)) for name, value in one.result.per_class.items()])
            for one in results.zero_shot
        ],
        grounding=list(zip(results.grounding, images, strict=False)),
        texts=count_texts(results),
        without_hit=[one for one in results.retrieval if one.found.without_hit],
        plural=plural,
        count=count,
        number=number,
        created=page.moment(results.created),
        config=page.settings(plain(results.config)),
    )


def _table(results: MultimodalResults, family: str) -> DirectionTable:
    """The metrics of one family, such as recall@1, recall@5 and recall@10."""
    every = [measure.metric for one in results.retrieval for measure in one.found.measures]
    metrics = tuple(dict.fromkeys(name for name in every if name.split("@")[0] == family))
    return DirectionTable(family, metrics, tuple(_row(one, metrics) for one in results.retrieval))


def _row(one: Direction, metrics: Sequence[str]) -> tuple[str, str, str, tuple[tuple[str, str], ...]]:
    known = {measure.metric: in_words(measure) for measure in one.found.measures}
    way = f"{plural(one.query)} \N{RIGHTWARDS ARROW} {plural(one.candidate)}"
    asked = f"{one.found.queries:,} of {one.found.candidates:,}"
    return way, one.hit, asked, tuple(known.get(name, ("", "")) for name in metrics)
