"""`medcl reduce --evaluate`: pretrain on all units, on the reduced ones and on as many by chance, and probe."""

import argparse
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcl import files
from medcl.checksums import read_json, sealed
from medcl.errors import UsageError

if TYPE_CHECKING:
    from medcl.archive.manifest import Manifest
    from medcl.commands.reduction_arms import Arm
    from medcl.commands.reduction_folds import Fold
    from medcl.commands.reduction_probe import Samples
    from medcl.commands.reduction_proof import Cell
    from medcl.pretrain.plan import Config
    from medcl.reduce.config import ReduceConfig

DONE = "evaluated.json"
"""In a run folder: what the run was, and what it was worth."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of the command that belong to --evaluate."""
    group = parser.add_argument_group("proof")
    group.add_argument(
        "--evaluate",
        type=Path,
        metavar="FOLDER",
        help="pretrain on all, on what is kept and on as much by chance, with the same number of steps and of epochs, "
        "and probe each; finished pretrainings stay in the folder, and the same command goes on",
    )
    group.add_argument("--config", type=Path, help="of --evaluate: the recipe (YAML) that is pretrained")
    group.add_argument("--target", help="of --evaluate: the column that is probed, of labels or of label maps")
    group.add_argument("--seeds", type=int, default=3, help="of --evaluate: pretrainings of each arm and fold")
    group.add_argument(
        "--folds", type=int, default=3, help="of --evaluate: by patient; 1 takes the splits of the manifest"
    )


def evaluate(given: argparse.Namespace, manifest: "Manifest", configs: "Sequence[ReduceConfig]", store: Path) -> None:
    """Run the experiment, print its table, write results.json and report.html.

    Args:
        given: the words of `add_arguments`, `jobs` and `cluster`.
        manifest: that `medcl scan` wrote.
        configs: the reductions.
        store: folder beside the manifest.

    Raises:
        UsageError: a word is missing, or the folder holds another experiment.
    """
    missing = [name for name in ("config", "target") if getattr(given, name) is None]
    if missing:
        raise UsageError(f"--evaluate needs --{' and --'.join(missing)}: what is pretrained, and what is probed")
    if given.seeds < 1:
        raise UsageError(f"--seeds {given.seeds}: at least 1")
    from medcl.commands.reduction_folds import folds_of
    from medcl.commands.reduction_probe import data_of, samples_of
    from medcl.commands.reduction_proof import Proof
    from medcl.commands.reduction_proof_page import write_page
    from medcl.commands.training import recipe

    manifest, config = manifest.ok(), recipe(given.config)
    data = data_of(config)
    folds = folds_of(manifest, given.folds)
    # Decoding comes before the clock starts.
    samples = samples_of(manifest, data, store, given.target, given.jobs)
    cells = tuple(_cells(given, config, folds, samples, configs, store))
    proof = Proof(given.target, samples.task.metric, samples.what, str(config.method), _patients(manifest), cells)
    proof.save(given.evaluate / "results.json")
    write_page(proof, given.evaluate / "report.html")
    print(proof)
    print(f"report: {given.evaluate / 'report.html'}")


def _cells(
    given: argparse.Namespace,
    config: "Config",
    folds: "Sequence[Fold]",
    samples: "Samples",
    configs: "Sequence[ReduceConfig]",
    store: Path,
) -> "Iterator[Cell]":
    from tqdm.auto import tqdm

    from medcl.commands.reduction_arms import arms_of

    # One after the other by fold and seed, so that an experiment that is cut off has whole comparisons.
    per_arm = 1 + 4 * len(configs) + 1
    with tqdm(total=len(folds) * given.seeds * per_arm, desc="evaluate", unit="arm", disable=None) as bar:
        for fold in folds:
            arms = arms_of(fold, configs, store, given.jobs, given.cluster)
            for seed in range(given.seeds):
                folder = given.evaluate / f"fold-{fold.number}" / f"seed-{seed}"
                for arm in arms:
                    yield _trained(arm, config, seed, fold, samples, store, folder / arm.name)
                    bar.update()
                yield _untrained(arms[0], seed, fold, samples, folder / arms[0].name)
                bar.update()


def _trained(
    arm: "Arm", config: "Config", seed: int, fold: "Fold", samples: "Samples", store: Path, folder: Path
) -> "Cell":
    """Pretrain and probe an arm, or find it done."""
    from medcl import runs
    from medcl.commands.reduction_proof import Cell
    from medcl.pretrain.checkpoint import step_of
    from medcl.pretrain.run import pretrain

    own = arm.recipe(config, seed)
    plan = _plan(arm, own, fold)
    known = _read(folder / DONE)
    if known and known["plan"] != plan:
        raise UsageError(
            f"{folder}: holds a pretraining by another recipe, another reduction or on other patients: choose another "
            "folder"
        )
    if not known:
        resume = (folder / runs.ENVIRONMENT).exists()
        taken = step_of(folder / runs.CHECKPOINT) if resume and (folder / runs.CHECKPOINT).exists() else 0
        begun = time.monotonic()
        done = pretrain(own, arm.manifest, store, folder, resume=resume)
        seconds = (time.monotonic() - begun) * done.steps / max(1, done.steps - taken)
        known = {"plan": plan, "seconds": seconds, "steps": done.steps, "scores": {}}
        _write(folder / DONE, known)
    if samples.task.target.name not in known["scores"]:
        run = runs.load(folder)
        runs.guard(run, fold.manifest, fold.test)
        known["scores"][samples.task.target.name] = samples.scores(_placed(run.encoder), fold)
        _write(folder / DONE, known)
    scores = known["scores"][samples.task.target.name]
    budget = "" if arm.how == "all" else arm.budget
    return Cell(arm.by, arm.how, budget, fold.number, seed, arm.units, arm.of, known["steps"], known["seconds"], scores)


def _untrained(arm: "Arm", seed: int, fold: "Fold", samples: "Samples", folder: Path) -> "Cell":
    """Probe the same network with random weights."""
    import torch

    from medcl import runs
    from medcl.commands.reduction_proof import UNTRAINED, Cell

    card = runs.load(folder).card
    torch.manual_seed(seed)
    scores = samples.scores(_placed(card.build()), fold)
    return Cell("", UNTRAINED, "", fold.number, seed, 0, arm.of, 0, 0.0, scores)


def _placed(encoder: Any) -> Any:
    from medcl.embed.sides import device

    return encoder.to(device()).eval()


def _plan(arm: "Arm", config: "Config", fold: "Fold") -> str:
    """What decides a pretraining and its test: the recipe, the units, and who is tested; not where it runs."""
    manifest = arm.manifest
    kept = [None if one is None else one.tolist() for one in manifest.kept]
    about = [manifest.column("record_id").tolist(), manifest.column("split").tolist(), kept]
    about += [one.tolist() for one in (fold.fit, fold.validation, fold.test)]
    recipe = asdict(replace(config, hardware=type(config.hardware)()))
    return hashlib.blake2b(json.dumps([recipe, about], sort_keys=True).encode(), digest_size=16).hexdigest()


def _patients(manifest: "Manifest") -> int:
    return len(set(manifest.column("patient").tolist()))


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path, "remove its folder, and the same command makes it again")
    except FileNotFoundError:
        return {}


def _write(path: Path, content: dict[str, Any]) -> None:
    files.write(path, json.dumps(sealed(content)) + "\n")
