"""The smallest recipes on recordings that still train every part."""

from typing import Any

from medcl.documents import merge
from medcl.pretrain.reading import read
from medcl.pretrain.recipe import Recipe

SMALL: dict[str, Any] = {
    "inputs": {
        "signal": {
            "data": {"window": 2.0, "stride": 1.0},
            "views": {"mask": "continuous", "jitter": 0.05},
            "encoder": {"name": "resnet", "dim": 16, "hidden": 8, "depth": 3, "stride": 8},
        }
    },
    "objectives": {
        "patient": {"of": "signal", "positives": "patient", "weight": 0.25, "head": {"hidden": 16, "dim": 8}},
        "trial": {"of": "signal", "positives": "trial", "weight": 0.25, "head": "patient"},
        "within": {"kind": "hierarchical", "of": "signal", "levels": {"sample": 0.25, "observation": 0.25}},
    },
    "batch": {"patients": 4, "records": 2, "samples": 2},
    "optimiser": {"steps": 6, "learning_rate": 1e-3},
}


def small(steps: int = 6, objectives: dict[str, Any] | None = None, **changes: Any) -> Recipe:
    """A recipe of a few steps; `changes` are merged into it, and `objectives` take the place of its own."""
    content = SMALL if objectives is None else {**SMALL, "objectives": objectives}
    return read(merge(merge(content, {"optimiser": {"steps": steps}}), changes))


def level(word: str, **more: Any) -> dict[str, Any]:
    """An objective of one level."""
    return {"of": "signal", "positives": word, "head": {"hidden": 16, "dim": 8}, **more}


def within(**levels: float) -> dict[str, Any]:
    """Sample and observation."""
    return {"kind": "hierarchical", "of": "signal", "levels": levels}
