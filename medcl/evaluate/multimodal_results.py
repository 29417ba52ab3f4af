"""The results of an evaluation of several modalities: `results.json`, tables of text, and the page."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from medcl import files
from medcl.documents import build, plain, read_json, sealed
from medcl.errors import MedclError
from medcl.evaluate.retrieval import Measure, Retrieval
from medcl.evaluate.terminal import WIDTH, console_of
from medcl.evaluate.zero_shot import ZeroShot
from medcl.modality import plural
from medcl.show import page
from medcl.stats.embedding_space import Gap
from medcl.wording import bounds, count, number

VERSION = 1


@dataclass(frozen=True)
class Direction:
    """Retrieval of records of one modality by queries of another, or of the same.

    Args:
        query: modality of the queries.
        candidate: modality of the candidates.
        hit: what counts as a hit, in words.
        found: the measures.
        target: target whose label makes a hit; empty where records belong together otherwise.
    """

    query: str
    candidate: str
    hit: str
    found: Retrieval
    target: str = ""


@dataclass(frozen=True)
class Classified:
    """Zero-shot classification of records of one modality."""

    kind: str
    result: ZeroShot


@dataclass(frozen=True)
class Between:
    """The gap between two modalities."""

    first: str
    second: str
    gap: Gap


@dataclass(frozen=True)
class Grounded:
    """A grounding image.

    Args:
        title: `best` or `worst`.
        phrase: a phrase of the de-identified report.
        record_id: of the image: a code, or public.
        rank: of the image among all, when its whole report is the query.
        similarity: of image and report.
        low: smallest similarity of a cell with the phrase.
        high: largest.
        file: of the overlay, in the folder of the results.
    """

    title: str
    phrase: str
    record_id: str
    rank: int
    similarity: float
    low: float
    high: float
    file: str


@dataclass(frozen=True)
class MultimodalResults:
    """Everything that one `medcl evaluate` measured.

    Args:
        run: the run folder.
        method: how it was pretrained.
        split: split of the tested records.
        records: kind -> number of tested records.
        patients: kind -> number of their patients.
        retrieval: both ways between every two kinds, and within each.
        zero_shot: of each target with prompts and each kind that has labels.
        gaps: between every two kinds.
        grounding: images.
        notes: limitations that a reader has to know.
        config: the full configuration.
        reports: reports that counted as partners: `all`, `record`, `study`.
        texts: number of different texts among the tested reports; equal ones are one query and one candidate.
            0 where they were counted apart, or there are none.
        software: package -> version.
        created: when, in ISO 8601.
        version: of this schema.
    """

    run: str
    method: str
    split: str
    records: dict[str, int]
    patients: dict[str, int]
    retrieval: tuple[Direction, ...]
    zero_shot: tuple[Classified, ...]
    gaps: tuple[Between, ...]
    grounding: tuple[Grounded, ...]
    notes: tuple[str, ...]
    config: dict[str, Any]
    reports: str = "all"
    texts: int = 0
    software: dict[str, str] = field(default_factory=dict)
    created: str = ""
    version: int = VERSION

    def save(self, path: Path) -> None:
        """Write the results as JSON, whole or not at all; NaN becomes null.

        They quote phrases of reports, so that only their owner can read them.
        """
        text = json.dumps(sealed(plain(self)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        files.write(path, text, private=True)

    @classmethod
    def load(cls, path: Path) -> "MultimodalResults":
        """Read what `save` wrote.

        Raises:
            MedclError: it cannot be read, or holds something else.
        """
        try:
            loaded: MultimodalResults = build(cls, read_json(path, "evaluate again"), "results")
        except (OSError, ValueError) as error:
            raise MedclError(f"{path}: not the results of `medcl evaluate`") from error
        return loaded


TableRow = tuple[str, ...]
SHOWN = ("recall", "precision", "mAP", "median rank")


def in_words(one: Measure) -> tuple[str, str]:
    """A measure with its interval over patients, and by chance: of a random order, or of the largest class."""
    digits, of_chance = (
        (0 if value >= 10 else 1) if one.metric == "median rank" else 3 for value in (one.value, one.chance)
    )
    value = f"{number(one.value, digits=digits)} {bounds(one.low, one.high, digits=digits)}".rstrip()
    return value, number(one.chance, digits=of_chance)


def retrieval_rows(
    results: MultimodalResults, metrics: tuple[str, ...] = SHOWN, *, labels: bool = True
) -> list[TableRow]:
    """(direction, hit, queries of candidates, metric, value, chance), the first three once a direction."""
    rows: list[TableRow] = []
    for one in (one for one in results.retrieval if labels or not one.target):
        way = f"{one.query} \N{RIGHTWARDS ARROW} {one.candidate}"
        about = (way, one.hit, f"{one.found.queries:,} of {one.found.candidates:,}")
        for measure in one.found.measures:
            if measure.metric.split("@")[0] in metrics:
                rows.append((*about, measure.metric, *in_words(measure)))
                about = ("", "", "")
    return rows


def zero_shot_rows(results: MultimodalResults) -> list[TableRow]:
    """(target, kind, records, metric, value, chance), the first three once a target and kind."""
    rows: list[TableRow] = []
    for one in results.zero_shot:
        about = (one.result.target, one.kind, f"{one.result.records:,}")
        for measure in one.result.measures:
            name = "macro-AUROC" if measure.metric == "auroc" and one.result.kind != "binary" else measure.metric
            rows.append((*about, name, *in_words(measure)))
            about = ("", "", "")
    return rows


def gap_rows(results: MultimodalResults) -> list[TableRow]:
    """(pair, distance, share of variance, alignment, of all pairs, uniformity of both, separability)."""
    return [
        (
            f"{one.first} \N{LEFT RIGHT ARROW} {one.second}",
            number(one.gap.distance, digits=3),
            number(one.gap.variance, digits=3),
            number(one.gap.alignment, digits=3),
            number(one.gap.alignment_all, digits=3),
            " / ".join(number(value, digits=2) for value in one.gap.uniformity),
            number(one.gap.separable, digits=3),
        )
        for one in results.gaps
    ]


RETRIEVAL = ("direction", "hit", "queries of", "metric", "value [95% interval]", "chance")
ZERO_SHOT = ("target", "modality", "records", "metric", "value [95% interval]", "chance")
GAP = ("pair", "centroids", "variance", "pairs", "all", "uniformity", "separability")


def show(results: MultimodalResults, console: Console | None = None) -> None:
    """Print the tables; of retrieval recall@k and the median rank of linked records, the rest is on the page."""
    console = console_of(console)
    width = min(console.width, WIDTH)
    title = f"Retrieval on the split {results.split}"
    _print(console, width, title, RETRIEVAL, retrieval_rows(results, SHOWN[::3], labels=False))
    if results.zero_shot:
        _print(console, width, "Zero-shot from prompts", ZERO_SHOT, zero_shot_rows(results))
    _print(console, width, "Modality gap", GAP, gap_rows(results))
    for note in results.notes:
        console.print(Text(note), width=width)


def _print(console: Console, width: int, title: str, heads: TableRow, rows: list[TableRow]) -> None:
    table = Table(title=Text(title), title_justify="left", title_style="bold", pad_edge=False, show_edge=False)
    table.box, table.padding = box.SIMPLE_HEAD if console.is_terminal else None, (0, 2, 0, 0)
    for place, head in enumerate(heads):
        table.add_column(head, justify="left" if place < 1 or head in ("hit", "metric", "modality") else "right")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table, width=width)
    console.print()


OverlayImages = Sequence[tuple[str, str]]
"""(image, overlay) as data URIs, in the order of `MultimodalResults.grounding`."""


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
        retrieval=retrieval_rows(results),
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


def headline(results: MultimodalResults) -> str:
    """The main finding in a sentence: how often the first direction finds its partner, against chance."""
    if not results.retrieval:
        return "There was nothing to retrieve."
    one = results.retrieval[0]
    recall = [m for m in one.found.measures if m.metric.startswith("recall@")][-1]
    k = recall.metric.removeprefix("recall@")
    different = "different " if one.candidate == "report" and results.texts else ""
    times = f", {recall.value / recall.chance:.1f} times chance" if recall.chance > 0 else ""
    return (
        f"Of {one.found.candidates:,} {different}{plural(one.candidate)}, a matching one is among the first {k} for "
        f"{recall.value:.0%} of the {plural(one.query)}{times} ({number(recall.chance, digits=3)})."
    )


def count_texts(results: MultimodalResults) -> str:
    """The reports that were used and the number of their texts, in a sentence; empty without reports."""
    reports = results.records.get("report", 0)
    if not reports or not results.texts:
        return ""
    which = {
        "record": "Only reports that describe one record, such as captions, are used. ",
        "study": "Only reports of a whole study or patient are used. ",
    }.get(results.reports, "")
    return (
        f"{which}Texts that are equal except for case and white space are one candidate and one query, and a hit for "
        f"every record that one of them describes: number of reports {reports:,}, of distinct texts {results.texts:,}."
    )
