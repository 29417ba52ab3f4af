"""Results on the terminal, and as Markdown."""

import math
import re
import sys
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from medcl.evaluate.results import Results
from medcl.evaluate.wording import (
    arm_name,
    baseline_clause,
    deterministic,
    estimate,
    finding,
    fraction_name,
    gap,
    headline_fraction,
    headline_protocol,
    interval_words,
    main_metric,
    metric_name,
    other_repeats,
    own_protocol,
    protocol_name,
    repeats_words,
)
from medcl.wording import NOTHING, count

WIDTH = 100
NAME = 26
CELL = 22
_PAGE_ONLY = ("precision", "mAP")


def show(results: Results, console: Console | None = None, metric: str | None = None) -> None:
    """Print the tables and the headline; plain text of at most 100 columns where the output is not a terminal."""
    console = console_of(console)
    width = min(console.width, WIDTH)
    made = tables_by_metric(results) if results.target.kind == "retrieval" else tables(results, metric, width=width)
    for title, one in made:
        if console.is_terminal:
            one.box, one.padding = box.SIMPLE_HEAD, (0, 1, 0, 0)
        console.print(Text(title, style="bold"), width=width)
        console.print(one, width=width)
        console.print()
    console.print(Text(key(results)), style="dim", width=width)
    main = headline_protocol(results)
    sentences = [f"{protocol_name(main)}: {finding(results, main)}", baseline_clause(results)]
    console.print(Text(" ".join(filter(None, sentences))), width=width)


def console_of(console: Console | None = None) -> Console:
    """The console to print on: without one, standard output, taken for wide enough where it is not a terminal."""
    return console or (Console() if sys.stdout.isatty() else Console(width=WIDTH))


def tables_by_metric(results: Results) -> Iterator[tuple[str, Table]]:
    """For each protocol a table with a row a metric and a column an arm, chance the last; precision is on the page."""
    label, chance = headline_fraction(results).label, results.arms[-1].name
    every = [one for one in dict.fromkeys(row.metric for row in results.summary) if one.split("@")[0] not in _PAGE_ONLY]
    for protocol in results.protocols:
        rows = []
        for metric in every:
            found = [results.find(protocol, arm.name, label, metric) for arm in results.arms]
            gaps = [gap(results, protocol, arm.name, chance, label, metric) for arm in results.arms]
            if any(found):
                marks = ["*" * (one is not None and one.excludes_zero) for one in gaps]
                values = [estimate(one) + mark for one, mark in zip(found, marks, strict=True)]
                rows.append((metric_name(metric, results.target), values))
        yield protocol_name(protocol), _table([arm_name(protocol, arm) for arm in results.arms], rows, "metric")


def tables(results: Results, metric: str | None = None, *, width: int = WIDTH) -> Iterator[tuple[str, Table]]:
    """For each protocol a table of the arms, a column a fraction, and one of paired differences of the first arm.

    As many fractions stand side by side as fit; intervals are on lines of their own where one hardly fits.
    """
    metric = metric or results.metric
    labels = [fraction.label for fraction in results.fractions]
    fit = max(1, (width - NAME) // CELL)
    # As few tables as fit, equally wide: two and two rather than three and one.
    step = max(1, math.ceil(len(labels) / math.ceil(len(labels) / fit))) if labels else 1
    for protocol in results.protocols:
        tested = f"{count(results.splits['test'].patients)} test patients"
        title = f"{protocol_name(protocol)}: {metric_name(metric, results.target)} on {tested}"
        gaps = f"Paired differences of {arm_name(protocol, results.arms[0])}"
        for start in range(0, len(labels), step):
            part = slice(start, start + step)
            yield title, _table(labels[part], arm_rows(results, protocol, metric, part))
            rows = gap_rows(results, protocol, metric, part)
            if rows:
                yield gaps, _table(labels[part], rows)


def arm_rows(results: Results, protocol: str, metric: str, part: slice = slice(None)) -> list[tuple[str, list[str]]]:
    """The arms of a protocol, and the simple baselines, with a value a fraction."""
    rows = []
    for arm in results.arms:
        own = own_protocol(results, protocol, arm.name)
        values = [estimate(results.find(own, arm.name, f.label, metric)) for f in results.fractions[part]]
        if any(value != NOTHING for value in values):
            rows.append((arm_name(protocol, arm), values))
    return rows


def gap_rows(results: Results, protocol: str, metric: str, part: slice = slice(None)) -> list[tuple[str, list[str]]]:
    """The paired differences of the first arm to each other one, a value a fraction; marked where zero is excluded."""
    rows = []
    for arm in results.arms[1:]:
        gaps = [
            gap(results, protocol, results.arms[0].name, arm.name, f.label, metric) for f in results.fractions[part]
        ]
        if any(gaps):
            values = [estimate(one, signed=True) + "*" * (one is not None and one.excludes_zero) for one in gaps]
            rows.append((f"minus {arm_name(protocol, arm)}", values))
    return rows


def _table(labels: Sequence[str], rows: Sequence[tuple[str, list[str]]], corner: str = "labels") -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    table.add_column(corner, max_width=NAME - 2, overflow="fold")
    for label in labels:
        table.add_column(Text(label), justify="right")
    for name, values in rows:
        cells = [Text(value, style="bold" if value.endswith("*") else "") for value in values]
        table.add_row(Text(name), *cells)
    return table


def markdown(results: Results, metric: str | None = None) -> str:
    """The same as one Markdown table; a difference whose interval excludes zero is bold."""
    heads = [fraction_name(f) for f in results.fractions]
    first = metric_name(metric or results.metric, results.target)
    lines = [markdown_row([first, "arm", *heads]), "|---|---|" + "--:|" * len(heads)]
    for protocol in results.protocols:
        own = metric or main_metric(results, protocol)
        title = protocol_name(protocol) + f" ({metric_name(own, results.target)})" * (own != (metric or results.metric))
        lines += [markdown_row([title, name, *values]) for name, values in arm_rows(results, protocol, own)]
        for name, values in gap_rows(results, protocol, own):
            marked = [re.sub(r"(.*)\*$", r"**\1**", value) for value in values]
            lines.append(markdown_row([title, name, *marked]))
    return "\n".join([*lines, "", key(results, bold=True)]) + "\n"


def markdown_row(cells: Sequence[str]) -> str:
    """A row of a table in Markdown."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def key(results: Results, *, bold: bool = False) -> str:
    """One line that says what the table's brackets and marks mean."""
    many = results.procedure
    interval = bool(many.bootstrap) or many.folds > 1 or many.repeats > 1
    unlabelled = results.target.kind == "retrieval"
    mean = "Value" if unlabelled and many.repeats == 1 else f"Mean of {repeats_words(many)}"
    brackets = mean + f" [95% CI over {interval_words(many)}]" * interval
    difference = "difference to chance" if unlabelled and not bold else "difference"
    marked = f"; {'bold' if bold else '*'}: the interval of the {difference} excludes zero"
    raised = "; raised: " + ", ".join(f.label for f in results.fractions if f.raised)
    raised = f"{raised} made larger so that each class occurs" if any(f.raised for f in results.fractions) else ""
    return " ".join([brackets + marked + raised + ".", *other_repeats(results), *deterministic(results)])
