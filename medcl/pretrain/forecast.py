"""What a recipe will meet in an archive, from its manifest alone: nothing is decoded."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medcl.archive.links import links
from medcl.archive.manifest import Manifest
from medcl.data.pairs import linked
from medcl.data.sampler import Sampler
from medcl.errors import MedclError, UsageError
from medcl.modality import WINGS, wing
from medcl.modality.base import Training
from medcl.pretrain.batches import repeated
from medcl.pretrain.check import check
from medcl.pretrain.inputs import in_splits, rows_of
from medcl.pretrain.lookups import Lookups
from medcl.pretrain.model import adapted
from medcl.pretrain.objectives.positives import IN_BATCH, SOFT, SURVIVAL
from medcl.pretrain.recipe import Recipe

_BATCHES = 50
_LEVELS = ("patient", "session", "study", "series", "trial")
_FLOAT = 4  # bytes
_COPIES = 5
"""Of each weight: itself, its gradient, two moments of AdamW, and the averaged copy."""


@dataclass(frozen=True)
class Forecast:
    """What was found.

    Args:
        inputs: {input: lines about its records}.
        objectives: {objective: lines about its positives}.
        memory: lines about a step.
        problems: what training would refuse.
    """

    inputs: dict[str, list[str]] = field(default_factory=dict)
    objectives: dict[str, list[str]] = field(default_factory=dict)
    memory: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines: list[str] = []
        for title, groups in (("input", self.inputs), ("objective", self.objectives)):
            for name, told in groups.items():
                lines += [f"{title} {name}: {told[0]}", *(f"  {one}" for one in told[1:])]
        lines += self.memory
        return "\n".join([*lines, *(f"problem: {one}" for one in self.problems)] or ["nothing to say"])


def forecast(recipe: Recipe, manifest: Manifest) -> Forecast:
    """Hold a recipe against a manifest.

    Raises:
        UsageError: the recipe is invalid whatever the archive.
    """
    check(recipe)
    found = Forecast()
    try:
        chosen = in_splits(manifest.ok(), recipe.splits)
    except MedclError as error:
        found.problems.append(str(error))
        return found
    rows = {name: rows_of(config, chosen) for name, config in recipe.inputs.items()}
    data: dict[str, Any] = {}
    for name in recipe.inputs:
        data[name] = _completed(recipe, name, manifest.ok(), chosen, found)
        found.inputs[name] = _records(recipe, name, chosen.select(rows[name]), chosen, data[name], found)
    anchors = _anchors(recipe, chosen, rows, found)
    if len(anchors):
        _positives(recipe, chosen, anchors, found)
    found.memory.extend(_memory(recipe, data))
    return found


def _records(recipe: Recipe, name: str, own: Manifest, chosen: Manifest, data: Any, found: Forecast) -> list[str]:
    plural = wing(recipe.inputs[name].modality).plural
    if not len(own):
        there = ", ".join(f"{count} {wing(kind).plural}" for kind, count in Counter(chosen.kinds.tolist()).items())
        found.problems.append(f"inputs.{name}: no {plural} in the splits {', '.join(recipe.splits)} ({there})")
        return [f"no {plural}"]
    codes = {level: own.column(level) for level in _LEVELS if own.has(level)}
    levels = {level: len(np.unique(one[one >= 0])) for level, one in codes.items()}
    counts = ", ".join(f"{count} x {level}" for level, count in levels.items() if count)
    lines = [f"{len(own)} {plural}", f"levels: {counts}"]
    if channels := getattr(data, "channels", None):
        lines.append(f"{len(channels)} channels at {data.sampling_rate:g} Hz: {', '.join(channels)}")
    return lines


def _completed(recipe: Recipe, name: str, manifest: Manifest, chosen: Manifest, found: Forecast) -> Any:
    """The sample configuration as the archive completes it, of wings whose manifest tells enough."""
    config = recipe.inputs[name]
    own = wing(config.modality)
    every, trained = (one.select(one.kinds == config.modality) for one in (manifest, chosen))
    if not len(trained) or not own.reads_files or not hasattr(config.data, "channels"):
        return config.data
    training = Training(config.encoder, trained, None, lambda: lambda _: False)
    try:
        return own.completed(config.data, every, training)
    except MedclError as error:
        found.problems.append(f"inputs.{name}: {error}")
        return config.data


def _anchors(recipe: Recipe, chosen: Manifest, rows: Mapping[str, np.ndarray], found: Forecast) -> np.ndarray:
    """Rows of the records that batches are made of."""
    real = [name for name in recipe.inputs if not recipe.inputs[name].like]
    if any(not len(rows[name]) for name in real):
        return np.zeros(0, dtype=np.int64)
    if len(real) == 1:
        return rows[real[0]]
    names = sorted(real, key=lambda name: recipe.inputs[name].modality == WINGS[-1])
    report = next((name for name in names if recipe.inputs[name].modality == WINGS[-1]), "")
    items = linked(
        chosen, links(chosen), {name: rows[name] for name in names}, report=report, incomplete=recipe.batch.incomplete
    )
    for name in real:
        used = len(np.unique(items.partners[name][0]))
        found.inputs[name].append(f"{used} of {len(rows[name])} belong to a linked record")
    if not len(items.anchors):
        found.problems.append("no two records belong together: see that both were scanned with the same codes")
    return items.anchors


def _positives(recipe: Recipe, chosen: Manifest, anchors: np.ndarray, found: Forecast) -> None:
    """Positives of an anchor beside its own views, over batches that are drawn as training would."""
    patient = chosen.column("patient")[anchors]
    patient, batch = np.where(patient >= 0, patient, -2 - anchors), recipe.batch
    sizes: dict[str, Any] = {"patients": batch.patients, "records": batch.records, "samples": 1, "seed": recipe.seed}
    try:
        sampler = Sampler(patient, anchors, **sizes | repeated(batch, chosen, patient))
    except UsageError as error:
        found.problems.append(str(error))
        return
    drawn = [anchors[one] for one in sampler.batches(0, min(_BATCHES, 4 * len(sampler)))]
    samples = batch.samples if len(recipe.inputs) == 1 else 1
    for name, objective in recipe.objectives.items():
        words = list(getattr(objective, "words", {}))
        own = [one for one in words if one in IN_BATCH or one.startswith((SOFT, SURVIVAL))]
        lines = [f"{objective.kind}, {len(objective.losses)} loss{'es' if len(objective.losses) > 1 else ''}"]
        lines += [f"positives by {one}: those of the batch itself" for one in own]
        for word in words:
            if word in (*own, "sample", "slice", "volume"):
                continue
            try:
                table = Lookups.table(recipe, name, word, chosen)
            except UsageError as error:
                found.problems.append(str(error))
                continue
            if table.is_floating_point():
                known = int((~table[anchors].isnan()).sum())
                lines.append(f"positives by {word}: {known} of {len(anchors)} records have a value")
                continue
            # Of each sample the number of other samples with its code.
            more = [(codes[:, None] == codes).sum(dim=1) * samples - 1 for codes in (table[rows] for rows in drawn)]
            having = np.mean([float((one > 0).float().mean()) for one in more])
            lines.append(
                f"positives by {word}: {np.mean([float(one.float().mean()) for one in more]):.1f} other samples of a "
                f"batch of {np.mean([len(one) for one in drawn]) * samples:.0f}; {having:.0%} of anchors have one"
            )
            if not having:
                lines.append("  only the other views of a sample attract it: raise batch.records or batch.samples")
        found.objectives[name] = lines


def _memory(recipe: Recipe, data: Mapping[str, Any]) -> list[str]:
    """Bytes of a step, where the settings tell the shape of a sample."""
    batch, stage = recipe.batch, recipe.trained[0]
    count = batch.patients * batch.records * (batch.samples if len(recipe.inputs) == 1 else 1)
    weights = activations = 0
    unknown = []
    for name, config in recipe.inputs.items():
        made = wing(config.modality).sketch(data[name], adapted(recipe, stage, name))
        if made is None:
            unknown.append(name)
            continue
        encoder, size = made
        every: list[Any] = [recipe.objectives[one] for one in stage.objectives if name in recipe.objectives[one].inputs]
        within = [one for one in every if getattr(one, "of", "")]
        views = max((getattr(one, "copies", 2) + getattr(one, "original", False) for one in within), default=1)
        weights += sum(one.numel() for one in encoder.parameters()) * _FLOAT
        activations += _outputs(encoder, size) * _FLOAT * count * views
    if not weights:
        return []
    text = f"a step of {count} samples: about {_size(weights * _COPIES + activations)} in float32"
    rest = f" ({_size(activations)} of activations; hardware.chunk and bfloat16 take less)"
    return [text + rest + (f", without {', '.join(unknown)}" if unknown else "")]


@torch.no_grad()
def _outputs(encoder: nn.Module, size: tuple[int, ...]) -> int:
    """Numbers that the layers of an encoder give for one sample."""
    seen: list[int] = []

    def count(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and not list(module.children()):
            seen.append(output.numel())

    hooks = [one.register_forward_hook(count) for one in encoder.modules()]
    encoder.eval()(torch.zeros(1, *size))
    for hook in hooks:
        hook.remove()
    return sum(seen)


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"
