"""Several methods next to each other: results of one target on one test set as a table and a page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from medcl.errors import UsageError
from medcl.evaluate import figures
from medcl.evaluate.results import Fraction, Results
from medcl.evaluate.wording import (
    console_of,
    estimate,
    init_name,
    markdown_row,
    metric_name,
    other_repeats,
    protocol_name,
    repeats_words,
)
from medcl.show import page
from medcl.wording import count

CELL = 24  # columns of text that a cell with a signed mean and its interval takes
NAME = 24
SYMBOLS = (  # of plotly, and the letter that looks the same
    ("circle", "●"),
    ("square", "■"),
    ("triangle-up", "▲"),
    ("triangle-down", "▼"),
    ("star", "★"),
    ("cross", "✚"),
    ("hexagon", "⬢"),
    ("x", "✖"),
)


@dataclass(frozen=True)
class Comparison:
    """Results of one target on one test set, with the name under which each is shown."""

    names: tuple[str, ...]
    results: tuple[Results, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The fractions of all results, from few patients to many."""
        held = {f.label: f.patients for one in self.results for f in one.fractions}
        return tuple(sorted(held, key=lambda label: held[label]))

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols of all results."""
        return tuple(dict.fromkeys(p for one in self.results for p in one.protocols))


@dataclass(frozen=True)
class MethodRow:
    """A method in one table, a value a fraction; `differences` are to random weights and empty for these themselves."""

    name: str
    values: tuple[str, ...]
    differences: tuple[str, ...]
    clear: tuple[bool, ...]


def compare(paths: Sequence[Path], names: Sequence[str] = ()) -> Comparison:
    """Read results that can be compared.

    Args:
        paths: results.json files; those of `medcl.evaluate.cross_validation.combine_folds` as well.
        names: one a file; without them the run folders' names are used, and the methods' where those are equal.

    Raises:
        UsageError: there is nothing to compare, or the number of names, the targets, main metrics or test sets differ.
        MedclError: a file is not a results file.
    """
    if not paths:
        raise UsageError("nothing to compare: pass the results.json of each evaluation")
    if names and len(names) != len(paths):
        raise UsageError(f"--names: {len(names)} names for {len(paths)} results; give one for each")
    results = [Results.load(path) for path in paths]
    for path, one in zip(paths[1:], results[1:], strict=True):
        _check(paths[0], results[0], path, one)
    return Comparison(tuple(names) or _names(paths, results), tuple(results))


def show(comparison: Comparison, metric: str | None = None, console: Console | None = None) -> None:
    """Print one table of means and one of paired differences a protocol; as many fractions side by side as fit."""
    console, metric = console_of(console), metric or comparison.results[0].metric
    labels, fit = len(comparison.labels), max(1, (console.width - NAME) // CELL)
    # As few tables as fit, equally wide: two and two rather than three and one.
    step = max(1, math.ceil(labels / math.ceil(labels / fit))) if labels else 1
    for protocol in comparison.protocols:
        lines = _lines(comparison, protocol, metric)
        console.print(Text(_title(comparison, protocol, metric), style="bold"))
        for start in range(0, labels, step):
            console.print(_table(comparison, lines, slice(start, start + step), ruled=console.is_terminal))
            console.print()
    console.print(Text(_key(comparison)), style="dim")


def markdown(comparison: Comparison, metric: str | None = None) -> str:
    """The comparison as Markdown, one table a protocol; a cell holds the mean and below it the paired difference."""
    metric = metric or comparison.results[0].metric
    parts = []
    for protocol in comparison.protocols:
        parts += [f"**{_title(comparison, protocol, metric)}**", ""]
        parts += [markdown_row(["method", *comparison.labels]), "|---|" + "--:|" * len(comparison.labels)]
        for line in _lines(comparison, protocol, metric):
            marked = [f"**{gap}**" if clear else gap for gap, clear in zip(line.differences, line.clear, strict=True)]
            cells = [f"{value}<br>{gap}" if gap else value for value, gap in zip(line.values, marked, strict=True)]
            parts.append(markdown_row([line.name, *cells]))
        parts.append("")
    return "\n".join([*parts, _key(comparison, bold=True)]) + "\n"


def write_page(comparison: Comparison, path: Path) -> None:
    """Write the comparison as one self-contained HTML file with a curve a method."""
    page.write(path, render_page(comparison))


def render_page(comparison: Comparison) -> str:
    """The comparison as HTML; see `write_page`."""
    first = comparison.results[0]
    metrics = [m for m in first.metrics if all(m in one.metrics for one in comparison.results)]
    charts: dict[str, page.Figure] = {}
    panels = []
    for i, metric in enumerate(metrics):
        curves = {p: _series(comparison, p, metric) for p in comparison.protocols}
        top = figures.value_range([line for lines, _ in curves.values() for line in lines])
        bottom = figures.value_range([gap for _, gaps in curves.values() for gap in gaps], with_zero=True)
        for j, (protocol, (lines, gaps)) in enumerate(curves.items()):
            charts[f"curve-{i}-{j}"] = figures.curve(_fractions(comparison), lines, gaps, top, bottom)
            panels.append((i, protocol_name(protocol), f"curve-{i}-{j}", _lines(comparison, protocol, metric)))
    return page.render(
        "evaluate/compare.html",
        figures=charts,
        comparison=comparison,
        target=first.target,
        test=first.splits["test"],
        metrics=[metric_name(m, first.target) for m in metrics],
        panels=panels,
        key=_key(comparison, bold=True),
        notes=_notes(comparison),
        glyphs=[SYMBOLS[i % len(SYMBOLS)][1] for i in range(len(comparison.names))],
        count=count,
    )


def _check(first_path: Path, first: Results, path: Path, other: Results) -> None:
    if other.target != first.target:
        raise UsageError(
            f"{path} predicts {_described(other)} and {first_path} {_described(first)}: "
            "only results of one target can be compared"
        )
    if other.metric != first.metric:
        raise UsageError(
            f"{path} has the main metric {other.metric} and {first_path} {first.metric}: evaluate both with one"
        )
    a, b = first.splits["test"], other.splits["test"]
    known = bool(a.fingerprint and b.fingerprint)
    if (a.fingerprint != b.fingerprint) if known else ((a.patients, a.records) != (b.patients, b.records)):
        raise UsageError(
            f"{path} was tested on other records than {first_path} ({count(b.records)} and {count(a.records)}): "
            "evaluate both with one manifest, or pool the folds of each method first"
        )


def _described(results: Results) -> str:
    target = results.target
    return f"{target.name} ({target.kind}{', ' + ', '.join(target.classes) if target.classes else ''})"


def _names(paths: Sequence[Path], results: Sequence[Results]) -> tuple[str, ...]:
    """The runs' names; where two are the same, each result is named by its path."""
    names = [Path(one.run).name if "," not in one.run else one.method for one in results]
    return tuple(names if len(set(names)) == len(names) else map(str, paths))


def _baselines(comparison: Comparison) -> list[tuple[str, Results]]:
    """Results with different random baselines, each with its name; where all share one, its name is empty."""
    kept: dict[tuple[object, ...], tuple[str, Results]] = {}
    for name, one in zip(comparison.names, comparison.results, strict=True):
        random = (s for s in one.summary if s.init == "random" and not math.isnan(s.mean))
        values = tuple((s.protocol, s.label, s.metric, round(s.mean, 6)) for s in random)
        kept.setdefault(values, (name, one))
    found = list(kept.values())
    return [("", found[0][1])] if len(found) == 1 else found


def _lines(comparison: Comparison, protocol: str, metric: str) -> list[MethodRow]:
    labels, none = comparison.labels, ("",) * len(comparison.labels)
    lines = []
    for name, one in zip(comparison.names, comparison.results, strict=True):
        values = tuple(estimate(one.find(protocol, "pretrained", label, metric)) for label in labels)
        paired = [one.difference(protocol, label, metric) for label in labels]
        clear = tuple(row is not None and row.excludes_zero for row in paired)
        lines.append(MethodRow(name, values, tuple(estimate(row, signed=True) for row in paired), clear))
    for name, one in _baselines(comparison):
        values = tuple(estimate(one.find(protocol, "random", label, metric)) for label in labels)
        title = init_name(protocol, "random") + (f" ({name})" if name else "")
        lines.append(MethodRow(title, values, none, (False,) * len(labels)))
    return lines


def _title(comparison: Comparison, protocol: str, metric: str) -> str:
    first = comparison.results[0]
    held = count(first.splits["test"].patients)
    return f"{protocol_name(protocol)}: {metric_name(metric, first.target)} on {held} test patients"


def _table(comparison: Comparison, lines: Sequence[MethodRow], part: slice, *, ruled: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD if ruled else None, pad_edge=False)
    table.add_column("method", max_width=NAME - 2, overflow="fold")
    for label in comparison.labels[part]:
        table.add_column(Text(label), justify="right", no_wrap=True)
    for line in lines:
        table.add_row(Text(line.name), *(Text(value + " ") for value in line.values[part]))
        gaps = list(zip(line.differences[part], line.clear[part], strict=True))
        if any(gap for gap, _ in gaps):
            cells = (Text(gap + "*", style="bold") if clear else Text(gap + " ", style="dim") for gap, clear in gaps)
            table.add_row(Text("  paired difference"), *cells)
    return table


def _series(comparison: Comparison, protocol: str, metric: str) -> tuple[list[figures.Series], list[figures.Series]]:
    labels = comparison.labels
    lines, gaps = [], []
    for i, (name, one) in enumerate(zip(comparison.names, comparison.results, strict=True)):
        means = [one.find(protocol, "pretrained", label, metric) for label in labels]
        dash = ("solid", "dash", "dot")[i // len(SYMBOLS) % 3]
        line = figures.Series(name, f"var(--line-{i % 8})", SYMBOLS[i % len(SYMBOLS)][0], means, dash=dash)
        lines.append(line)
        gaps.append(replace(line, rows=[one.difference(protocol, label, metric) for label in labels]))
    for name, one in _baselines(comparison):
        title = init_name(protocol, "random") + (f" ({name})" if name else "")
        rows = [one.find(protocol, "random", label, metric) for label in labels]
        lines.append(figures.Series(title, "var(--muted)", "diamond-open", rows, dash="dot"))
    return lines, gaps


def _fractions(comparison: Comparison) -> list[Fraction]:
    held = {f.label: f for one in reversed(comparison.results) for f in one.fractions}
    return [held[label] for label in comparison.labels]


def _notes(comparison: Comparison) -> list[str]:
    """Every note once, with the names that it is about unless it is about all."""
    about: dict[str, list[str]] = {}
    for name, one in zip(comparison.names, comparison.results, strict=True):
        for note in (*one.notes, *other_repeats(one)):
            about.setdefault(note, []).append(name)
    everything = len(comparison.names)
    return [note if len(names) == everything else f"{', '.join(names)}: {note}" for note, names in about.items()]


def _key(comparison: Comparison, *, bold: bool = False) -> str:
    over = " or ".join(dict.fromkeys(repeats_words(one.procedure) for one in comparison.results))
    return (
        f"Mean of {over} [95% interval]; paired difference from random weights or training from scratch, on the same "
        f"labelled patients with the same seeds; {'bold' if bold else '*'}: its interval excludes zero."
    )
