"""The pretrainings of a reduction's experiment: on all units, on those that are kept and on as many at random."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from medcl import files
from medcl.archive.folds import fold_of, held_out
from medcl.archive.manifest import Manifest
from medcl.archive.stratify import Bools
from medcl.documents import read_json, sealed
from medcl.engine.progress import progress
from medcl.errors import UsageError
from medcl.reduce.config import ReduceConfig
from medcl.reduce.run import kept_by, reduce_manifest

DONE, OLD = "pretraining.json", "evaluated.json"
"""In a run folder: what was pretrained, in how many steps and seconds; and that file of version 0.1."""
LEFT_OUT = "left out"
"""The split of records that a reduction drops: they stay in the store that all pretrainings read."""
Budget: TypeAlias = Literal["steps", "epochs"]
Pretrain: TypeAlias = Callable[[Any, Manifest, Path, Path], tuple[int, float]]
"""(recipe, manifest, store, run folder) -> steps taken and seconds of them all; resumes a run that was interrupted."""


@dataclass(frozen=True)
class Division:
    """One division of the patients.

    Args:
        number: of the fold.
        manifest: of all readable records; the split `train` is pretrained on and reduced, `test` is tested.
        train: (records,) those on which a probe is fitted.
        validation: (records,) those by which its penalty is chosen.
        test: (records,) those on which it is tested.
    """

    number: int
    manifest: Manifest
    train: Bools
    validation: Bools
    test: Bools


def divisions(manifest: Manifest, count: int) -> list[Division]:
    """Divide the patients into folds.

    Args:
        manifest: of readable records.
        count: of folds, each of which is tested once by encoders that have seen the others; 1 takes the splits of the
            manifest: pretraining and probe on `train`, the penalty by `val`, the test on `test`.

    Raises:
        UsageError: too few patients, or splits that are not there.
    """
    if count < 1:
        raise UsageError(f"--folds {count}: at least 1, which takes the splits of the manifest")
    if count == 1:
        split = manifest.column("split") if manifest.has("split") else np.full(len(manifest), None, dtype=object)
        parts = {name: np.asarray(split == name, dtype=bool) for name in ("train", "val", "test")}
        missing = [name for name, part in parts.items() if not part.any()]
        if missing:
            raise UsageError(
                f"--folds 1: no readable record in the split {', '.join(missing)} of the manifest: `medcl split` makes "
                "splits, --folds 3 needs none"
            )
        return [Division(0, manifest, *parts.values())]
    code = manifest.column("patient")
    # A record without a patient is one of its own.
    patients = np.where(code >= 0, code, -1 - np.arange(len(code)))
    n_patients = len(np.unique(patients))
    if n_patients < max(count, 3):
        raise UsageError(
            f"--folds {count}: the manifest has {n_patients} patients; there must be as many as folds, and 3 at least: "
            "one to fit a probe, one to choose its penalty, one to test it"
        )
    fold, found = fold_of(patients, count), []
    for number in range(count):
        test, validation = fold == number, np.zeros(len(manifest), dtype=bool)
        validation[~test] = held_out(patients[~test], number)
        divided = manifest.with_column("split", pa.array(np.where(test, "test", "train")))
        found.append(Division(number, divided, ~test & ~validation, validation, test))
    return found


@dataclass(frozen=True)
class Subset:
    """What is pretrained on in one fold, for every seed.

    Args:
        by: the reduction, in words; empty for all units.
        chance: whether the units are as many as the reduction keeps, at random.
        budget: the recipe's number of `steps`, or as many steps as are the same number of `epochs`.
        units: number of them.
        of: number of all units.
        manifest: in whose split `train` they are.
    """

    by: str
    chance: bool
    budget: Budget
    units: int
    of: int
    manifest: Manifest

    @property
    def name(self) -> str:
        """In words, the same in all folds."""
        own = f"as many at random as {self.by}" if self.chance else self.by
        return f"{own} (same {self.budget})" if self.by else "all"

    def recipe(self, recipe: Any, seed: int) -> Any:
        """The recipe with this seed, and the steps that these units get."""
        share = self.units / self.of if self.budget == "epochs" else 1.0
        return replace(recipe.shortened(share), seed=seed, splits=("train",))


def subsets_of(
    fold: Division, configs: Sequence[ReduceConfig], store: Path, jobs: int = -1, cluster: str | None = None
) -> list[Subset]:
    """What is pretrained on in a fold, whose split `train` is reduced; everything first.

    Every manifest has a row for each record, unlike the one that `medcl reduce` writes, so that all share one store.

    Raises:
        UsageError: as `reduce_manifest`.
    """
    found: list[Subset] = []
    for number, config in enumerate(configs):
        # The test patients never count, whatever --split says.
        reduced = reduce_manifest(fold.manifest, replace(config, split="train"), store, jobs=jobs, cluster=cluster)
        units, kept = [one.units for one in reduced.selections], [one.keep for one in reduced.selections]
        rng = np.random.default_rng([2, fold.number, number])
        by_chance = [np.isin(np.arange(len(one)), rng.permutation(len(one))[: one.sum()]) for one in kept]
        count, total = sum(int(one.sum()) for one in kept), sum(map(len, kept))
        if not found:
            found.append(Subset("", False, "steps", total, total, fold.manifest))
        for chance, chosen in ((False, kept), (True, by_chance)):
            manifest, stays = kept_by(fold.manifest, list(zip(units, chosen, strict=True)), config.axis)
            split = np.where(stays, manifest.column("split"), LEFT_OUT)
            manifest = manifest.with_column("split", pa.array(split.tolist(), pa.string()))
            budgets: tuple[Budget, ...] = ("steps", "epochs")
            found += [Subset(str(config), chance, budget, count, total, manifest) for budget in budgets]
    return found


@dataclass(frozen=True)
class Pretrained:
    """The pretrainings on one subset in one fold.

    Args:
        subset: of units.
        folders: one a seed.
        steps: that each took.
        seconds: of each; of one that was interrupted, as its last part was fast.
    """

    subset: Subset
    folders: tuple[Path, ...]
    steps: float
    seconds: float


def pretrain_all(
    folds: Sequence[Sequence[Subset]], recipe: Any, store: Path, folder: Path, pretrain: Pretrain, seeds: int
) -> list[list[Pretrained]]:
    """Pretrain on every subset of every fold with every seed; what is finished stays in the folder and is found.

    Args:
        folds: their subsets.
        recipe: of a pretraining.
        store: folder of prepared records.
        folder: of the run folders.
        pretrain: trains a recipe.
        seeds: number of them.

    Raises:
        UsageError: the folder holds another experiment.
        MedclError: a pretraining failed.
    """
    found = []
    with progress("experiment", seeds * sum(map(len, folds)), "run") as bar:
        for number, subsets in enumerate(folds):
            runs: list[list[tuple[Path, int, float]]] = [[] for _ in subsets]
            for seed in range(seeds):
                for subset, done in zip(subsets, runs, strict=True):
                    name = "-".join(re.findall(r"[\w.%]+", subset.name))
                    where = folder / f"fold-{number}" / f"seed-{seed}" / files.safe_name(name)
                    done.append((where, *_trained(subset, recipe, seed, store, where, pretrain)))
                    bar.update()
            found.append(
                [
                    Pretrained(
                        subset, tuple(where for where, _, _ in done), *np.mean([own[1:] for own in done], axis=0)
                    )
                    for subset, done in zip(subsets, runs, strict=True)
                ]
            )
    return found


def _trained(
    subset: Subset, recipe: Any, seed: int, store: Path, folder: Path, pretrain: Pretrain
) -> tuple[int, float]:
    """Pretrain, or find it done: steps and seconds."""
    own = subset.recipe(recipe, seed)
    plan = _plan(own, subset.manifest)
    try:
        known = read_json(folder / DONE, "remove its folder, and the same command makes it again")
    except FileNotFoundError:
        known = {"plan": ""} if (folder / OLD).exists() else {}
    if known and known["plan"] != plan:
        raise UsageError(
            f"{folder}: holds a pretraining by another recipe, another reduction, on other patients or by an older "
            "version: choose another folder"
        )
    if not known:
        steps, seconds = pretrain(own, subset.manifest, store, folder)
        known = {"plan": plan, "steps": steps, "seconds": seconds}
        files.write(folder / DONE, json.dumps(sealed(known)) + "\n")
    return known["steps"], known["seconds"]


def _plan(recipe: Any, manifest: Manifest) -> str:
    """What decides a pretraining: the recipe and the units; not where it runs."""
    kept = [None if one is None else one.tolist() for one in manifest.kept]
    about = [manifest.column("record_id").tolist(), manifest.column("split").tolist(), kept]
    stated = asdict(replace(recipe, hardware=type(recipe.hardware)()))
    return hashlib.blake2b(json.dumps([stated, about], sort_keys=True).encode(), digest_size=16).hexdigest()
