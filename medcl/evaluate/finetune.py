"""`medcl finetune` as one function: runs and a manifest in; results.json, report.html and models out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.archive.split import check as check_split
from medcl.archive.split import missing_classes
from medcl.data.store import open_store
from medcl.embed import encoders
from medcl.errors import MedclError, UsageError, did_you_mean
from medcl.evaluate import arms as making
from medcl.evaluate import fusion, segmentation
from medcl.evaluate.arms import Arm
from medcl.evaluate.assemble import results_of, tested_of
from medcl.evaluate.cells import FOLDER, fingerprint, read
from medcl.evaluate.config import PROTOCOLS, EvaluateConfig
from medcl.evaluate.experiment import Fold, Planned, run
from medcl.evaluate.folds import divided
from medcl.evaluate.heat_strips import heat_strips
from medcl.evaluate.items import Bags, Items
from medcl.evaluate.label_fraction import check as check_fractions
from medcl.evaluate.label_plan import LabelPlan
from medcl.evaluate.mirrored import keeping_sides
from medcl.evaluate.multimodal_space import choose, only
from medcl.evaluate.page import write_page
from medcl.evaluate.results import Results, ResultTarget
from medcl.evaluate.saving import save_models, save_segmenters
from medcl.evaluate.segment_images import draw, save_masks
from medcl.evaluate.segment_train import check as check_network
from medcl.evaluate.summary import Tested
from medcl.evaluate.tables import calibration_curves, confusions, survival_curves
from medcl.evaluate.tasks import task_of
from medcl.evaluate.tasks.base import Rows, Task
from medcl.modality import wing_of
from medcl.modality.spec import zero_missing
from medcl.networks.pooling import LEARNED, OF_PREDICTIONS
from medcl.spelling import not_a_choice

DEFAULT_LABELS = ("1%", "10%", "100%")


def finetune(folders: Sequence[Path], manifest: Manifest, config: EvaluateConfig, store: Path, output: Path) -> Results:
    """Compare runs with the same networks from random weights and with simple baselines, at every label fraction.

    Args:
        folders: of the runs, all on records of one modality.
        manifest: with labels or label maps, and splits.
        config: of the experiment.
        store: folder in which records are prepared once, and finished cells are kept.
        output: new folder of results.json, report.html and models.

    Raises:
        UsageError: the configuration is invalid, or does not fit the runs.
        MedclError: the runs, the labels or the splits do not allow it; `LeakError` where a test patient was trained on.
    """
    check(config, manifest)
    manifest = manifest.ok()
    measured = masks if config.target in manifest.masks else labels
    return measured(folders, manifest, config, store, output)


def check(config: EvaluateConfig, manifest: Manifest) -> None:
    """Refuse a target, label fractions, protocols or settings of segmentation that do not fit, before anything is read.

    Raises:
        UsageError: names what is invalid, and the nearest valid one.
    """
    if config.target not in (*manifest.targets, *manifest.masks):
        known = [*manifest.targets, *manifest.masks]
        raise UsageError(
            f"--target {config.target}: the manifest has the targets {', '.join(manifest.targets) or '(none)'}"
            + (f" and the label maps {', '.join(manifest.masks)}" if manifest.masks else "")
            + did_you_mean(config.target, known)
        )
    check_fractions(config.fractions or DEFAULT_LABELS, config.repeats)
    for name in config.protocols:
        if name not in PROTOCOLS:
            raise UsageError(f"--protocols {not_a_choice(name, PROTOCOLS)}")
    if config.pooling in OF_PREDICTIONS and list(config.protocols) != ["finetune"]:
        raise UsageError(f"--pooling {config.pooling}: is of full fine-tuning alone: add --protocols finetune")
    segmentation.check(config)


def labels(folders: Sequence[Path], manifest: Manifest, config: EvaluateConfig, store: Path, output: Path) -> Results:
    """The experiment of a column of labels; see `finetune`."""
    results, models, plan, folds = measure_runs(folders, manifest, config, store)
    results.save(output / "results.json")
    strips = heat_strips(models, plan.task, folds[0].test, results.items, plan.folder)
    write_page(results, output / "report.html", strips=strips)
    save_models(models, plan, folds, results, folds[0].arms[0].spec, output / "models")
    return results


def measure_runs(
    folders: Sequence[Path], manifest: Manifest, config: EvaluateConfig, store: Path
) -> tuple[Results, list[Planned], LabelPlan, list[Fold]]:
    """The experiment of a column of labels of readable records, without its pages; as `measure`, and the folds."""
    first, config = runs.load(folders[0]), fusion.settings(config)
    if config.inputs:
        kinds = fusion.kinds_of(first.card, config, folders[0])
    else:
        side = choose(first.card, manifest, config.target, config.side)
        kinds = [wing_of(encoders.config_of(only(first, side).card)).name]
    manifest = manifest.select(np.isin(manifest.kinds, kinds))
    if not config.folds:
        check_split(manifest)
    n_records = len(manifest)
    several = fusion.arms_of(folders, manifest, config, store) if config.inputs else []
    main = several or _arms_of_runs(folders, manifest, config, store)
    # A recording without a usable window cannot be embedded: it is left out before anything is drawn.
    manifest = manifest.select(making.usable(main, manifest))
    task, items = task_of(manifest, config, main[0])
    supervised = task.one_class and config.pooling not in LEARNED
    arms = several or [*main, *_others(main, manifest, config, supervised=supervised)]
    folds = divided(items, task, config, arms)
    notes = _notes(manifest, config, task, items, n_records - len(manifest))
    return *measure(manifest, items, task, folds, config, store, notes, first.config), folds


def measure(
    manifest: Manifest,
    items: Items,
    task: Task,
    folds: Sequence[Fold],
    config: EvaluateConfig,
    store: Path,
    notes: Sequence[str],
    pretraining: Any,
) -> tuple[Results, list[Planned], LabelPlan]:
    """Train and test models of labels in every fold: the results, the models, and the plan by which they were made.

    Args:
        manifest: of readable records.
        items: what the labels belong to.
        task: the labels.
        folds: with their arms, the same ones in all.
        config: of the experiment.
        store: folder of the cells.
        notes: on the data.
        pretraining: recipe of the arms.

    Raises:
        MedclError: the labels do not allow it; `LeakError` where a test patient was trained on.
    """
    said = dict.fromkeys(arm.note for arm in folds[0].arms)
    notes = [*notes, *filter(None, said), *_guarded(manifest, items, folds, config)]
    plan = LabelPlan(manifest, items, task, config, store / FOLDER, _minutes(manifest, items))
    models, drawn = run(plan, folds, config, config.fractions or DEFAULT_LABELS, plan.folder)
    by_number = {fold.number: fold for fold in folds}

    def tested(model: Planned) -> Tested:
        test = by_number[model.fold].test
        found = read(plan.folder, model.cell.key, ("test", "validation"))
        prediction = task.finished(by_number[model.fold].validation, found["validation"], found["test"], model.protocol)
        measured = task.measured(test, prediction)
        return tested_of(model, measured, task.class_names, fingerprint(prediction))

    finished = [tested(model) for model in models]
    results = results_of(config, task.target, task.metric, folds, folds[0].arms, finished, drawn, items, task, notes)
    largest = results.fractions[-1].label
    patients = {fold.number: items.patient[fold.test] for fold in folds}
    about = patients, config.bootstrap, config.seed
    results = replace(
        results,
        config={**results.config, "pretraining": pretraining},
        calibration=tuple(calibration_curves(task, finished, *about)),
        survival=tuple(survival_curves([one for one in finished if one.label == largest])),
        confusion=tuple(confusions(task, [one for one in finished if one.label == largest], *about)),
    )
    return results, models, plan


def _minutes(manifest: Manifest, items: Items) -> NDArray[np.float64] | None:
    """Length of the recordings of each item; None where records have none, and of time steps."""
    rate, samples = (manifest.column(name).astype(np.float64) for name in ("sampling_rate", "n_samples"))
    found: NDArray[np.float64] = samples / rate / 60
    if not np.isfinite(found).all() or not isinstance(items.grouping, Bags | None):
        return None
    if isinstance(items.grouping, Bags):
        found = np.bincount(items.grouping.bag, found).astype(np.float64)
    return found


def _arms_of_runs(folders: Sequence[Path], manifest: Manifest, config: EvaluateConfig, store: Path) -> list[Arm]:
    """An arm a run: `pretrained`, or by the names of several run folders."""
    found: list[Arm] = []
    for name, folder in zip(making.names_of(folders), folders, strict=True):
        loaded = runs.load(folder)
        side = choose(loaded.card, manifest, config.target, config.side) if config.target in manifest.targets else None
        card = only(loaded, side).card
        card = zero_missing(card) if config.zero_missing else card
        data = encoders.config_of(card)
        if wing_of(data) != wing_of(found[0].data if found else data):
            raise UsageError(
                f"{folder}: reads {wing_of(data).plural}, {folders[0]} reads {wing_of(found[0].data).plural}: evaluate "
                "them one by one, and `medcl compare` puts their results side by side"
            )
        found.append(making.of_run(name, [folder], encoders.prepared(manifest, data, store, config.jobs), side, card))
    return found


def _others(main: Sequence[Arm], manifest: Manifest, config: EvaluateConfig, *, supervised: bool = False) -> list[Arm]:
    """Every different network from random weights, foreign encoders, and the simple baselines."""
    found: list[Arm] = []
    if config.scratch:
        kinds = {(str(arm.spec), str(arm.data)): arm for arm in reversed(main)}
        several = len(kinds) > 1
        found += [
            making.untrained(f"random ({arm.name})" if several else "random", arm)
            for arm in main
            if arm in kinds.values()
        ]
    found += [making.foreign(path, main[0], manifest) for path in config.encoders]
    return [*found, *making.baselines(main[0], config.baselines, supervised=supervised)]


def _guarded(manifest: Manifest, items: Items, folds: Sequence[Fold], config: EvaluateConfig) -> list[str]:
    """Refuse to test on patients that a run was trained on; sentences where something must be said."""
    tested: dict[Path, list[Rows]] = {}
    for fold in folds:
        for folder in (folder for arm in fold.arms for folder in arm.folders):
            tested.setdefault(folder, []).append(items.row[fold.test])
    said = []
    for folder, every in tested.items():
        run = runs.load(folder)
        said += [runs.guard(run, manifest, rows, allow=config.allow_transductive) for rows in every]
    return list(dict.fromkeys(one for one in said if one))


def _notes(manifest: Manifest, config: EvaluateConfig, task: Task, items: Items, left_out: int) -> list[str]:
    notes = fusion.notes(config, items.plural)
    for split, classes in ({} if config.folds else missing_classes(manifest, config.target)).items():
        if classes:
            notes.append(f"The split {split} holds no record of {', '.join(classes)}.")
    unlabelled = int((~task.labelled).sum())
    if unlabelled:
        notes.append(
            f"{unlabelled} of {len(task.labelled)} {items.plural} have no label for {config.target} and are not used."
        )
    if left_out:
        notes.append(f"{left_out} records were left out: they could not be decoded, or hold no usable window.")
    return notes


def masks(folders: Sequence[Path], manifest: Manifest, config: EvaluateConfig, store: Path, output: Path) -> Results:
    """The experiment of a column of label maps; see `finetune`."""
    first = runs.load_volumes(folders[0])
    for folder in folders:
        check_network(runs.load_volumes(folder).card)
    manifest = manifest.of_kind("volume")
    check_split(manifest)
    main = _arms_of_runs(folders, manifest, config, store)
    config, sides = keeping_sides(config, manifest.masks[config.target].classes, main[0].data)
    prepared = open_store(main[0].store, "volume")
    rows = {split: segmentation.usable(manifest, prepared, config.target, split) for split in ("train", "val", "test")}
    problems = segmentation.problems(manifest, prepared, config.target)
    if not len(rows["test"]):
        raise MedclError(
            f"no volume of the test split has a label map {config.target!r} that can be used"
            + "".join(f"; {note}" for note in problems)
        )
    arms = [*main, *_others(main, manifest, replace(config, encoders=[], baselines=["none"]))]
    fold = Fold(0, rows["train"], rows["val"], rows["test"], tuple(arms))
    items = replace(Items.records(manifest), plural="volumes")
    notes = [*_guarded(manifest, items, [fold], config), *problems, *sides]
    notes.append(segmentation.validation_note(config, len(fold.validation)))
    plan = segmentation.MaskPlan(manifest, manifest.masks[config.target], config)
    folder = store / FOLDER
    models, drawn = run(plan, [fold], config, config.fractions or segmentation.DEFAULT_LABELS, folder)
    structures = plan.masks.classes[1:]
    overlaps = [segmentation.overlap(read(folder, one.cell.key, ("dice", "hd95"))) for one in models]
    finished = [
        tested_of(model, found, structures, model.cell.key) for model, found in zip(models, overlaps, strict=True)
    ]
    for arm in arms:
        own = [found for model, found in zip(models, overlaps, strict=True) if model.arm is arm]
        notes += segmentation.missing_structures(arm.name, own)
    target = ResultTarget(config.target, "segmentation", structures)
    results = results_of(config, target, "dice", [fold], arms, finished, drawn, items, None, notes)
    learning = segmentation.learning_curves(models, folder)
    speed = [one for arm in main for one in segmentation.speed_of(learning, arm.name, "random")]
    results = replace(
        results,
        config={**results.config, "pretraining": first.config},
        learning=tuple(learning),
        speed=tuple(speed),
    )
    results.save(output / "results.json")
    write_page(results, output / "report.html", draw(plan, fold, models, folder))
    save_segmenters(models, plan, folder, fold, results, output / "models")
    if config.save_masks:
        save_masks(plan, fold, models, folder, output / "masks")
    return results
