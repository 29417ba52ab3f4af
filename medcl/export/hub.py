"""Folders as model hubs keep them, written from a run or a model.

A hub folder is a run folder or a model folder: whatever takes one of these takes it. It has `config.json` beside, and
the weights of a run are in `model.safetensors`. Patients stay at home: their hashes are not in it.
"""

import json
from importlib.metadata import version
from pathlib import Path

from medcl import files, runs, weights
from medcl.evaluate import models
from medcl.export.programs import Runs
from medcl.export.taken import Taken, take
from medcl.modality.spec import to_json
from medcl.seen import SeenPatients

CONFIG = "config.json"
_KEPT_HERE = ("manifest", "output", "store")
"""Fields of a recipe that name places on the machine that trained."""
_UNKNOWN = SeenPatients("00", "not told", frozenset())
"""In the place of those that were seen: a leak cannot be looked for, and every evaluation says so."""


def write_hub(folder: Path, taken: Taken, side: str = "") -> Runs:
    """Write a hub folder, and open it by `take`.

    Raises:
        MedclError: it cannot be written.
    """
    if (taken.source / models.MODEL).is_file():
        model = models.load(taken.source)
        models.write(folder, model.info, model.tensors, [_UNKNOWN], "")
    else:
        run = runs.load(taken.source)
        recipe = {name: value for name, value in run.config.items() if name not in _KEPT_HERE}
        runs.start(folder, recipe, _UNKNOWN)
        weights.write(folder / runs.HUB_WEIGHTS, weights.of(run.encoder), to_json(run.card))
    config = {"library_name": "medcl", "medcl_version": version("medcl"), **taken.about}
    files.write(folder / CONFIG, json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    return take(folder, side).original
