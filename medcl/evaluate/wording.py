"""How metrics, protocols, arms, estimates and findings are put into words, on the terminal and on the pages alike."""

import math
import re
import sys
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from medcl.errors import UsageError
from medcl.evaluate.results import ArmInfo, Difference, Estimate, Fraction, Procedure, Results, ResultTarget
from medcl.wording import METRICS, NOTHING, bounds, count, decimals, number

PROTOCOLS = {"probe": "Linear probe", "knn": "k nearest neighbours", "finetune": "Full fine-tuning"}
MACRO = ("auroc", "auprc")


def protocol_name(protocol: str) -> str:
    """The protocol as a heading."""
    return PROTOCOLS.get(protocol, protocol)


def arm_name(protocol: str, arm: ArmInfo) -> str:
    """An arm in words; a frozen encoder is not trained 'from scratch', its weights stay random."""
    if arm.kind == "random" and not arm.title:
        suffix = arm.name.removeprefix("random")
        return ("random weights" if protocol in ("probe", "knn") else "from scratch") + suffix
    return arm.title or arm.name


def metric_name(metric: str, target: ResultTarget) -> str:
    """The metric's name, saying where it is a mean over classes. F1 is one for a binary target as well."""
    averaged = metric in MACRO and target.kind in ("multiclass", "multilabel")
    name = METRICS.get(metric, metric)
    unit = f" ({target.unit})" if target.unit and metric in ("mae", "rmse") else ""
    return (f"macro-{name}" if averaged or metric == "f1" else name) + unit


def estimate(row: Estimate | None, *, signed: bool = False) -> str:
    """A mean and its main interval, with one number of decimals; a dash where nothing was measured."""
    if row is None or math.isnan(row.mean):
        return NOTHING
    places = decimals(max(abs(x) for x in (row.mean, row.low, row.high) if not math.isnan(x)))
    return f"{number(row.mean, digits=places, signed=signed)} {bounds(row.low, row.high, digits=places)}".rstrip()


def repeats_bounds(row: Estimate | None) -> str:
    """The interval over repeats alone; a dash where there is none."""
    return (bounds(row.repeats_low, row.repeats_high) if row else "") or NOTHING


def p_value(p: float) -> str:
    """A p-value as `p = 0.012` or `p < 0.001`; empty where there is none."""
    if math.isnan(p):
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {number(p)}"


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


def interval_words(many: Procedure) -> str:
    """What the main interval is over."""
    if many.bootstrap:
        return "test patients" + " and repeats" * (many.repeats > 1)
    return "folds" if many.folds > 1 else "repeats"


def other_repeats(results: Results) -> list[str]:
    """A sentence for each protocol and fraction whose means rest on another number of repeats than the procedure's."""
    expected = results.procedure.repeats
    held = {(row.protocol, row.label): row.repeats for row in results.summary}
    return [
        f"{protocol_name(protocol)} at {label} labels: {n} repeat{'' if n == 1 else 's'} instead of {expected}."
        for (protocol, label), n in held.items()
        if n != expected
    ]


def deterministic(results: Results) -> list[str]:
    """A sentence for each protocol and fraction of which no repeat differs from another."""
    same: dict[tuple[str, str], list[str]] = {}
    for row in results.summary:
        if (
            row.metric == results.metric
            and not row.class_name
            and row.repeats > 1
            and row.repeats_low == row.repeats_high
        ):
            same.setdefault((row.protocol, row.label), []).append(arm_name(row.protocol, results.arm(row.arm)))
    return [
        f"{protocol_name(protocol)} at {label} labels: all repeats of {', '.join(names)} are equal, for the fit is "
        "deterministic; the interval is over test patients alone."
        for (protocol, label), names in same.items()
    ]


def headline_fraction(results: Results) -> Fraction:
    """The fraction of the headline: 10% where it was measured, else the smallest; not chosen by its result.

    Raises:
        UsageError: the results have no fraction.
    """
    if not results.fractions:
        raise UsageError("the results have no label fraction, so there is nothing to show")
    return next((f for f in results.fractions if f.label == "10%"), results.fractions[0])


def headline_protocol(results: Results) -> str:
    """The protocol of the headline: full fine-tuning where it was measured, else the first."""
    return "finetune" if "finetune" in results.protocols else results.protocols[0]


def reference(results: Results) -> ArmInfo | None:
    """What the first arm is held against: random weights where they were measured, else the second arm."""
    others = results.arms[1:]
    return next((arm for arm in others if arm.kind == "random"), others[0] if others else None)


def gap(results: Results, protocol: str, arm: str, other: str, label: str, metric: str) -> Difference | None:
    """The difference arm - other in either order of the arms."""
    found = results.difference(protocol, arm, other, label, metric)
    if found is not None:
        return found
    turned = results.difference(protocol, other, arm, label, metric)
    return None if turned is None else _turned(turned)


def _turned(row: Difference) -> Difference:
    ends = {"low": -row.high, "high": -row.low, "repeats_low": -row.repeats_high, "repeats_high": -row.repeats_low}
    return Difference(**{**vars(row), "mean": -row.mean, "arm": row.other, "other": row.arm, **ends})


def finding(results: Results, protocol: str) -> str:
    """What a protocol found at the headline's fraction, in a sentence that claims no more than its interval."""
    fraction, metric, other = headline_fraction(results), results.metric, reference(results)
    first = results.find(protocol, results.arms[0].name, fraction.label, metric)
    name, main = metric_name(metric, results.target), arm_name(protocol, results.arms[0])
    start = fraction_words(fraction, results.procedure.unit)
    second = None if other is None else results.find(protocol, other.name, fraction.label, metric)
    paired = None
    if other is not None:
        paired = gap(results, protocol, results.arms[0].name, other.name, fraction.label, metric)
    if first is None or second is None or paired is None or other is None or math.isnan(paired.mean):
        value = f"{name} of {main} is {estimate(first)}" if first else f"{name} was not measured"
        return f"{start} {value}; there is no paired difference."
    theirs = arm_name(protocol, other)
    values = f"{name} is {estimate(first)} {_by(main)} and {estimate(second)} {_by(theirs)}"
    return f"{start} {values}: difference {change(paired)}."


def change(paired: Difference) -> str:
    """A difference, and whether its interval shows one."""
    doubt = "" if paired.excludes_zero else ", an interval that includes zero: a difference is not shown"
    alone = ", without an interval, since there is one repeat only"
    return estimate(paired, signed=True) + (alone if math.isnan(paired.low) else doubt)


def _by(arm: str) -> str:
    return arm if arm.startswith(("pretrained", "from scratch")) else f"with {arm}"


def baseline_clause(results: Results) -> str:
    """How the first arm compares with the best simple baseline at the headline's fraction; empty without one."""
    fraction, metric = headline_fraction(results), results.metric
    protocol = headline_protocol(results)
    rows = [
        (row, arm)
        for arm in results.arms
        if arm.kind == "baseline" and (row := results.find("probe", arm.name, fraction.label, metric))
    ]
    rows = [(row, arm) for row, arm in rows if not math.isnan(row.mean)]
    if not rows:
        return ""
    row, arm = max(rows, key=lambda one: one[0].mean)
    paired = gap(results, protocol, results.arms[0].name, arm.name, fraction.label, metric)
    best = f"The best simple baseline, {arm_name('probe', arm)}, has {estimate(row)}"
    return f"{best}; the difference to it is {estimate(paired, signed=True)}." if paired else f"{best}."


WIDTH = 100
NAME = 26
CELL = 22


def show(results: Results, console: Console | None = None, metric: str | None = None) -> None:
    """Print the tables and the headline; plain text of at most 100 columns where the output is not a terminal."""
    console = console_of(console)
    width = min(console.width, WIDTH)
    for title, one in tables(results, metric, ruled=console.is_terminal, width=width):
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


def tables(
    results: Results, metric: str | None = None, *, ruled: bool = True, width: int = WIDTH
) -> Iterator[tuple[str, Table]]:
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
            yield title, _table(labels[part], arm_rows(results, protocol, metric, part), ruled)
            rows = gap_rows(results, protocol, metric, part)
            if rows:
                yield gaps, _table(labels[part], rows, ruled)


def arm_rows(results: Results, protocol: str, metric: str, part: slice = slice(None)) -> list[tuple[str, list[str]]]:
    """The arms of a protocol, and the simple baselines, with a value a fraction."""
    rows = []
    for arm in results.arms:
        own = protocol if arm.kind != "baseline" else "probe"
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


def _table(labels: Sequence[str], rows: Sequence[tuple[str, list[str]]], ruled: bool) -> Table:
    table = Table(pad_edge=False, show_edge=False)
    table.box, table.padding = box.SIMPLE_HEAD if ruled else None, (0, 1 if ruled else 2, 0, 0)
    table.add_column("labels", max_width=NAME - 2, overflow="fold")
    for label in labels:
        table.add_column(Text(label), justify="right")
    for name, values in rows:
        cells = [Text(value, style="bold" if value.endswith("*") else "") for value in values]
        table.add_row(Text(name), *cells)
    return table


def markdown(results: Results, metric: str | None = None) -> str:
    """The same as one Markdown table; a difference whose interval excludes zero is bold."""
    metric = metric or results.metric
    heads = [f"{f.label} ({count(f.patients)} patients)" for f in results.fractions]
    lines = [markdown_row([metric_name(metric, results.target), "arm", *heads]), "|---|---|" + "--:|" * len(heads)]
    for protocol in results.protocols:
        for name, values in arm_rows(results, protocol, metric):
            lines.append(markdown_row([protocol_name(protocol), name, *values]))
        for name, values in gap_rows(results, protocol, metric):
            marked = [re.sub(r"(.*)\*$", r"**\1**", value) for value in values]
            lines.append(markdown_row([protocol_name(protocol), name, *marked]))
    return "\n".join([*lines, "", key(results, bold=True)]) + "\n"


def markdown_row(cells: Sequence[str]) -> str:
    """A row of a table in Markdown."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def key(results: Results, *, bold: bool = False) -> str:
    """One line that says what the table's brackets and marks mean."""
    many = results.procedure
    interval = bool(many.bootstrap) or many.folds > 1 or many.repeats > 1
    brackets = f"Mean of {repeats_words(many)}" + f" [95% CI over {interval_words(many)}]" * interval
    marked = f"; {'bold' if bold else '*'}: the interval of the difference excludes zero"
    raised = "; raised: " + ", ".join(f.label for f in results.fractions if f.raised)
    raised = f"{raised} made larger so that each class occurs" if any(f.raised for f in results.fractions) else ""
    return " ".join([brackets + marked + raised + ".", *other_repeats(results), *deterministic(results)])
