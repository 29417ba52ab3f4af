"""Apply a finished model to the records of a manifest: the work behind `medcl predict`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.archive.stratify import first_appearance
from medcl.embed.encoders import Side, device, prepare
from medcl.errors import UsageError
from medcl.evaluate.models import Model
from medcl.evaluate.segment_predict import HeldOut, file_name
from medcl.evaluate.tasks.base import Floats, Rows
from medcl.modality import WINGS, wing

Rule = Literal["youden", "specificity"]
VERSION = 1
KEY = b"medcl"


@dataclass(frozen=True)
class Predicted:
    """The predictions of a manifest.

    Args:
        table: one row a record, or a patient.
        left_out: record id -> why there is no prediction.
        n_records: records that were asked for.
        warnings: sentences on patients that the model has seen.
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
        by: a row a `record`, or a `patient`: the mean of its records' predictions.
        threshold: by which is decided.
        jobs: number of processes that decode records.
        masks: folder of the label maps that are written; of a segmentation.

    Returns:
        `record_id` and `split`, or `records`, the number of a patient's; `patient`, its code; `status`, `ok` or why
        there is no prediction; `seen`, whether the patient had a part in the model, null where that cannot be known;
        and the columns of the task: `probability_CLASS` and `decision`, `value`, or `label_map`.

    Raises:
        UsageError: the manifest is empty, has no such split, or no record of the model's modality; labels maps by
            patient.
        MedclError: no record can be decoded.
    """
    if not len(manifest):
        raise UsageError("the manifest has no record")
    chosen = manifest
    if split:
        chosen = manifest.select(manifest.split_rows(split))
        if not len(chosen):
            have = ", ".join(sorted({str(one) for one in manifest.column("split") if one is not None})) or "none"
            raise UsageError(f"--split {split}: the manifest has no such records; its splits: {have}")
    own = model.wing.name
    kinds = chosen.kinds
    # Of a record that the scan could not read, it is not always known what it is.
    chosen = chosen.select((kinds == own) | (kinds == ""))
    if own not in kinds:
        have = ", ".join(wing(one).plural for one in WINGS if one in kinds)
        raise UsageError(f"{model.folder}: predicts {model.wing.examples}; the manifest holds {have}")
    if model.segments and (by == "patient" or masks is None):
        raise UsageError("label maps are predicted by record, into a folder")
    prepared = prepare(Side(own, model.card, None), manifest, chosen, store, jobs)  # type: ignore[arg-type]
    rows, ids, status = np.unique(prepared.pieces.rows), chosen.column("record_id"), chosen.column("status")
    left_out = {str(one): str(why) for one, why in zip(ids, status, strict=True) if why != "ok"} | prepared.left_out
    outputs: dict[str, Any]
    if model.segments and masks is not None:
        outputs = _label_maps(model, chosen, rows, prepared.pieces, masks)
    else:
        prediction = model.of_samples(prepared.pieces, rows)
        if by == "patient":
            return _by_patient(model, chosen, rows, prediction, left_out, threshold)
        outputs = _outputs(model, prediction, threshold)
    columns: dict[str, Any] = {
        "record_id": pa.array(list(map(str, ids))),
        "patient": pa.array(chosen.column("patient")),
        "split": pa.array(list(chosen.column("split")), pa.string()),
        "status": pa.array([left_out.get(str(one), "ok") for one in ids]),
    }
    return _finished(model, chosen, columns, rows, outputs, left_out, threshold)


def _outputs(model: Model, prediction: Floats, threshold: Rule) -> dict[str, Any]:
    return model.task.outputs(prediction, model.info.calibrator.thresholds.get(threshold, ()))


def _by_patient(
    model: Model,
    manifest: Manifest,
    rows: Rows,
    prediction: Floats,
    left_out: Mapping[str, str],
    threshold: Rule,
) -> Predicted:
    codes = manifest.column("patient")
    # A record of an unknown patient stands for itself.
    number, count = first_appearance(np.where(codes < 0, -2 - np.arange(len(codes)), codes))
    first = np.unique(number, return_index=True)[1]
    held = np.bincount(number[rows], minlength=count)
    total = np.zeros((count, *prediction.shape[1:]))
    np.add.at(total, number[rows], prediction)
    there = np.flatnonzero(held)
    mean = total[there] / held[there].reshape(-1, *[1] * (prediction.ndim - 1))
    ids = manifest.column("record_id")
    columns = {
        "patient": pa.array(codes[first]),
        "records": pa.array(held),
        "status": pa.array(["ok" if held[k] else left_out[str(ids[row])] for k, row in enumerate(first.tolist())]),
    }
    outputs = _outputs(model, mean, threshold)
    return _finished(model, manifest.select(first), columns, there, outputs, left_out, threshold, len(manifest))


def _finished(
    model: Model,
    manifest: Manifest,
    columns: dict[str, Any],
    rows: Rows,
    outputs: Mapping[str, Any],
    left_out: Mapping[str, str],
    threshold: Rule,
    n_records: int = 0,
) -> Predicted:
    """The table, with null where there is no prediction."""
    place = np.full(len(manifest), len(rows))
    place[rows] = np.arange(len(rows))
    indices = pa.array(place, mask=place == len(rows))
    columns |= {name: pa.array(values).take(indices) for name, values in outputs.items()}
    columns["seen"], warnings = _seen(model, manifest, rows)
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
    return Predicted(table, dict(left_out), n_records or len(manifest), warnings)


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
