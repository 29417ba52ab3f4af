"""Which models of an experiment are kept, and what of them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medcl import files, runs, weights
from medcl.documents import parse_json
from medcl.evaluate.cells import Arrays, read
from medcl.evaluate.experiment import Fold, Planned
from medcl.evaluate.items import Steps
from medcl.evaluate.label_plan import LabelPlan
from medcl.evaluate.model_card import card_of
from medcl.evaluate.models import SEGMENTATION, ModelInfo, write
from medcl.evaluate.results import Results, ResultTarget
from medcl.evaluate.segment_predict import overlap_of
from medcl.evaluate.segmentation import MaskPlan
from medcl.modality.spec import to_json
from medcl.modality.volume.prepare import slice_axis
from medcl.seen import SeenPatients


def save_models(
    models: Sequence[Planned], plan: LabelPlan, folds: Sequence[Fold], results: Results, spec: Any, output: Path
) -> list[Path]:
    """Save the models of the largest fraction: the `best` by the validation patients, or `all`, as the plan has it.

    Nearest neighbours are not saved, for they would hold embeddings of training patients; nor are random weights.

    Args:
        models: finished.
        plan: of the experiment.
        folds: of the patients.
        results: of the experiment, for the models' cards.
        spec: of the encoder whose samples the baselines take.
        output: folder of the models' folders.

    Returns:
        The folders.
    """
    which, by_number = plan.config.save_models, {fold.number: fold for fold in folds}
    largest = results.fractions[-1].label

    def validation(one: Planned) -> Any:
        return read(plan.folder, one.cell.key, ("validation",))["validation"]

    def score(one: Planned) -> float:
        return plan.task.score(by_number[one.fold].validation, validation(one))

    able = [m for m in models if m.subset.label == largest and m.arm.info.kind != "random" and m.protocol != "knn"]
    if which == "none" or not able:
        return []
    saved = []
    for one in able if which == "all" else [max(able, key=score)]:
        fold, items = by_number[one.fold], plan.items
        info = replace(
            _info(one, plan.task.target, one.arm.spec or spec, plan.config.unit),
            bag="step" if isinstance(items.grouping, Steps) else plan.config.bag,
            pooling=plan.config.pooling,
            top_k=plan.config.top_k,
            settings=plan.task.settings,
            calibrator=plan.task.calibrator(fold.validation, validation(one)),
        )
        rows = np.concatenate([one.subset.rows, fold.validation])
        if one.arm.info.kind == "baseline":  # which learned of the unlabelled as well
            rows = np.concatenate([rows, fold.train])
        folder = _folder(output, one, len(folds))
        seen = _seen(one, np.unique(items.patient[rows]).tolist(), plan.manifest.metadata.get("salt", ""))
        write(folder, info, _tensors(one, plan, fold), seen, card_of(info, results, score(one)))
        saved.append(folder)
    return saved


def _info(one: Planned, target: ResultTarget, spec: Any, unit: str) -> ModelInfo:
    arm = replace(one.arm.info, run="", facts={})
    encoder = parse_json(to_json(spec), "encoder")
    return ModelInfo(target, one.protocol, arm, one.subset.label, unit, one.repeat, one.seed, one.fold, encoder)


def _folder(output: Path, one: Planned, n_folds: int) -> Path:
    fold = f"-fold-{one.fold + 1}" if n_folds > 1 else ""
    return output / files.safe_name(f"{one.arm.name}-{one.protocol}-repeat-{one.repeat + 1}{fold}")


def _tensors(one: Planned, plan: LabelPlan, fold: Fold) -> dict[str, Tensor]:
    arrays = read(plan.folder, one.cell.key)
    if one.protocol == "finetune":
        return _kept(arrays, ("encoder.", "head.", "pooling."))
    # Attention on frozen embeddings has a head in the place of a linear model, and scales what it takes.
    scaling = {f"scaling.{name}": arrays[name] for name in ("mean", "scale") if name in arrays}
    found = _kept({**arrays, **scaling}, ("linear.", "learned.", "head.", "pooling.", "scaling."))
    if one.arm.info.kind == "baseline":
        return found | _kept(read(plan.folder, plan.embedding(fold, one.arm, one.repeat).key), ("state.",))
    network = one.arm.encoder(*plan.seed_of(one.arm, one.repeat))
    return found | {f"encoder.{name}": tensor for name, tensor in weights.of(network).items()}


def _kept(arrays: Arrays, beginnings: tuple[str, ...]) -> dict[str, Tensor]:
    return {n: torch.from_numpy(np.array(a, order="C")) for n, a in arrays.items() if n.startswith(beginnings)}


def _seen(one: Planned, codes: Iterable[int], salt: str) -> list[SeenPatients]:
    """The patients of the labels and, where a run was pretrained, those of the pretraining."""
    if not one.arm.folders:
        return [SeenPatients.of(codes, salt)]
    folder = one.arm.folders[min(one.repeat, len(one.arm.folders) - 1)]
    pretraining = SeenPatients.read(folder / runs.PATIENTS)
    if pretraining.coded_with == salt:
        return [pretraining.joined(codes)]
    return [SeenPatients.of(codes, salt), pretraining]


def save_segmenters(
    models: Sequence[Planned], plan: MaskPlan, folder: Path, fold: Fold, results: Results, output: Path
) -> list[Path]:
    """Save the networks of repeat 1 at the largest fraction: that of the first run (`best`), or of each (`all`).

    Args:
        models: finished.
        plan: of the experiment.
        folder: of the cells.
        fold: the only one.
        results: of the experiment, for the models' cards.
        output: folder of the models' folders.

    Returns:
        The folders.
    """
    which, largest = plan.config.save_models, results.fractions[-1].label
    able = [m for m in models if m.subset.label == largest and m.arm.info.kind == "run" and not m.repeat]
    target = ResultTarget(plan.masks.name, SEGMENTATION, plan.masks.classes)
    patient, saved = plan.manifest.column("patient"), []
    for one in {"none": [], "best": able[:1], "all": able}[which]:
        overlap = overlap_of(plan.config.segment.overlap, slice_axis(one.arm.data))
        info = _info(one, target, one.arm.spec, plan.config.unit)
        info = replace(info, overlap=overlap, mirror=plan.config.segment.mirror)
        codes = np.unique(patient[np.concatenate([one.subset.rows, fold.validation])]).tolist()
        seen = _seen(one, codes, plan.manifest.metadata.get("salt", ""))
        tensors = _kept(read(folder, one.cell.key), ("network.",))
        write(_folder(output, one, 1), info, tensors, seen, card_of(info, results))
        saved.append(_folder(output, one, 1))
    return saved
