"""The results of several modalities as tables of text."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from medcl.evaluate.joint_results import JointResults
from medcl.evaluate.retrieval import Measure
from medcl.evaluate.table import WIDTH, console_of
from medcl.show.wording import bounds, number

Line = tuple[str, ...]
SHOWN = ("recall", "precision", "mAP", "median rank")


def measured(one: Measure) -> str:
    """A measure with its interval over patients."""
    digits = (0 if one.value >= 10 else 1) if one.metric == "median rank" else 3
    return f"{number(one.value, digits=digits)} {bounds(one.low, one.high, digits=digits)}".rstrip()


def by_chance(one: Measure) -> str:
    """What a random order or the largest class gets."""
    return number(one.chance, digits=(0 if one.chance >= 10 else 1) if one.metric == "median rank" else 3)


def retrieval_rows(results: JointResults, metrics: tuple[str, ...] = SHOWN, *, labels: bool = True) -> list[Line]:
    """(who looks for whom, hit, queries of candidates, metric, value, chance), the first three once a direction.

    Args:
        results: what was measured.
        metrics: which metrics.
        labels: whether hits by label are among them.
    """
    rows: list[Line] = []
    for one in (one for one in results.retrieval if labels or not one.target):
        about = (
            f"{one.query} \N{RIGHTWARDS ARROW} {one.candidate}",
            one.hit,
            f"{one.found.queries:,} of {one.found.candidates:,}",
        )
        for measure in one.found.measures:
            if measure.metric.split("@")[0] in metrics:
                rows.append((*about, measure.metric, measured(measure), by_chance(measure)))
                about = ("", "", "")
    return rows


def zero_shot_rows(results: JointResults) -> list[Line]:
    """(target, kind, records, metric, value, chance), the first three once a target and kind."""
    rows: list[Line] = []
    for one in results.zero_shot:
        about = (one.result.target, one.kind, f"{one.result.records:,}")
        for measure in one.result.measures:
            name = "macro-AUROC" if measure.metric == "auroc" and one.result.kind != "binary" else measure.metric
            rows.append((*about, name, measured(measure), by_chance(measure)))
            about = ("", "", "")
    return rows


def gap_rows(results: JointResults) -> list[Line]:
    """(pair, distance, share of variance, alignment, of all pairs, uniformity of both, told apart)."""
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
ZERO_SHOT = ("target", "records", "number", "metric", "value [95% interval]", "chance")
GAP = ("pair", "centroids", "variance", "pairs", "all", "uniformity", "told apart")


def show(results: JointResults, console: Console | None = None) -> None:
    """Print the tables; of retrieval recall@k and the median rank of what belongs together, the rest is on the page."""
    console = console_of(console)
    width = min(console.width, WIDTH)
    title = f"Retrieval on the split {results.split}"
    _print(console, width, title, RETRIEVAL, retrieval_rows(results, SHOWN[::3], labels=False))
    if results.zero_shot:
        _print(console, width, "Zero-shot from prompts", ZERO_SHOT, zero_shot_rows(results))
    _print(console, width, "Modality gap", GAP, gap_rows(results))
    for note in results.notes:
        console.print(Text(note), width=width)


def _print(console: Console, width: int, title: str, heads: Line, rows: list[Line]) -> None:
    table = Table(title=Text(title), title_justify="left", title_style="bold", pad_edge=False, show_edge=False)
    table.box, table.padding = box.SIMPLE_HEAD if console.is_terminal else None, (0, 2, 0, 0)
    for place, head in enumerate(heads):
        table.add_column(head, justify="left" if place < 1 or head in ("hit", "metric", "records") else "right")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table, width=width)
    console.print()
