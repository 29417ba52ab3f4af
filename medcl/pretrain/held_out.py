"""The records that the monitor looks at: those of a split of which no patient is trained on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from medcl.archive.manifest import Manifest
from medcl.data.pairs import Linkable
from medcl.errors import MedclError, UsageError
from medcl.modality import wing
from medcl.modality.rows import Ints
from medcl.pretrain.batches import Source, source
from medcl.pretrain.inputs import Made, rows_of
from medcl.pretrain.lookups import Lookups
from medcl.pretrain.objectives.positives import LABEL
from medcl.pretrain.recipe import Recipe

_NEVER = "monitor.every 0 looks at nothing"


@dataclass(frozen=True)
class HeldOut:
    """What is looked at.

    Args:
        source: of batches of records that are not trained on.
        lookups: what objectives look up of these, and the target.
        trained: the same of the records that are trained on, among which neighbours are found.
    """

    source: Source
    lookups: Lookups
    trained: Lookups


def held_out(recipe: Recipe, made: Mapping[str, Made], manifest: Manifest, patients: Ints) -> HeldOut | None:
    """Find what the monitor of a recipe looks at.

    Returns:
        None where nothing is to be looked at.

    Raises:
        UsageError: the split is trained on, or there is no such target.
        MedclError: no records are left, or none belong together.
    """
    monitor = recipe.monitor
    if not monitor.every:
        return None
    if monitor.split in recipe.splits:
        trained_on = ", ".join(recipe.splits)
        raise UsageError(
            f"monitor.split: {monitor.split} is trained on (splits: {trained_on}); name another, or {_NEVER}"
        )
    rows = manifest.split_rows(monitor.split)
    rows = np.sort(rows[~np.isin(manifest.column("patient")[rows], patients)])
    if not len(rows):
        raise MedclError(f"monitor.split: no readable record of other patients in {monitor.split!r}; {_NEVER}")
    chosen = manifest.select(rows)
    drawn = {name: _drawn(name, one, chosen) for name, one in made.items()}
    try:
        # Nobody is chosen of those who are looked at, and nobody comes several times.
        found = source(replace(recipe, batch=replace(recipe.batch, pool=1, repeat="")), drawn, chosen)
    except MedclError as error:
        raise MedclError(f"monitor.split: {monitor.split}: {error}") from error
    # Classes have the same codes in both; all labels of those that are looked at are known.
    everyone = np.concatenate([rows, np.sort(np.concatenate([manifest.split_rows(name) for name in recipe.splits]))])
    objectives = {
        name: replace(one, labels=1.0) if hasattr(one, "labels") else one  # type: ignore[call-arg]
        for name, one in recipe.objectives.items()
    }
    more = {f"{LABEL}{monitor.target}": "monitor.target"} if monitor.target else {}
    every = Lookups(replace(recipe, objectives=objectives), manifest.select(everyone), found.id_names, more)
    return HeldOut(found, every.part(0, len(rows)), every.part(len(rows), len(everyone)))


def _drawn(name: str, one: Made, chosen: Manifest) -> Made:
    """An input whose samples are drawn from other records."""
    own, where = wing(one.config.modality), rows_of(one.config, chosen)
    if not len(where):
        raise MedclError(f"monitor.split: inputs.{name}: there are no {own.plural} in it; {_NEVER}")
    draws = own.draws(one.store, chosen.select(where), one.data)
    return replace(one, draws=Linkable(draws, where), missing=len(where) - len(draws.rows))
