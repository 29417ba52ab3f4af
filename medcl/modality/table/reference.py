"""Turn a table into what the network takes, with numpy alone.

    settings = json.load(open("preprocessing.json"))
    x = preprocess({"age": [71.0], "sex": [0]}, settings)

Steps: bring variables into their order, scale numbers, put rows on a grid of steps. Numbers are in
`settings["units"]`; a category is its place in `settings["classes"]`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

CUT = 3.0
"""Where values scaled by percentiles are cut off."""


def preprocess(
    variables: Mapping[str, Sequence[float]],
    settings: dict[str, Any],
    hours: Sequence[float] | None = None,
    start: float | None = None,
) -> NDArray[np.float32]:
    """Turn a table into a sample.

    Args:
        variables: name -> its value in each row, NaN where there is none; what is not named is missing.
        settings: content of `preprocessing.json`.
        hours: of each row, of a table with times, ascending.
        start: hours at which the window begins; default: that of the settings.

    Returns:
        (1, variables, steps), NaN where there is no value.

    Raises:
        ValueError: no variable is known, or times are missing.
    """
    names: list[str] = settings["columns"]
    if not variables.keys() & set(names) or (settings["window"] is not None) != (hours is not None):
        raise ValueError(f"give values of {', '.join(names)}, and hours where the settings have a window")
    classes, scale, missing = (settings[name] or {} for name in ("classes", "scale", "missing"))
    rows = max(len(variables[name]) for name in variables)
    first = settings["start"] if start is None else start
    steps = np.zeros(rows) if hours is None else np.floor((np.asarray(hours) - first) / settings["step"] + 1e-9)
    n_steps = 1 if hours is None else max(1, round(settings["window"] / settings["step"]))
    out = np.full((1, len(names), n_steps), np.nan)
    for column, name in enumerate(names):
        values = np.array(variables.get(name, [np.nan] * rows), dtype=np.float64)
        values[np.isin(values, missing.get(name, []))] = np.nan
        if name in scale and settings["scaling"] == "rank":
            ranks = sum(np.searchsorted(scale[name], values, side) for side in ("left", "right"))
            values = np.where(np.isnan(values), np.nan, ranks / len(scale[name]) - 1)
        else:
            centre, spread = scale.get(name, (0.0, 1.0))
            values = (values - centre) / (spread if spread > 0 else np.inf)
        if name not in classes and settings["scaling"] == "percentile":
            values = np.clip(values, -CUT, CUT)
        for step in range(n_steps):
            own = values[(steps == step) & ~np.isnan(values)]
            if len(own):
                # Several numbers in a step are averaged; of categories the last counts.
                out[0, column, step] = own[-1] if name in classes else own.mean()
    return out.astype(np.float32)
