"""What a search tells: the table of its trials, lines for the terminal, and a page."""

import csv
import io
import math
from pathlib import Path
from typing import Any

from medcl import files
from medcl.engine.progress import in_words
from medcl.show import page
from medcl.show.page import Figure
from medcl.tune.halving import Search, SettingsTrial
from medcl.wording import bounds, number

TABLE, PAGE = "trials.csv", "report.html"
_SHOWN = 5
"""Settings that the terminal shows."""


def write_table(found: Search, path: Path) -> None:
    """Write every trial as a row of CSV: settings, scores with their intervals, seconds, and why it failed."""
    names, labels = [one.name for one in found.space], _labels(found)
    columns = ["setting", "round", "steps divided by", *names, "score"]
    columns += [column for label in labels for column in (label, f"{label} low", f"{label} high")]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*columns, "seconds", "failed"])
    for one in found.trials:
        scores = [value for label in labels for value in one.scores.get(label, (math.nan,) * 3)]
        values = ["" if math.isnan(value) else f"{value:.6f}" for value in (one.score, *scores)]
        own = [one.settings[name] for name in names]
        rows.writerow([one.number, one.round, one.divided, *own, *values, f"{one.seconds:.1f}", one.reason])
    files.write(path, text.getvalue())


def facts_of(found: Search) -> list[tuple[str, str]]:
    """What was searched and how long, by name."""
    n_settings, seconds = len({one.number for one in found.trials}), sum(one.seconds for one in found.trials)
    return [
        ("searched", "; ".join(map(str, found.space))),
        ("tried", f"{n_settings} settings in {len(found.trials)} pretrainings and {in_words(seconds)}: {found.ended}"),
    ]


def lines_of(found: Search) -> list[str]:
    """The settings with the highest scores, and the recipe as it is, one a line."""
    best = found.ranked[:_SHOWN]
    best += [one for one in found.ranked[_SHOWN:] if not one.number]
    rows = [["number", "score", *_labels(found), "steps", "settings"]]
    rows += [
        [str(one.number), number(one.score), *_scores(found, one), steps(one), settings(found, one)] for one in best
    ]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]) - 1)]
    return [
        "  ".join([*(word.ljust(width) for word, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]


def verdict(found: Search, patients: int) -> str:
    """The score of the best settings beside that of the recipe as it is, and what it does not tell."""
    best, before = found.best, found.unchanged
    text = "No settings score higher than the recipe as it is"
    if best.number:
        text = f"Settings {best.number} score {number(best.score)}"
        text += f", the recipe as it is {number(before.score)}" if before else ""
    text += f", on {patients} validation patients."
    if best.divided > 1:
        text += f" In this time no settings had all steps, but 1/{best.divided} of them: give a longer --budget."
    if best.number:
        text += " These patients chose the settings: expect less on others, and measure it on the test patients."
    return text


def settings(found: Search, one: SettingsTrial) -> str:
    """The settings of a trial by their shortest clear names."""
    if not one.number:
        return "the recipe as it is"
    short = _short([varied.name for varied in found.space])
    return ", ".join(f"{short[name]} {value}" for name, value in one.settings.items())


def steps(one: SettingsTrial) -> str:
    """The share of the recipe's steps that a trial had."""
    return "all" if one.divided == 1 else f"1/{one.divided}"


def _short(names: list[str]) -> dict[str, str]:
    """Dotted name -> its last part, or the last two where others end alike, and so on."""
    found = {}
    for name in names:
        parts = name.split(".")
        ends = [".".join(parts[-k:]) for k in range(1, len(parts) + 1)]
        found[name] = next(
            end for end in ends if end == name or sum(f".{other}".endswith(f".{end}") for other in names) == 1
        )
    return found


def _labels(found: Search) -> list[str]:
    return list(dict.fromkeys(label for one in found.trials for label in one.scores))


def _scores(found: Search, one: SettingsTrial) -> list[str]:
    """Mean and interval at each label fraction."""
    return [f"{number(one.scores[label][0])} {bounds(*one.scores[label][1:])}" for label in _labels(found)]


def write_page(found: Search, path: Path, headline: str, facts: list[tuple[str, str]]) -> None:
    """Write the page as one self-contained file."""
    ranked = found.ranked
    shown = [one for one in found.space if len({str(trial.settings[one.name]) for trial in ranked}) > 1]
    html = page.render(
        "tune/tune.html",
        {f"setting-{k}": _scatter(ranked, one.name) for k, one in enumerate(shown)},
        headline=headline,
        facts=facts,
        names=[one.name for one in shown],
        columns=_labels(found),
        rows=[(one.number, number(one.score), _scores(found, one), steps(one), settings(found, one)) for one in ranked],
        failed=[(settings(found, one), one.reason) for one in found.trials if one.reason],
    )
    page.write(path, html)


def _scatter(ranked: list[SettingsTrial], name: str) -> Figure:
    """The score of each setting against one of its values; those with more steps are larger, the recipe is marked."""
    values: list[Any] = [one.settings[name] for one in ranked]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": values if numeric else [str(value) for value in values],
        "y": [one.score for one in ranked],
        "text": [f"settings {one.number}, steps: {steps(one)}" if one.number else "the recipe" for one in ranked],
        "marker": {
            "size": [14 if one.divided == 1 else 10 if one.divided == ranked[0].divided else 7 for one in ranked],
            "color": ["var(--line-0)" if one.number else "var(--line-1)" for one in ranked],
        },
        "hovertemplate": "%{x}: %{y:.3f}<br>%{text}<extra></extra>",
    }
    log = numeric and min(values) > 0 and max(values) > 8 * min(values)
    across = {"type": "log" if log else "linear" if numeric else "category", "showgrid": False}
    layout = {"height": 230, "margin": {"l": 50, "r": 10, "t": 8, "b": 36}, "xaxis": across}
    return {"data": [points], "layout": {**layout, "yaxis": {"title": {"text": "score", "standoff": 4}}}}
