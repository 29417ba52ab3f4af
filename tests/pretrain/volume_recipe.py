"""The smallest recipes on volumes that still train every part."""

from typing import Any

from medcl.documents import merge
from medcl.pretrain.reading import read
from medcl.pretrain.recipe import Recipe

CROPS = {"crop_side": [0.6, 0.9], "crop_depth": [0.8, 1.0], "contrast": [0.7, 1.3], "brightness": 0.3}
HEAD = {"hidden": 8, "dim": 8}
GLOBAL = {"of": "volume", "head": {**HEAD, "map": True}}
OWN = {"settings": {"denominator": "own"}, "original": True, "parts": 2}
G_D = {**GLOBAL, **OWN, "positives": "partition", "copies": 1}
LOCAL = {"kind": "regions", "of": "volume", "views": "local", "blocks": 1, "projection": 8, "parts": 2}
FROZEN = {"name": "local", "objectives": ["local"], "steps": 3, "freeze": ["volume.network.encoder"]}
BASE: dict[str, Any] = {
    "inputs": {
        "volume": {
            "data": {"size": [16, 1, 16]},
            "views": CROPS,
            "more_views": {"local": {"contrast": [0.7, 1.3], "brightness": 0.3, "clip": [0.0, 1.5]}},
            "encoder": {"widths": [2, 4, 4], "dim": 4},
        }
    },
    "batch": {"patients": 3, "records": 1, "samples": 2},
    "optimiser": {"steps": 3, "learning_rate": 1e-3},
    "hardware": {"accelerator": "cpu"},
}
STAGED = {
    "objectives": {"global": G_D, "local": LOCAL},
    "stages": [{"name": "global", "objectives": ["global"]}, FROZEN],
}


def of(objectives: dict[str, Any], **changes: Any) -> Recipe:
    """A recipe of these objectives; `changes` are merged into it."""
    return read(merge({**BASE, "objectives": objectives}, changes))


def staged(**changes: Any) -> Recipe:
    """The global, then the local stage; `changes` are merged into it."""
    return read(merge({**BASE, **STAGED}, changes))


def network(**encoder: Any) -> dict[str, Any]:
    """The change to another network."""
    return {"volume": {"encoder": encoder}}


CUBES = {"volume": {"data": {"size": [16, 16, 8]}, "encoder": {"dims": 3}}}
"""The change to crops of volumes."""
