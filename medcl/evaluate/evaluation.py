"""`medcl finetune` as one function: a run and a manifest in, results.json and report.html out."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from medcl import files, runs
from medcl.archive.manifest import Manifest
from medcl.archive.split import check, missing_classes
from medcl.embed import encoders
from medcl.errors import UsageError, did_you_mean
from medcl.evaluate import experiment, multimodal_space
from medcl.evaluate.config import EvaluateConfig
from medcl.evaluate.fractions import Subset
from medcl.evaluate.page import write_page
from medcl.evaluate.results import Procedure, Results, made_with
from medcl.evaluate.task import Prediction, Task, confusions, curves, fractions, scores, split_of, summarise
from medcl.modality import wing_of
from medcl.modality.spec import Card, to_json

_BASELINE_VERSION = 1
"""Raised when the same settings give other predictions of random initialisation."""


def evaluate(run_folder: Path, manifest: Manifest, config: EvaluateConfig, store: Path, output: Path) -> Results:
    """Compare an encoder with the same network from random weights at every label fraction.

    Raises:
        MedclError: the run, the labels or the splits do not allow it; `LeakError` where a test patient was trained on.
    """
    experiment.check(config)
    if config.target not in manifest.targets:
        raise UsageError(
            f"--target {config.target}: the manifest has the targets {', '.join(manifest.targets) or '(none)'}"
            + (f" and the label maps {', '.join(manifest.masks)}" if manifest.masks else "")
            + did_you_mean(config.target, [*manifest.targets, *manifest.masks])
        )
    run, manifest = runs.load(run_folder), manifest.ok()
    side = multimodal_space.choose(run.card, manifest, config.target, config.side)
    run = multimodal_space.only(run, side)
    config_of_pieces = encoders.config_of(run.card)
    if "pixels" in config.protocols and wing_of(config_of_pieces).name != "image":
        raise UsageError("--protocols pixels: needs a run on images, for it compares with their pixels")
    manifest = manifest.select(manifest.kinds == wing_of(config_of_pieces).name)
    check(manifest)
    n_records = len(manifest)
    prepared = encoders.prepared(manifest, config_of_pieces, store, config.jobs)
    # A recording without a usable window cannot be embedded: it is left out before anything is drawn.
    manifest = manifest.select(np.unique(encoders.samples_in(prepared, manifest, config_of_pieces).rows))
    task = Task.of(manifest, config.target)
    rows = {split: experiment.usable(manifest, task, split) for split in ("train", "val", "test")}
    notes = _notes(manifest, config, task, n_records - len(manifest))
    warning = runs.guard(run, manifest, rows["test"], allow=config.allow_transductive)
    notes += [warning] if warning else []
    drawn = experiment.subsets(manifest, config)
    setting = experiment.Setting(
        run_folder, prepared, manifest, config_of_pieces, config, rows["val"], rows["test"], side
    )
    kept = _baseline_path(setting, run.card, drawn)
    known = _kept_baseline(kept)
    predictions = experiment.run_all(setting, drawn, ("pretrained",) if known else ("pretrained", "random"))
    if known is None:
        _keep_baseline(kept, predictions)
    # One order, whether the baseline was computed now or before.
    predictions = experiment.in_order(predictions + (known or []), config, drawn)
    found, undefined = scores(task, rows["test"], predictions)
    if undefined:
        notes.append(
            "Left out of a macro mean, since the test records include no positive or no negative: "
            f"{', '.join(sorted(undefined))}."
        )
    summaries, differences = summarise(task, manifest, rows["test"], predictions, found, config)
    largest = drawn[0][-1].label
    results = Results(
        run=str(run_folder),
        method=str(run.config.get("method", "")),
        target=task.target,
        protocols=tuple(config.protocols),
        metric=task.metric,
        config={"evaluation": asdict(config), "pretraining": run.config},
        splits={split: split_of(task, manifest, part) for split, part in rows.items()},
        notes=tuple(notes),
        fractions=tuple(fractions(drawn)),
        procedure=Procedure(config.seed, config.repeats, config.bootstrap, config.unit),
        scores=tuple(found),
        summary=tuple(summaries),
        differences=tuple(differences),
        calibration=tuple(curves(task, rows["test"], predictions)),
        confusion=tuple(confusions(task, rows["test"], predictions, largest)),
        **made_with(),
    )
    results.save(output / "results.json")
    write_page(results, output / "report.html")
    return results


def _notes(manifest: Manifest, config: EvaluateConfig, task: Task, left_out: int) -> list[str]:
    notes: list[str] = []
    for split, classes in missing_classes(manifest, config.target).items():
        if classes:
            notes.append(f"The split {split} holds no record of {', '.join(classes)}.")
    unlabelled = int((~task.labelled).sum())
    if unlabelled:
        notes.append(f"{unlabelled} of {len(manifest)} records have no label for {config.target} and are not used.")
    if left_out:
        notes.append(f"{left_out} records were left out: they could not be decoded, or hold no usable window.")
    return notes


def _baseline_path(setting: experiment.Setting, card: Card, drawn: Sequence[Sequence[Subset]]) -> Path:
    """Where the predictions of random initialisation are kept: the name says what they depend on.

    Runs that share network, data and settings share their baseline, which is measured once.
    """
    other = ("jobs", "bootstrap", "allow_transductive")
    config = {name: value for name, value in asdict(setting.config).items() if name not in other}
    about = [_BASELINE_VERSION, torch.__version__, setting.store.name, to_json(card), config]
    digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=12)
    digest.update("\n".join(map(str, setting.manifest.column("record_id"))).encode())
    digest.update(np.ascontiguousarray(setting.manifest.labels(setting.config.target)).tobytes())
    for rows in (setting.validation, setting.test, *(subset.rows for repeat in drawn for subset in repeat)):
        digest.update(np.ascontiguousarray(rows).tobytes() + b"|")
    return setting.store.parent / f"baseline-{digest.hexdigest()}.npz"


def _keep_baseline(path: Path, predictions: Sequence[Prediction]) -> None:
    """Keep the predictions of random initialisation, whole or not at all."""
    arrays = {f"{p.protocol}/{p.label}/{p.repeat}/{p.seed}": p.probabilities for p in predictions if p.init == "random"}
    with files.draft(path, durable=False) as place, place.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _kept_baseline(path: Path) -> list[Prediction] | None:
    """The kept predictions; None where there are none, or the file is damaged and has to be computed anew."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            kept = []
            for name in arrays.files:
                protocol, label, repeat, seed = name.split("/")
                kept.append(Prediction(protocol, "random", label, int(repeat), int(seed), arrays[name]))
            return kept
    except Exception:  # noqa: BLE001 - a damaged archive fails in as many ways as there are in unpacking
        return None
