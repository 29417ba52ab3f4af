"""The experiment of a reduction: pretrain on all units, on those that are kept and on as many at random; probe each."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from medcl import files, runs
from medcl.archive.manifest import Manifest, Target
from medcl.data.store import open_store
from medcl.documents import read_json, sealed
from medcl.embed.encoders import Embeds, device, embed_pieces, prepared, samples_in
from medcl.errors import UsageError
from medcl.modality import wing, wing_of
from medcl.modality.sampling import SampleSet
from medcl.modality.volume.samples import VolumePatches
from medcl.modality.volume.tiles import VolumeTiles
from medcl.reduce.config import ReduceConfig
from medcl.reduce.experiment_arms import Arm, Fold, arms_of, folds_of
from medcl.reduce.experiment_results import UNTRAINED, ArmResult, ExperimentResults, write_page
from medcl.reduce.units import labelled

DONE = "evaluated.json"
"""In a run folder: what was pretrained, for how long, and the scores of its encoder."""
Ints: TypeAlias = NDArray[np.int64]
Pretrain: TypeAlias = Callable[[Any, Manifest, Path, Path], tuple[int, float]]
"""(recipe, manifest, store, run folder) -> steps taken and seconds of them all; resumes a run that was interrupted."""
Probe: TypeAlias = Callable[[Target, NDArray[Any], NDArray[np.float64], Ints, Ints, Ints], dict[str, float]]
"""(target, (S,) labels, (S, dim) embeddings, rows to fit, to choose the penalty, to test) -> test metrics; first the
one by which arms are compared."""


def run_experiment(
    manifest: Manifest,
    configs: Sequence[ReduceConfig],
    store: Path,
    folder: Path,
    *,
    recipe: Any,
    target: str,
    pretrain: Pretrain,
    probe: Probe,
    seeds: int = 3,
    folds: int = 3,
    jobs: int = -1,
    cluster: str | None = None,
) -> ExperimentResults:
    """Compare pretraining on all units with pretraining on those that reductions keep, and on as many at random.

    Arms differ in the units; each has the recipe's number of steps, and each but the first once more with as many steps
    as are the same number of epochs. Finished pretrainings stay in the folder, and the same call goes on behind them.

    Args:
        manifest: that `medcl scan` wrote.
        configs: the reductions.
        store: folder next to the manifest.
        folder: of the experiment: run folders, `results.json` and `report.html`.
        recipe: of a pretraining, on one input.
        target: column that is probed, of labels or of label maps.
        pretrain: trains a recipe.
        probe: tests embeddings.
        seeds: pretrainings of each arm and fold.
        folds: of the patients; 1 takes the splits of the manifest.
        jobs: processes; -1 is one a core.
        cluster: address of a Dask scheduler.

    Raises:
        UsageError: no such target, too few patients, or the folder holds another experiment.
        MedclError: a metric is undefined on the test or the validation patients, or a pretraining failed.
    """
    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: at least 1")
    manifest = manifest.ok()
    data = _data_of(recipe)
    divided = folds_of(manifest, folds)
    # Decoding comes before the clock starts.
    samples = samples_of(manifest, data, store, target, jobs)
    cells: list[ArmResult] = []
    per_arm = 1 + 4 * len(configs) + 1
    # One after the other by fold and seed, so that an experiment that is cut off has whole comparisons.
    with tqdm(total=len(divided) * seeds * per_arm, desc="evaluate", unit="arm", disable=None) as bar:
        for fold in divided:
            arms = arms_of(fold, configs, store, jobs, cluster)
            for seed in range(seeds):
                for arm in arms:
                    where = folder / f"fold-{fold.number}" / f"seed-{seed}" / arm.name
                    cells.append(_trained(arm, recipe, seed, fold, samples, store, where, pretrain, probe))
                    bar.update()
                whole = folder / f"fold-{fold.number}" / f"seed-{seed}" / arms[0].name
                cells.append(_untrained(arms[0], seed, fold, samples, whole, probe))
                bar.update()
    patients = len(set(manifest.column("patient").tolist()))
    metric = next(iter(cells[0].scores))
    results = ExperimentResults(target, metric, samples.what, str(recipe.method), patients, tuple(cells))
    results.save(folder / "results.json")
    write_page(results, folder / "report.html")
    return results


@dataclass(frozen=True)
class Samples:
    """What is classified: the embedding of a sample is the mean of its pieces'.

    Args:
        target: name, kind and classes.
        labels: (S,) or, multilabel, (S, classes).
        row: (S,) row of the manifest of each.
        pieces: that the encoder takes.
        numbers: (P,) those that belong to a sample.
        sample: (P,) to which.
        what: they are, in words.
    """

    target: Target
    labels: NDArray[Any]
    row: Ints
    pieces: SampleSet
    numbers: Ints
    sample: Ints
    what: str

    def scores(self, encoder: Embeds, fold: Fold, probe: Probe) -> dict[str, float]:
        """The test metrics of a probe on the embeddings of an encoder."""
        z = np.zeros((len(self.row), encoder.config.dim))
        for part, some in embed_pieces(encoder, self.pieces, self.numbers, device()):
            np.add.at(z, self.sample[part], some.float().cpu().numpy())
        z /= np.bincount(self.sample, minlength=len(self.row))[:, None]
        fit, validation, test = (np.flatnonzero(one[self.row]) for one in (fold.fit, fold.validation, fold.test))
        return probe(self.target, self.labels, z, fit, validation, test)


def _data_of(recipe: Any) -> Any:
    inputs = list(recipe.inputs.values())
    if len(inputs) > 1 or not wing(inputs[0].modality).reads_files:
        raise UsageError(
            f"--config: the recipe trains on {', '.join(recipe.inputs)}; --evaluate takes recipes of one input, of "
            "volumes, recordings or images"
        )
    return inputs[0].data


def samples_of(manifest: Manifest, config: Any, store: Path, target: str, jobs: int) -> Samples:
    """The samples of a target, of readable records.

    Of a column of label maps, a sample is a slice that is not blank, and its label whether any voxel of it is labelled;
    of a column of labels, a sample is a record.

    Raises:
        UsageError: there is no such target, or it has no two classes.
    """
    folder = prepared(manifest, config, store, jobs)
    if target in manifest.masks:
        if wing_of(config).name != "volume":
            raise UsageError(f"--target {target}: label maps are of volumes, the recipe is not")
        return _slices(VolumePatches(open_store(folder, "volume"), manifest, config, mask=target), target)
    if target not in manifest.targets:
        known = ", ".join([*manifest.targets, *manifest.masks]) or "none"
        raise UsageError(f"--target {target}: the manifest has no such labels or label maps; it has {known}")
    labels = manifest.labels(target)
    parts = samples_in(folder, manifest, config)
    rows = np.intersect1d(parts.rows, np.flatnonzero(labelled(labels)))
    if not len(rows):
        raise UsageError(f"--target {target}: no record that the recipe takes has a label")
    numbers = np.flatnonzero(np.isin(parts.rows, rows))
    sample = np.searchsorted(rows, parts.rows[numbers])
    return Samples(manifest.targets[target], labels[rows], rows, parts, numbers, sample, "records")


@torch.inference_mode()
def _slices(patches: VolumePatches, target: str) -> Samples:
    across = patches.axis
    if across is None:
        raise UsageError(f"--target {target}: of label maps slices are tested; the recipe's data.size is of volumes")
    tiles = VolumeTiles(patches)
    flat = tuple(axis for axis in range(3) if axis != across)
    shown, labelled = [], []
    for volume in range(len(patches)):
        voxels, axes = patches.volume(volume), (0, *(axis + 1 for axis in flat))
        shown.append((voxels.amax(axes) > voxels.amin(axes)).numpy())
        labelled.append((patches.labels(volume) > 0).numpy().any(axis=flat))
    volume_of = np.searchsorted(patches.rows, tiles.rows)
    # In a volume that is thinner than a patch, a slice begins before the first one.
    place = np.clip(tiles.starts[:, across], 0, patches.shape[volume_of, across] - 1)
    seen = np.array([shown[volume][at] for volume, at in zip(volume_of, place, strict=True)], dtype=bool)
    numbers = np.flatnonzero(seen)
    pairs, sample = np.unique(np.stack([volume_of[numbers], place[numbers]]), axis=1, return_inverse=True)
    labels = np.array([labelled[volume][at] for volume, at in pairs.T], dtype=np.int64)
    if len(np.unique(labels)) < 2:
        raise UsageError(f"--target {target}: every slice that is not blank has the same label")
    binary = Target(target, "binary", ("absent", "present"))
    return Samples(binary, labels, patches.rows[pairs[0]], tiles, numbers, sample.reshape(-1), "slices")


def _trained(
    arm: Arm,
    recipe: Any,
    seed: int,
    fold: Fold,
    samples: Samples,
    store: Path,
    folder: Path,
    pretrain: Pretrain,
    probe: Probe,
) -> ArmResult:
    """Pretrain and probe an arm, or find it done."""
    own = arm.recipe(recipe, seed)
    plan = _plan(arm, own, fold)
    try:
        known = read_json(folder / DONE, "remove its folder, and the same command makes it again")
    except FileNotFoundError:
        known = {}
    if known and known["plan"] != plan:
        raise UsageError(
            f"{folder}: holds a pretraining by another recipe, another reduction or on other patients: choose another "
            "folder"
        )
    if not known:
        steps, seconds = pretrain(own, arm.manifest, store, folder)
        known = {"plan": plan, "seconds": seconds, "steps": steps, "scores": {}}
        _write(folder / DONE, known)
    if samples.target.name not in known["scores"]:
        run = runs.load(folder)
        runs.guard(run, fold.manifest, fold.test)
        known["scores"][samples.target.name] = samples.scores(run.encoder.to(device()).eval(), fold, probe)
        _write(folder / DONE, known)
    scores = known["scores"][samples.target.name]
    budget = "" if arm.how == "all" else arm.budget
    units = arm.units, arm.of
    return ArmResult(arm.by, arm.how, budget, fold.number, seed, *units, known["steps"], known["seconds"], scores)


def _untrained(arm: Arm, seed: int, fold: Fold, samples: Samples, folder: Path, probe: Probe) -> ArmResult:
    """Probe the same network with random weights."""
    card = runs.load(folder).card
    torch.manual_seed(seed)
    scores = samples.scores(card.build().to(device()).eval(), fold, probe)
    return ArmResult("", UNTRAINED, "", fold.number, seed, 0, arm.of, 0, 0.0, scores)


def _plan(arm: Arm, recipe: Any, fold: Fold) -> str:
    """What decides a pretraining and its test: the recipe, the units, and who is tested; not where it runs."""
    manifest = arm.manifest
    kept = [None if one is None else one.tolist() for one in manifest.kept]
    about = [manifest.column("record_id").tolist(), manifest.column("split").tolist(), kept]
    about += [one.tolist() for one in (fold.fit, fold.validation, fold.test)]
    stated = asdict(replace(recipe, hardware=type(recipe.hardware)()))
    return hashlib.blake2b(json.dumps([stated, about], sort_keys=True).encode(), digest_size=16).hexdigest()


def _write(path: Path, content: dict[str, Any]) -> None:
    files.write(path, json.dumps(sealed(content)) + "\n")
