"""The smallest recipes on several modalities that still train every part."""

from typing import Any

from medcl.documents import merge
from medcl.pretrain.reading import read
from medcl.pretrain.recipe import Recipe

IMAGE: dict[str, Any] = {
    "modality": "image",
    "data": {"size": [16, 16]},
    "encoder": {"name": "unet", "widths": [4, 8, 8], "dim": 8, "norm": "group"},
    "views": {"contrast": [0.8, 1.2], "brightness": 0.1, "crop_side": [0.8, 1.0]},
}
SIGNAL: dict[str, Any] = {
    "modality": "signal",
    "data": {"window": 2.0, "stride": 1.0},
    "encoder": {"name": "resnet", "dim": 16, "hidden": 8, "depth": 3, "stride": 8, "dropout": 0.0},
    "views": {"mask": "continuous", "jitter": 0.05},
}
REPORT: dict[str, Any] = {
    "modality": "report",
    "data": {"length": 24},
    "encoder": {"dim": 16, "hidden": 32, "depth": 1, "dropout": 0.0, "vocabulary": 400, "patients": 2},
}
PAIR: dict[str, Any] = {"between": ["image", "report"], "exclude": ["patient"], "head": {"hidden": 16, "dim": 8}}
WORDS: dict[str, Any] = {
    **PAIR,
    "dense": True,
    "similarity": "gloria",
    "similarity_settings": {"over": "mean"},
    "weight": 0.5,
    "head": {"hidden": 0, "dim": 8},
}
COPIES: dict[str, Any] = {
    **PAIR,
    "kind": "momentum-distillation",
    "distillation": 0.3,
    "learn_temperature": True,
    "negatives": {"queue": 12, "momentum": 0.9},
}


def mapping(
    objectives: dict[str, Any] | None = None, inputs: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """A recipe of a few steps on images with reports, as YAML holds it; `changes` are merged into it."""
    content: dict[str, Any] = {
        "inputs": inputs or {"image": IMAGE, "report": REPORT},
        "objectives": objectives or {"pair": PAIR},
        "batch": {"patients": 4, "records": 2},
        "optimiser": {"steps": 6, "learning_rate": 1e-3},
        "hardware": {"accelerator": "cpu"},
    }
    return merge(content, changes)


def small(
    steps: int = 6, objectives: dict[str, Any] | None = None, inputs: dict[str, Any] | None = None, **changes: Any
) -> Recipe:
    """The same, read."""
    return read(mapping(objectives, inputs, **merge({"optimiser": {"steps": steps}}, changes)))
