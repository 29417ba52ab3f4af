"""Continue a finished run on patients who came later: which of them, from which weights, and who counts as seen."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor, nn

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.errors import UsageError
from medcl.pretrain.checkpoint import weights_of
from medcl.pretrain.inputs import in_splits, side_in
from medcl.pretrain.passes import Seen
from medcl.pretrain.recipe import Recipe
from medcl.seen import SeenPatients

SEEN = "seen"
"""The split of patients of the earlier run who are not trained on again."""


class Teacher:
    """An encoder as the earlier run left it, not trained, and no part of checkpoints: that run has it.

    Args:
        network: the encoder.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network.requires_grad_(False).eval()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Teacher":
        """Itself: an averaged copy of a model has the same."""
        return self

    def of(self, seen: Seen) -> Tensor:
        """(2n, dim) of the two views of samples."""
        return seen.by(self.network.to(seen.x.device), 2).float()


def begun(recipe: Recipe) -> Recipe:
    """The recipe, whose inputs begin with the encoders of the run that it continues, if it continues one."""
    if not recipe.earlier.run:
        return recipe
    return replace(recipe, inputs={name: replace(one, init=recipe.earlier.run) for name, one in recipe.inputs.items()})


def later(recipe: Recipe, manifest: Manifest) -> Manifest:
    """The manifest of a recipe, in whose splits only those patients are whom it trains on.

    Of the patients whom the earlier run has seen, so large a share is replayed; all others are new.

    Raises:
        UsageError: the manifest was coded with another salt, so that nobody can be recognised, or nobody is new.
    """
    earlier = recipe.earlier
    if not earlier.run:
        return manifest
    known = _seen(recipe)
    if known.coded_with != str(manifest.metadata["salt"]):
        raise UsageError(
            f"earlier.run: {earlier.run} was trained on patients whose codes have another salt than those of this "
            "manifest: scan both with the same MEDCL_SALT, or begin with its weights by inputs.NAME.init"
        )
    codes = in_splits(manifest, recipe.splits).column("patient")
    old = np.unique(codes[known.among(codes)])
    if len(old) == len(np.unique(codes)):
        raise UsageError(
            f"earlier.run: {earlier.run} has seen all {len(old)} patients of the splits {', '.join(recipe.splits)}: "
            "there is nobody new to train on"
        )
    count = round(earlier.replay * len(old))
    out = np.random.default_rng([recipe.seed, 11]).permutation(old)[count:]
    split = manifest.column("split")
    split[np.isin(manifest.column("patient"), out) & np.isin(split, recipe.splits)] = SEEN
    return manifest.with_column("split", pa.array(split.tolist(), pa.string()))


def seen(recipe: Recipe, patients: Collection[int], salt: str) -> SeenPatients:
    """Whom a run has seen when it ends: its patients, and those of the run that it continues.

    Raises:
        UsageError: their codes have another salt.
    """
    if not recipe.earlier.run:
        return SeenPatients.of(patients, salt)
    known = _seen(recipe)
    if known.coded_with != salt:
        raise UsageError(f"earlier.run: the patients of {recipe.earlier.run} were coded with another salt")
    return known.joined(patients)


def take_up(recipe: Recipe, objectives: Mapping[str, nn.Module] | nn.ModuleDict) -> None:
    """Load into objectives what the earlier run's objectives of the same names and shapes have learned."""
    for name, objective in objectives.items():
        state, own = state_of(recipe, name), objective.state_dict()
        fits = {key: one for key, one in state.items() if key in own and one.shape == own[key].shape}
        if fits and fits.keys() == own.keys():
            objective.load_state_dict(fits)


def state_of(recipe: Recipe, objective: str) -> dict[str, Tensor]:
    """What the earlier run's objective of a name has learned; nothing where its last.ckpt is not there any more."""
    path = Path(recipe.earlier.run) / runs.CHECKPOINT
    if not recipe.earlier.run or not path.is_file():
        return {}
    start = f"objectives.{objective}."
    return {name.removeprefix(start): one for name, one in weights_of(path).items() if name.startswith(start)}


def teacher(recipe: Recipe, name: str) -> Teacher:
    """The encoder of an input as the earlier run left it.

    Raises:
        MedclError: the folder is no finished run.
        UsageError: it has no encoder of this modality.
    """
    run = runs.load(Path(recipe.earlier.run))
    encoder = run.encoder
    if hasattr(encoder, "side"):
        encoder = encoder.side(side_in(run, recipe.inputs[name].modality, name))
    return Teacher(encoder)


def _seen(recipe: Recipe) -> SeenPatients:
    found: SeenPatients = runs.load(Path(recipe.earlier.run)).patients
    return found
