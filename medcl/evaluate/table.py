"""The results as tables of text: for the terminal and, as Markdown, for a README."""

import re
import sys
from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from medcl.evaluate.results import Fraction, Results
from medcl.evaluate.wording import (
    estimate,
    finding,
    headline_protocol,
    init_name,
    metric_name,
    other_repeats,
    protocol_name,
    repeats_words,
)
from medcl.show.wording import count

WIDTH = 100
NARROW = 96  # below this, an interval is put on a line of its own


def tables(results: Results, metric: str | None = None, *, ruled: bool = True, narrow: bool = False) -> list[Table]:
    """One table a protocol: a row a fraction with what it holds, both means and their paired difference.

    Args:
        results: what was measured.
        metric: which metric; None is the main one.
        ruled: draw a rule under the heading.
        narrow: put intervals on lines of their own.

    Returns:
        The tables, at most 100 columns wide.
    """
    return [_table(results, protocol, metric or results.metric, ruled, narrow) for protocol in results.protocols]


def show(results: Results, console: Console | None = None) -> None:
    """Print the tables and the headline; plain text of at most 100 columns where the output is not a terminal."""
    console = console_of(console)
    width = min(console.width, WIDTH)
    for one in tables(results, ruled=console.is_terminal, narrow=width < NARROW):
        console.print(one, width=width)
        console.print()
    console.print(Text(_key(results)), style="dim", width=width)
    main = headline_protocol(results)
    console.print(Text(f"{protocol_name(main)}: {finding(results, main)}"), width=width)


def console_of(console: Console | None = None) -> Console:
    """The console to print on: without one, standard output, taken for wide enough where it is not a terminal."""
    return console or (Console() if sys.stdout.isatty() else Console(width=WIDTH))


def markdown(results: Results, metric: str | None = None) -> str:
    """The same as one Markdown table; a difference whose interval excludes zero is bold."""
    metric = metric or results.metric
    heads = ("labels", "patients", "records", "pretrained", "from scratch", "paired difference")
    lines = [f"| {metric_name(metric, results.target)} | {' | '.join(heads)} |", "|---|" + "--:|" * len(heads)]
    for protocol in results.protocols:
        for fraction, pretrained, scratch, difference, clear in _rows(results, protocol, metric):
            held = (fraction.label, _patients(fraction), count(fraction.records))
            cells = (protocol_name(protocol), *held, pretrained, scratch, f"**{difference}**" if clear else difference)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, "", _key(results, bold=True)]) + "\n"


def _rows(results: Results, protocol: str, metric: str) -> Iterator[tuple[Fraction, str, str, str, bool]]:
    for fraction in results.fractions:
        values = [estimate(results.find(protocol, init, fraction.label, metric)) for init in ("pretrained", "random")]
        paired = results.difference(protocol, fraction.label, metric)
        yield fraction, values[0], values[1], estimate(paired, signed=True), paired is not None and paired.excludes_zero


def _table(results: Results, protocol: str, metric: str, ruled: bool, narrow: bool) -> Table:
    tested = f"{count(results.splits['test'].patients)} test patients"
    title = f"{protocol_name(protocol)}: {metric_name(metric, results.target)} on {tested}"
    # The rule's style puts a space between columns itself: two, or one on a narrow terminal, either way.
    table = Table(title=Text(title), title_justify="left", title_style="bold", pad_edge=False, show_edge=False)
    table.box, table.padding = box.SIMPLE_HEAD if ruled else None, (0, 2 - ruled - narrow, 0, 0)
    table.add_column("labels", justify="right", no_wrap=True)
    for name in ("patients", "records", "pretrained", init_name(protocol, "random"), "paired difference"):
        table.add_column(name, justify="right")
    for fraction, pretrained, scratch, difference, clear in _rows(results, protocol, metric):
        marked = difference + ("*" if clear else " ")
        cells = (fraction.label, _patients(fraction), count(fraction.records), pretrained, scratch, marked)
        texts = [Text(re.sub(r" (?=[\[(])", "\n", cell) if narrow else cell) for cell in cells]
        texts[-1].stylize("bold" if clear else "")
        table.add_row(*texts)
    return table


def _patients(fraction: Fraction) -> str:
    return count(fraction.patients) + (" (raised)" if fraction.raised else "")


def _key(results: Results, *, bold: bool = False) -> str:
    """One line that says what the table's brackets and marks mean."""
    many = results.procedure
    brackets = f"Mean of {repeats_words(many)}" + (" [95% interval]" if many.folds > 1 or many.repeats > 1 else "")
    marked = f"; {'bold' if bold else '*'}: the interval of the difference excludes zero"
    raised = "; raised: made larger so that each class occurs" if any(f.raised for f in results.fractions) else ""
    return " ".join([brackets + marked + raised + ".", *other_repeats(results)])
