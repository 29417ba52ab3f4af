"""The page of `medcl reduce --evaluate`."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from medcl.commands.reduction_proof import Proof, Row, by_seed_of
from medcl.show import page
from medcl.show.page import Figure


def write_page(proof: Proof, path: Path) -> None:
    """Write the table and its picture as one self-contained file."""
    seeds, folds = len({one.seed for one in proof.cells}), len({one.fold for one in proof.cells})
    rows = proof.rows()
    page.write(
        path,
        page.render(
            "reduce/proof.html",
            {"quality": _figure(proof, rows)},
            proof=proof,
            heading=proof.heading,
            rows=[proof.words(row) for row in rows],
            facts=[
                ("Target", proof.target),
                ("Tested on", f"{proof.what} of {proof.patients} patients, {folds} fold{'s' * (folds != 1)}"),
                ("Seeds", str(seeds)),
                ("Method", proof.method),
            ],
        ),
    )


def _figure(proof: Proof, rows: Sequence[Row]) -> Figure:
    """Quality of each arm with its interval, best read from the top; single seeds as faint dots."""
    names = [escape(f"{row.name}{', same ' + row.first.budget if row.first.budget else ''}") for row in rows]
    colours = {"all": "var(--line-6)", "reduced": "var(--line-0)", "random": "var(--line-1)"}
    ink = [colours.get(row.first.how, "var(--muted)") for row in rows]
    places = list(range(len(rows), 0, -1))
    half = [0.0 if np.isnan(row.quality.high) else row.quality.high - row.quality.mean for row in rows]
    singles = [
        (value, place)
        for row, place in zip(rows, places, strict=True)
        for value in by_seed_of(row.cells, proof.metric).values()
    ]
    data: list[Figure] = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [value for value, _ in singles],
            "y": [place for _, place in singles],
            "marker": {"size": 5, "color": "var(--muted)", "opacity": 0.45},
            "hovertemplate": "one seed: %{x:.3f}<extra></extra>",
        },
        *(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [row.quality.mean],
                "y": [place],
                "error_x": {"type": "data", "array": [spread], "color": colour, "thickness": 1.5, "width": 3},
                "marker": {"size": 10, "color": colour},
                "hovertemplate": f"{name}: %{{x:.3f}}<extra></extra>",
            }
            for row, place, spread, colour, name in zip(rows, places, half, ink, names, strict=True)
        ),
    ]
    values = [value for value, _ in singles]
    # An interval of two or three seeds may be far wider than anything that was seen: the axis need not hold all of it.
    spread = max(values) - min(values)
    air = max(0.15 * spread, min(max(half), spread)) or 0.02
    layout = {
        "height": 90 + 34 * len(rows),
        "margin": {"l": 10, "r": 16, "t": 8, "b": 48},
        "xaxis": {"title": {"text": proof.metric_name, "standoff": 6}, "range": [min(values) - air, max(values) + air]},
        "yaxis": {"tickvals": places, "ticktext": names, "range": [0.4, len(rows) + 0.6]},
    }
    return {"data": data, "layout": layout}
