"""Apply a finished model to the records of a manifest: the work behind `medcl predict`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.archive.named_files import INPUT
from medcl.archive.stratify import first_appearance
from medcl.embed.encoders import Side, device, prepare
from medcl.embed.inputs import by_object, is_several, written
from medcl.engine.progress import progress
from medcl.errors import UsageError
from medcl.evaluate.items import Steps
from medcl.evaluate.models import Model
from medcl.evaluate.segment_predict import HeldOut, file_name
from medcl.evaluate.tasks.base import Rows
from medcl.modality import WINGS, wing
from medcl.modality.objects import Given

Rule = Literal["youden", "specificity"]
VERSION = 1
_TOGETHER = 512  # items between two looks at the clock
KEY = b"medcl"
LEVELS = ("patient", "study")


@dataclass(frozen=True)
class Predicted:
    """The predictions of a manifest.

    Args:
        table: one row a record, or a patient.
        left_out: record id -> why there is no prediction.
        n_records: records that were asked for.
        warnings: sentences on patients that the model has seen, and on records that lack channels.
    """

    table: pa.Table
    left_out: dict[str, str]
    n_records: int
    warnings: tuple[str, ...]


def predict(
    model: Model,
    manifest: Manifest,
    store: Path,
    *,
    split: str = "",
    by: Literal["record", "patient"] = "record",
    threshold: Rule = "youden",
    jobs: int = -1,
    masks: Path | None = None,
) -> Predicted:
    """Predict the records of a manifest.

    Args:
        model: to apply.
        manifest: of the archive; records of other modalities are passed over.
        store: folder of prepared records.
        split: whose records are predicted; empty: all.
        by: a row a `record`, or what else the model predicts, a `study`, a `patient`, a time step; or a `patient` with
            the mean of its predictions.
        threshold: by which is decided.
        jobs: number of processes that decode records.
        masks: folder of the label maps that are written; of a segmentation.

    Returns:
        `record_id`, or of a patient or study `records`, their number; `patient`, its code; of a time step `time`, when
        it ends; `split`; `status`, `ok` or why there is no prediction; the columns of the task: `probability_CLASS` and
        `decision`, `value`, `risk` and `survival_TIME`, or `label_map`; and `seen`, whether the patient had a part in
        the model, null where that cannot be known.

    Raises:
        UsageError: the manifest is empty, has no such split, or no record of the model's modality; a prediction by
            patient that there is not.
        MedclError: no record can be decoded.
    """
    chosen = _chosen(model, manifest, split)
    level = "patient" if by == "patient" else model.info.bag
    if by == "patient" and (model.segments or model.info.bag == "step"):
        raise UsageError("--by patient: label maps and time steps are predicted one by one")
    if model.segments and masks is None:
        raise UsageError("label maps are written into a folder: give one")
    prepared = prepare(Side(model.wing.name, model.card, None), manifest, chosen, store, jobs)  # type: ignore[arg-type]
    pieces, ids, status = prepared.pieces, chosen.column("record_id"), chosen.column("status")
    left_out = {str(one): str(why) for one, why in zip(ids, status, strict=True) if why != "ok"} | prepared.left_out
    items = model.items(chosen, pieces)
    usable, records = np.unique(items.samples(pieces).rows), np.unique(pieces.rows)
    row, owner, group = _rows(level, chosen, items.row[usable], records)
    held = np.bincount(owner, minlength=len(row))
    there = np.flatnonzero(held)
    columns: dict[str, Any] = {} if group is not None else {"record_id": pa.array(list(map(str, ids[row])))}
    columns |= {
        name: pa.array(chosen.column(name)[row]) for name in dict.fromkeys(("patient", level)) if name in LEVELS
    }
    if group is not None:
        columns["records"] = pa.array(np.bincount(group[records], minlength=len(row)))
    if isinstance(items.grouping, Steps):
        columns["time"] = _with_nulls(items.grouping.start[usable] + model.data.window, owner, len(row))
    if chosen.has(INPUT):
        columns[INPUT] = pa.array(chosen.column(INPUT)[row])
    columns["split"] = pa.array(list(chosen.column("split")[row]), pa.string())
    reasons = [left_out.get(str(one), model.wing.no_sample) for one in ids[row]]
    columns["status"] = pa.array(np.where(held > 0, "ok", reasons))
    if model.segments and masks is not None:
        outputs: dict[str, Any] = _label_maps(model, chosen, usable, pieces, masks)
    else:
        parts = []
        with progress("predict", len(usable)) as bar:
            for part in np.array_split(usable, max(1, len(usable) // _TOGETHER)):
                parts.append(model.of_items(pieces, items, part))
                bar.update(len(part))
        prediction = np.concatenate(parts)
        total = np.zeros((len(row), *prediction.shape[1:]))
        np.add.at(total, owner, prediction)
        mean = total[there] / held[there].reshape(-1, *[1] * (prediction.ndim - 1))
        outputs = model.task.outputs(mean, model.info.calibrator.thresholds.get(threshold, ()))
    columns |= {name: _with_nulls(values, there, len(row)) for name, values in outputs.items()}
    columns["seen"], warnings = _seen(model, chosen.select(row), there)
    about = {
        "content": "predictions",
        "version": VERSION,
        "target": model.info.target.name,
        "kind": model.info.target.kind,
        "classes": model.info.target.classes,
        "temperature": model.info.calibrator.temperature,
        "threshold": threshold if model.info.calibrator.thresholds else None,
    }
    table = pa.table(columns).replace_schema_metadata({KEY: json.dumps(about)})
    return Predicted(table, left_out, len(chosen), (*warnings, *filter(None, [getattr(pieces, "note", "")])))


def predict_objects(model: Model, x: Any, given: Given) -> Any:
    """Predict objects in memory, see `Model.predict`.

    Args:
        model: to apply.
        x: one object, or a list.
        given: what the user says of arrays.
    """
    cards = {model.wing.name: model.card}
    several = is_several(x, cards)
    with written(x, cards, given) as (manifest, store):
        prepared = prepare(Side(model.wing.name, model.card, None), manifest, manifest, store, 1)  # type: ignore[arg-type]
        items = model.items(manifest, prepared.pieces)
        usable = np.unique(items.samples(prepared.pieces).rows)
        each = several and model.info.bag == "record"
        order = by_object(manifest, items.row[usable], prepared.left_out, each)
        if model.segments:
            names = _label_maps(model, manifest, usable, prepared.pieces, store)["label_map"]
            found: Any = [_voxels(store.parent / names[one]) for one in order]
        else:
            found = model.of_items(prepared.pieces, items, usable)[order]
    alone = not several and len(found) == 1 and model.info.bag != "step" and not hasattr(x, "columns")
    return found[0] if alone else found


def _voxels(path: Path) -> NDArray[Any]:
    import nibabel as nib

    return np.asarray(nib.load(path).dataobj).copy()


def _chosen(model: Model, manifest: Manifest, split: str) -> Manifest:
    """The records that are asked for, and that the model's modality has."""
    if not len(manifest):
        raise UsageError("the manifest has no record")
    chosen = manifest
    if split:
        chosen = manifest.select(manifest.split_rows(split))
        if not len(chosen):
            have = ", ".join(sorted({str(one) for one in manifest.column("split") if one is not None})) or "none"
            raise UsageError(f"--split {split}: the manifest has no such records; its splits: {have}")
    own, kinds = model.wing.name, chosen.kinds
    if own not in kinds:
        have = ", ".join(wing(one).plural for one in WINGS if one in kinds)
        raise UsageError(f"{model.folder}: predicts {model.wing.examples}; the manifest holds {have}")
    # Of a record that the scan could not read, it is not always known what it is.
    return chosen.select((kinds == own) | (kinds == ""))


def _rows(level: str, manifest: Manifest, record: Rows, records: Rows) -> tuple[Rows, Rows, Rows | None]:
    """The rows of the table.

    Args:
        level: what a row is: `record`, `step`, `study` or `patient`.
        manifest: of the records.
        record: (U,) first record of each item that is predicted.
        records: those with samples.

    Returns:
        (T,) the first record of each row, in the order of the manifest; (U,) the row that each item counts in; and of
        patients and studies (records,) the row of each record.
    """
    every = np.arange(len(manifest))
    if level == "record":
        return every, record, None
    if level == "step":
        row = np.concatenate([record, np.setdiff1d(every, records)])
        order = np.argsort(row, kind="stable")
        return row[order], np.argsort(order, kind="stable")[: len(record)], None
    codes = manifest.column(level)
    # A record of an unknown patient or study stands for itself.
    group, _ = first_appearance(np.where(codes < 0, -2 - every, codes))
    return np.unique(group, return_index=True)[1], group[record], group


def _with_nulls(values: Any, place: Rows, count: int) -> pa.Array:
    """Values (P,) at places of a column of `count` rows, null elsewhere."""
    indices = np.full(count, -1)
    indices[place] = np.arange(len(place))
    return pa.array(values).take(pa.array(indices, mask=indices < 0))


def _label_maps(model: Model, manifest: Manifest, rows: Rows, pieces: Any, folder: Path) -> dict[str, Any]:
    """Write the label maps of volumes (R,), on the grids of their files."""
    held_out = HeldOut(pieces.patches.store.folder, manifest, rows, None, model.data)
    held_out.write(model.network, model.info.overlap, device(), folder)
    ids = manifest.column("record_id")[rows]
    return {"label_map": [f"{folder.name}/{file_name(str(one))}" for one in ids]}


def _seen(model: Model, manifest: Manifest, rows: Rows) -> tuple[pa.Array, tuple[str, ...]]:
    """Whether each patient had a part in the model, and what has to be said of it."""
    codes, salt = manifest.column("patient"), manifest.metadata.get("salt")
    known = [one for one in model.patients if one.coded_with == salt]
    warnings = []
    if len(known) < len(model.patients):
        warnings.append(
            "warning: not all patients that the model has seen can be compared with those of the manifest, whose "
            "codes are made with another salt (another site, or another MEDCL_SALT)"
        )
    if not known:
        return pa.nulls(len(codes), pa.bool_()), tuple(warnings)
    seen: NDArray[np.bool_] = np.any([one.among(codes) for one in known], axis=0)
    patients, count = np.unique(codes[rows]), len(np.unique(codes[rows][seen[rows]]))
    if count:
        warnings.append(
            f"warning: {count} of {len(patients)} patients had a part in the model (pretraining, labels or "
            "validation): predictions on them are too good"
        )
    return pa.array(seen), tuple(warnings)
