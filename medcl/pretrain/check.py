"""Recipes that are invalid, refused before anything is read."""

from typing import Any

from medcl.errors import UsageError
from medcl.modality import wing
from medcl.pretrain.common_space import spaces
from medcl.pretrain.model import adapted
from medcl.pretrain.objectives import build
from medcl.pretrain.recipe import Recipe, StageConfig


def check(recipe: Recipe) -> None:
    """Refuse an invalid recipe.

    Raises:
        UsageError: with the field and its value, or the two parts that do not fit together.
    """
    batch = recipe.batch
    if min(batch.patients, batch.records, batch.samples, batch.pool) < 1:
        raise UsageError(
            f"batch: patients, records, samples and pool must be at least 1, not {batch.patients}, {batch.records}, "
            f"{batch.samples}, {batch.pool}"
        )
    if batch.pool > 1 and len(recipe.inputs) > 1:
        raise UsageError("batch.pool: chooses patients by two views of one input; leave it out of recipes of several")
    if batch.repeat and "=" not in batch.repeat:
        raise UsageError(f"batch.repeat: {batch.repeat!r} is not COLUMN=VALUE, such as origin=real")
    if batch.times < 1 or (batch.repeat and batch.reuse > 1):
        raise UsageError(f"batch.times: {batch.times} is not at least 1, or batch.repeat is set with batch.reuse")
    if recipe.hardware.chunk < 0:
        raise UsageError(
            f"hardware.chunk: {recipe.hardware.chunk} is invalid; it is the number of views at a time, 0 for all"
        )
    for name, config in recipe.inputs.items():
        own = wing(config.modality)
        if config.locked and not config.init and not own.has_weights(config.encoder):
            raise UsageError(
                f"inputs.{name}.locked: an encoder with random weights would never learn; set inputs.{name}.init"
            )
        try:
            own.check(config.data, config.encoder)
        except UsageError as error:
            where = f"inputs.{name}." if str(error).startswith(("encoder.", "data.")) else ""
            raise UsageError(f"{where}{error}") from error
    for name, objective in recipe.objectives.items():
        objective.check(f"objectives.{name}", recipe)
    if len(recipe.inputs) > 1 and not spaces(recipe)[0]:
        apart = ", ".join(recipe.inputs)
        if not any(config.like for config in recipe.inputs.values()):
            raise UsageError(f"objectives: none is between the inputs {apart}: pretrain them in a run each")
    for stage in recipe.trained:
        if stage.steps < 1:
            raise UsageError(f"stages: {stage.name or 'the only one'} has {stage.steps} steps; it takes at least one")
        parts = [(recipe.objectives[one].begin, recipe.objectives[one].end) for one in stage.objectives]
        for done in sorted({0.0, *sum(parts, ())}):
            if done < 1 and not any(begin <= done < end for begin, end in parts):
                raise UsageError(f"objectives: none is trained at {done:.0%} of the steps: see begin and end")
        _build(recipe, stage)


def _build(recipe: Recipe, stage: StageConfig) -> None:
    """Build what does not depend on the archive: an archive is not decoded for what cannot be built."""
    sketches: dict[str, Any] = {}
    for name, config in recipe.inputs.items():
        found = wing(config.modality).sketch(config.data, adapted(recipe, stage, name))
        if found is None:
            return
        sketches[name] = found
    encoders, sizes = ({one: found[part] for one, found in sketches.items()} for part in (0, 1))
    build(recipe, stage, encoders, sizes, 1, ("patient", "item"))
