"""The page of `medcl reduce --report`: how redundant an archive is, before anything is cut."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medcl.archive.manifest import Manifest
from medcl.archive.stratify import is_labelled
from medcl.reduce.preview import Preview, StrategyPreview
from medcl.reduce.selection import Ints, Selection
from medcl.reduce.strategies import STRATEGIES
from medcl.reduce.units import WHOLE, Units, shown_at
from medcl.show import page
from medcl.show.page import Figure
from medcl.show.thumbnails import Thumbnail, thumbnails
from medcl.wording import count

HISTOGRAM_BINS = 20
CLASSES = 12
"""Of a target, at most: the most frequent ones."""


def write_page(path: Path, found: Preview) -> None:
    """Write the page as one self-contained file; records are read once more for the images of near-duplicates."""
    page.write(path, render_page(found))


def render_page(found: Preview) -> str:
    """The page as HTML."""
    previews = list(found.previews)
    shown = examples(found.manifest, [one.selection for one in previews], found.axis)
    figures = {f"curve-{i}": curve(one) for i, one in enumerate(previews)}
    figures |= {f"patients-{i}": per_patient(found.manifest, one.selection) for i, one in enumerate(previews)}
    return page.render(
        "reduce/reduce.html",
        figures,
        headline=_headline(previews),
        facts=_facts(found),
        previews=previews,
        names=[_name(one, previews) for one in previews],
        rows=[one.words for one in previews],
        skipped=found.skipped,
        examples=shown,
        balances=[balance(found.manifest, one.selection) for one in previews],
        count=count,
    )


def curve(one: StrategyPreview) -> Figure:
    """Kept share against threshold; the threshold that was taken and the knee are marked."""
    chosen = one.selection
    line = {
        "type": "scatter",
        "mode": "lines+markers" if len(one.thresholds) < 40 else "lines",
        "x": one.thresholds.tolist(),
        "y": (100 * one.shares).tolist(),
        "line": {"color": "var(--line-0)", "width": 2},
        "marker": {"size": 4, "color": "var(--line-0)"},
        "hovertemplate": f"{chosen.how} %{{x:.4g}}: %{{y:.1f}}% kept<extra></extra>",
    }
    data: list[Figure] = [line]
    # Of two sizes: both are seen where they are the same.
    marks = [
        (chosen.threshold, 100 * chosen.share, "threshold", {"size": 14, "symbol": "circle", "color": "var(--line-1)"}),
        (one.knee, 100 * one.share_at_knee, "knee", {"size": 9, "symbol": "diamond", "color": "var(--line-2)"}),
    ]
    for x, y, word, marker in marks:
        if x is not None:
            hover = f"{word}: {chosen.how} %{{x:.4g}}, %{{y:.1f}}% kept<extra></extra>"
            data.append(
                {"type": "scatter", "mode": "markers", "x": [x], "y": [y], "marker": marker, "hovertemplate": hover}
            )
    entry = STRATEGIES.get(chosen.strategy)
    across = {"title": {"text": entry.axis if entry else chosen.how, "standoff": 6}, "showgrid": False}
    up = {"title": {"text": "units kept (%)", "standoff": 4}, "range": [0, 104]}
    return {"data": data, "layout": _layout(260, across, up)}


def _layout(height: int, x: Figure, y: Figure) -> Figure:
    return {"height": height, "margin": {"l": 56, "r": 10, "t": 8, "b": 44}, "xaxis": x, "yaxis": y}


def per_patient(manifest: Manifest, one: Selection) -> Figure:
    """Histogram of the share of units that is kept of each patient."""
    patient = manifest.column("patient")[one.units.row]
    # A record without a patient is a patient of its own.
    code = np.where(patient >= 0, patient, -1 - one.units.row)
    _, number = np.unique(code, return_inverse=True)
    shares = np.bincount(number, one.keep) / np.maximum(np.bincount(number), 1) if len(number) else np.empty(0)
    counts, edges = np.histogram(100 * shares, HISTOGRAM_BINS, (0, 100))
    bars = {
        "type": "bar",
        "x": ((edges[:-1] + edges[1:]) / 2).tolist(),
        "y": counts.tolist(),
        "width": 100 / HISTOGRAM_BINS * 0.92,
        "marker": {"color": "var(--line-0)"},
        "hovertemplate": "%{y} patients: about %{x}% kept<extra></extra>",
    }
    title = {"text": "units kept of a patient (%)", "standoff": 6}
    across = {"range": [0, 101], "dtick": 25, "title": title}
    up = {"title": {"text": "number of patients", "standoff": 4}, "rangemode": "tozero"}
    return {"data": [bars], "layout": _layout(240, across, {**up, "dtick": max(1, -(-int(counts.max()) // 5))})}


def balance(manifest: Manifest, one: Selection) -> list[tuple[str, list[tuple[str, float, float]]]]:
    """The share of each class among the units before and after, of every target with classes.

    A slice counts with the label of its volume. The reduction itself has seen no label.

    Returns:
        (target, [(class, share before, share after)]), the most frequent classes first.
    """
    found = []
    for name, target in manifest.targets.items():
        if target.kind == "regression" or not len(one.units):
            continue
        labels = manifest.labels(name)[one.units.row]
        known = is_labelled(labels)
        indicators = labels if labels.ndim == 2 else labels[:, None] == np.arange(len(target.classes))
        if not known.any():
            continue
        before = indicators[known].mean(axis=0)
        after = indicators[known & one.keep].mean(axis=0) if (known & one.keep).any() else np.full(len(before), np.nan)
        order = np.argsort(-before, kind="stable")[:CLASSES]
        found.append((name, [(target.classes[k], float(before[k]), float(after[k])) for k in order]))
    return found


def _name(one: StrategyPreview, previews: list[StrategyPreview]) -> str:
    """The strategy; with what it compares where that differs."""
    families = {str(other.selection.units.family) for other in previews}
    name = one.selection.strategy
    return name if len(families) == 1 else f"{name}, {one.selection.units.family}"


def _headline(previews: list[StrategyPreview]) -> str:
    if not previews:
        return "Nothing could be compared."
    one = min(previews, key=lambda preview: preview.selection.strategy != "hash").selection
    limit = "" if one.threshold is None else f" at {one.how} {one.threshold:g}"
    return f"{one.strategy}{limit} keeps {one.share:.1%} of {count(len(one.units))} {one.units.family}."


def _facts(found: Preview) -> list[tuple[str, str]]:
    units: dict[str, int] = {}
    rows = set()
    for one in found.previews:
        units.setdefault(str(one.selection.units.family), len(one.selection.units))
        rows |= set(one.selection.units.row.tolist())
    patients = np.unique(found.manifest.column("patient")[sorted(rows)]) if rows else np.empty(0)
    return [
        *((family, count(number)) for family, number in units.items()),
        ("records", count(len(rows))),
        ("patients", count(int((patients >= 0).sum()))),
    ]


GROUPS, MEMBERS = 4, 7
"""Number of groups shown for a strategy, of images in a group."""
FILES = 6
"""Records whose slices are shown: each is read whole for them."""


@dataclass(frozen=True)
class Example:
    """A group of so many units: images of that which is kept, first, and of some of its duplicates.

    The nearest and the farthest are among them; each has a caption.
    """

    size: int
    images: tuple[Thumbnail, ...]
    captions: tuple[str, ...]


def examples(manifest: Manifest, selections: Sequence[Selection], axis: int) -> list[list[Example]]:
    """Draw some groups of each selection: the largest, the smallest, and some between.

    Returns:
        The examples of each selection, the largest group first; none of one that drops nothing.
    """
    wanted: list[tuple[int, int | None]] = []
    plans: list[list[tuple[int, Ints]]] = []
    opened: set[int] = set()
    for one in selections:
        plan = []
        for members in _groups(one, opened):
            shown = _shown(one, members)
            plan.append((len(members), shown))
            wanted += [_place(one.units, int(unit)) for unit in shown]
        plans.append(plan)
    order = {place: number for number, place in enumerate(dict.fromkeys(wanted))}
    drawn = thumbnails(manifest, list(order), axis, enlarged=True)
    return [
        [
            Example(
                size,
                tuple(drawn[order[_place(one.units, int(unit))]] for unit in shown),
                tuple(_caption(one, int(unit), first=number == 0) for number, unit in enumerate(shown)),
            )
            for size, shown in plan
        ]
        for one, plan in zip(selections, plans, strict=True)
    ]


def _groups(one: Selection, opened: set[int]) -> list[Ints]:
    """Units of some groups, the kept one first; records that are opened already are taken rather than others."""
    dropped = np.flatnonzero(~one.keep & (one.duplicate_of >= 0))
    if not len(dropped):
        return []
    heads, counts = np.unique(one.duplicate_of[dropped], return_counts=True)
    slices = one.units.piece[heads] != WHOLE
    if slices.any():
        rows = one.units.row[heads]
        for row in _spread(np.unique(rows), FILES):
            if len(opened) < FILES:
                opened.add(int(row))
        inside = np.isin(rows, list(opened))
        if inside.any():
            heads, counts = heads[inside], counts[inside]
    by_size = heads[np.argsort(-counts, kind="stable")]
    return [
        np.concatenate([[head], dropped[one.duplicate_of[dropped] == head]]).astype(np.int64)
        for head in _spread(by_size, GROUPS)
    ]


def _spread(values: Ints, count: int) -> Ints:
    """Some of the values from the first to the last."""
    places = np.unique(np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(np.int64))
    chosen: Ints = values[places]
    return chosen


def _shown(one: Selection, members: Ints) -> Ints:
    """The kept unit, then others in the order of what was measured, the last one as far as it goes."""
    others = members[1:]
    measure = one.measure[others]
    near = np.argsort(measure if one.how == "distance" else -measure, kind="stable")
    return np.concatenate([members[:1], _spread(others[near], MEMBERS - 1)])


def _place(units: Units, unit: int) -> tuple[int, int | None]:
    return shown_at(int(units.row[unit]), int(units.piece[unit]))


def _caption(one: Selection, unit: int, *, first: bool) -> str:
    piece = int(one.units.piece[unit])
    said = [] if piece == WHOLE else [f"slice {piece}"]
    said.append("kept" if first else f"{one.how} {one.measure[unit]:.3g}")
    return ", ".join(said)
