"""How metrics, protocols, estimates and findings are put into words, on the terminal and on the pages alike."""

import math
import re
import sys
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from medcl.archive.manifest import Target
from medcl.errors import UsageError
from medcl.evaluate.results import Difference, Estimate, Fraction, Procedure, Results
from medcl.wording import METRICS, NOTHING, bounds, count, decimals, number

PROTOCOLS = {
    "probe": "Linear probe",
    "knn": "k nearest neighbours",
    "finetune": "Full fine-tuning",
    "pixels": "Linear probe, compared with raw pixels",
}


def protocol_name(protocol: str) -> str:
    """The protocol as a heading."""
    return PROTOCOLS.get(protocol, protocol)


def init_name(protocol: str, init: str) -> str:
    """What the encoder started from; a frozen encoder is not trained 'from scratch', its weights stay random."""
    if init == "pretrained":
        return "pretrained"
    if protocol == "pixels":
        return "raw 16 x 16 pixels"
    return "random weights" if protocol in ("probe", "knn") else "from scratch"


def metric_name(metric: str, target: Target) -> str:
    """The metric's name, saying where it is a mean over classes. F1 is one for a binary target as well."""
    averaged = metric in ("auroc", "auprc") and target.kind in ("multiclass", "multilabel")
    name = METRICS.get(metric, metric)
    return f"macro-{name}" if averaged or metric == "f1" else name


def estimate(row: Estimate | None, *, signed: bool = False) -> str:
    """A mean and its interval over repeats, with one number of decimals; a dash where nothing was measured."""
    if row is None or math.isnan(row.mean):
        return NOTHING
    places = decimals(max(abs(x) for x in (row.mean, row.low, row.high) if not math.isnan(x)))
    return f"{number(row.mean, digits=places, signed=signed)} {bounds(row.low, row.high, digits=places)}".rstrip()


def patient_bounds(row: Estimate | None) -> str:
    """The interval over test patients; a dash where there is none."""
    return (bounds(row.patients_low, row.patients_high) if row else "") or NOTHING


def fraction_words(fraction: Fraction, unit: str = "patient") -> str:
    """What a fraction is, for a sentence: `With 10% of the labels (36 patients)`."""
    held = f"{count(fraction.patients)} patient" + ("" if fraction.patients == 1 else "s")
    if unit == "record":
        held = f"{count(fraction.records)} record" + ("" if fraction.records == 1 else "s") + f" of {held}"
    if not fraction.label.endswith("%"):
        return f"With the labels of {held}"
    share = "all labels" if fraction.label == "100%" else f"{fraction.label} of the labels"
    return f"With {share} ({'raised to ' if fraction.raised else ''}{held})"


def repeats_words(many: Procedure) -> str:
    """What a mean was taken over."""
    repeats = f"{many.repeats} repeat" + "s" * (many.repeats != 1)
    return f"{many.folds} folds of {repeats}" if many.folds > 1 else repeats


def other_repeats(results: Results) -> list[str]:
    """A sentence for each protocol and fraction whose means rest on another number of repeats than the procedure's."""
    expected = results.procedure.repeats * results.procedure.folds
    held = {(row.protocol, row.label): row.repeats for row in results.summary}
    return [
        f"{protocol_name(protocol)} at {label} labels: {n} repeat{'' if n == 1 else 's'} instead of {expected}."
        for (protocol, label), n in held.items()
        if n != expected
    ]


def headline_fraction(results: Results) -> Fraction:
    """The fraction of the headline: 10% where it was measured, else the smallest; not chosen by its result.

    Raises:
        UsageError: the results have no fraction.
    """
    if not results.fractions:
        raise UsageError(f"the results of {results.run} have no label fraction, so there is nothing to show")
    return next((f for f in results.fractions if f.label == "10%"), results.fractions[0])


def headline_protocol(results: Results) -> str:
    """The protocol of the headline: full fine-tuning where it was measured, else the first."""
    return "finetune" if "finetune" in results.protocols else results.protocols[0]


def finding(results: Results, protocol: str) -> str:
    """What a protocol found at the headline's fraction, in a sentence that claims no more than its interval."""
    fraction, metric = headline_fraction(results), results.metric
    first, second = (results.find(protocol, init, fraction.label, metric) for init in ("pretrained", "random"))
    paired = results.difference(protocol, fraction.label, metric)
    name = metric_name(metric, results.target)
    start = fraction_words(fraction, results.procedure.unit)
    if first is None or second is None or paired is None or math.isnan(paired.mean):
        have = first or second
        value = f"{name} is {estimate(have)}" if have else f"{name} was not measured"
        return f"{start} {value}; there is no paired difference to {init_name(protocol, 'random')}."
    other = init_name(protocol, "random")
    if paired.excludes_zero:
        verb = "raises" if paired.mean > 0 else "lowers"
        origin = f"from {number(second.mean)} ({other}) to {number(first.mean)}"
        return f"{start} pretraining {verb} {name} {origin}: difference {estimate(paired, signed=True)}."
    without = other if other == "from scratch" else f"with {other}"
    values = f"{name} is {number(first.mean)} pretrained and {number(second.mean)} {without}"
    return f"{start} {values}: difference {estimate(paired, signed=True)}, {_doubt(paired)}."


def patients_clause(results: Results, protocol: str) -> str:
    """What the bootstrap over test patients adds to `finding`; empty where it was not done."""
    paired = results.difference(protocol, headline_fraction(results).label, results.metric)
    if paired is None or math.isnan(paired.patients_low):
        return ""
    if not paired.patients_exclude_zero:
        verdict = "includes zero: other test patients could show no difference"
    else:
        verdict = "excludes zero" + " as well" * paired.excludes_zero
    return f"Over other test patients the interval of the difference is {patient_bounds(paired)}, which {verdict}."


def _doubt(paired: Difference) -> str:
    if math.isnan(paired.low):
        return "without an interval, since there is one repeat only"
    return "an interval that includes zero, so this run shows no difference"


WIDTH = 100
NARROW = 96  # below this, an interval is put on a line of its own


def tables(results: Results, metric: str | None = None, *, ruled: bool = True, narrow: bool = False) -> list[Table]:
    """One table a protocol: a row a fraction with what it holds, both means and their paired difference.

    Tables are at most 100 columns wide, narrow ones with intervals on lines of their own; a rule may be drawn under the
    heading.
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
            lines.append(markdown_row(cells))
    return "\n".join([*lines, "", _key(results, bold=True)]) + "\n"


def markdown_row(cells: Sequence[str]) -> str:
    """A row of a table in Markdown."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


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
