"""What `medcl reduce --evaluate` pretrains on: everything, what a reduction keeps, and as much taken by chance."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.archive.schema import KEPT
from medcl.commands.reduction_folds import Fold
from medcl.files import safe_name
from medcl.reduce.config import ReduceConfig
from medcl.reduce.units import WHOLE, Units

if TYPE_CHECKING:
    from medcl.pretrain.plan import Config

How = Literal["all", "reduced", "random"]
Budget = Literal["steps", "epochs"]
LEFT_OUT = "left out"
"""The split of records that a reduction drops: they stay in the store that all pretrainings read."""


@dataclass(frozen=True)
class Arm:
    """One pretraining of a fold, for every seed.

    Args:
        by: the reduction, in words; empty for all units.
        how: which units: `all`, the `reduced` ones, or as many at `random`.
        budget: the recipe's number of `steps`, or as many steps as are the same number of `epochs`.
        units: trained on.
        of: units that there are.
        manifest: in whose split `train` they are.
    """

    by: str
    how: How
    budget: Budget
    units: int
    of: int
    manifest: Manifest

    @property
    def name(self) -> str:
        """Of its folder."""
        plain = "".join(c if c.isalnum() or c in ".-" else "-" for c in self.by)
        return "all" if self.how == "all" else safe_name(f"{plain}_{self.how}_{self.budget}")

    def recipe(self, config: "Config", seed: int) -> "Config":
        """The recipe with this seed, and the steps that this arm takes."""
        share = self.units / self.of if self.budget == "epochs" else 1.0

        def fewer(steps: int) -> int:
            return max(1, round(share * steps))

        changed: dict[str, Any] = {
            "seed": seed,
            "splits": ("train",),
            "optimiser": replace(config.optimiser, steps=fewer(config.optimiser.steps)),
        }
        local = getattr(config, "local", None)
        if local is not None:
            changed["local"] = replace(local, steps=fewer(local.steps))
        return replace(config, **changed)


def arms_of(fold: Fold, configs: Sequence[ReduceConfig], store: Path, jobs: int, cluster: str | None) -> list[Arm]:
    """The arms of a fold; of everything first.

    Args:
        fold: whose split `train` is reduced.
        configs: the reductions.
        store: folder beside the manifest.
        jobs: processes.
        cluster: address of a Dask scheduler.

    Raises:
        UsageError: as `reduce_manifest`.
    """
    from medcl.reduce.run import reduce_manifest

    arms: list[Arm] = []
    for number, config in enumerate(configs):
        # The test patients never count, whatever --split says.
        found = reduce_manifest(fold.manifest, replace(config, split="train"), store, jobs=jobs, cluster=cluster)
        units = [one.units for one in found.selections]
        kept = [one.keep for one in found.selections]
        count, total = sum(int(one.sum()) for one in kept), sum(len(one) for one in kept)
        rng = np.random.default_rng([2, fold.number, number])
        chance = [_chance(len(one), int(one.sum()), rng) for one in kept]
        if not arms:
            arms.append(Arm("", "all", "steps", total, total, fold.manifest))
        for how, chosen in (("reduced", kept), ("random", chance)):
            manifest = trained_on(fold.manifest, units, chosen, config.axis)
            arms += [
                Arm(words(config), "reduced" if how == "reduced" else "random", budget, count, total, manifest)
                for budget in ("steps", "epochs")
            ]
    return arms


def words(config: ReduceConfig) -> str:
    """A reduction as it is called in tables: `hash`, `hash 8`, `embedding 20%`."""
    if config.keep is not None:
        return f"{config.by} {100 * config.keep:g}%"
    if config.threshold is None:
        return config.by
    return f"{config.by} {config.threshold if isinstance(config.threshold, str) else f'{config.threshold:g}'}"


def trained_on(manifest: Manifest, units: Sequence[Units], chosen: Sequence[NDArray[np.bool_]], axis: int) -> Manifest:
    """The manifest of which only some units are trained on.

    Unlike the one that `medcl reduce` writes it has a row for every record, so that all arms share one store.
    """
    kept: list[list[int] | None] = [None if one is None else one.tolist() for one in manifest.kept]
    split = manifest.column("split")
    sliced = manifest.has(KEPT)
    for family, keep in zip(units, chosen, strict=True):
        for row in np.unique(family.row).tolist():
            own = np.flatnonzero(family.row == row)
            if not keep[own].any():
                split[row] = LEFT_OUT
            elif family.piece[own[0]] != WHOLE and not keep[own].all():
                kept[row], sliced = family.piece[own][keep[own]].tolist(), True
    divided = manifest.with_column("split", pa.array(split.tolist(), pa.string()))
    return divided.with_kept(kept, axis) if sliced else divided


def _chance(count: int, size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    chosen = np.zeros(count, dtype=bool)
    chosen[rng.permutation(count)[:size]] = True
    return chosen
