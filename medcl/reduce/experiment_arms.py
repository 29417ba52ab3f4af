"""Folds of the patients and arms of units: what the experiment of a reduction pretrains on and tests."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.archive.schema import KEPT
from medcl.errors import UsageError
from medcl.files import safe_name
from medcl.reduce.config import ReduceConfig
from medcl.reduce.units import WHOLE, Units

Bools = NDArray[np.bool_]
_HELD_OUT = 0.25
"""Share of the patients who are not tested by whom the probe's penalty is chosen."""


@dataclass(frozen=True)
class Fold:
    """One division of the patients.

    Args:
        number: from 0.
        manifest: of all readable records; the split `train` is pretrained on and reduced, `test` is tested.
        fit: (records,) those on which a probe is fitted.
        validation: (records,) those by which its penalty is chosen.
        test: (records,) those on which it is tested.
    """

    number: int
    manifest: Manifest
    fit: Bools
    validation: Bools
    test: Bools


def folds_of(manifest: Manifest, count: int) -> list[Fold]:
    """Divide the patients.

    Args:
        manifest: of readable records.
        count: of folds, each of which is tested once by encoders that have seen the others; 1 takes the splits of the
            manifest: pretraining and probe on `train`, the penalty by `val`, the test on `test`.

    Returns:
        The folds; the same for every call.

    Raises:
        UsageError: too few patients, or splits that are not there.
    """
    if count < 1:
        raise UsageError(f"--folds {count}: at least 1, which takes the splits of the manifest")
    if count == 1:
        return [_own(manifest)]
    code = manifest.column("patient")
    # A record without a patient is one of its own.
    patients, number = np.unique(np.where(code >= 0, code, -1 - np.arange(len(code))), return_inverse=True)
    if len(patients) < max(count, 3):
        raise UsageError(
            f"--folds {count}: the manifest has {len(patients)} patients; there must be as many as folds, and 3 at "
            "least: one to fit a probe, one to choose its penalty, one to test it"
        )
    order = np.random.default_rng(0).permutation(len(patients))
    folds = []
    for fold, tested in enumerate(np.array_split(order, count)):
        others = np.setdiff1d(order, tested)
        others = np.random.default_rng([1, fold]).permutation(others)
        held = others[: max(1, round(_HELD_OUT * len(others)))]
        test, validation = np.isin(number, tested), np.isin(number, held)
        split = np.where(test, "test", "train")
        folds.append(Fold(fold, manifest.with_column("split", pa.array(split)), ~test & ~validation, validation, test))
    return folds


def _own(manifest: Manifest) -> Fold:
    split = manifest.column("split") if manifest.has("split") else np.full(len(manifest), None, dtype=object)
    parts = [np.asarray(split == name, dtype=bool) for name in ("train", "val", "test")]
    missing = [name for name, part in zip(("train", "val", "test"), parts, strict=True) if not part.any()]
    if missing:
        raise UsageError(
            f"--folds 1: no readable record in the split {', '.join(missing)} of the manifest: `medcl split` makes "
            "splits, --folds 3 needs none"
        )
    return Fold(0, manifest, *parts)


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

    def recipe(self, recipe: Any, seed: int) -> Any:
        """The recipe with this seed, and the steps that this arm takes."""
        share = self.units / self.of if self.budget == "epochs" else 1.0

        def fewer(steps: int) -> int:
            return max(1, round(share * steps))

        changed: dict[str, Any] = {
            "seed": seed,
            "splits": ("train",),
            "optimiser": replace(recipe.optimiser, steps=fewer(recipe.optimiser.steps)),
        }
        stages = tuple(replace(one, steps=fewer(one.steps)) if one.steps else one for one in recipe.stages)
        return replace(recipe, stages=stages, **changed)


def arms_of(fold: Fold, configs: Sequence[ReduceConfig], store: Path, jobs: int, cluster: str | None) -> list[Arm]:
    """The arms of a fold, whose split `train` is reduced; of everything first.

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
