"""The shipped recipes, made tiny by one rule for all, and one archive of all modalities for all of them."""

import csv
import json
from collections.abc import Sequence
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.report_read import ReportRule
from medcl.documents import merge
from medcl.phantom.archive import write_ecg
from medcl.phantom.morphology import DIAGNOSES
from medcl.phantom.radiograph import write_radiographs
from medcl.phantom.report_files import add_reports
from medcl.phantom.volumes import write_mr
from medcl.pretrain.reading import read
from medcl.pretrain.recipe import Recipe

PIPELINES = Path(__file__).parents[2] / "pipelines"
RECIPES = tuple(sorted(path.stem for path in PIPELINES.glob("*.yaml")))
PATIENTS, VALUES = 14, 4
START = "image_simclr"
"""The recipe whose run others begin with."""
OWN: dict[str, dict[str, Any]] = {
    # All of its images are real.
    "adainf": {"batch": {"repeat": "diagnosis=normal"}},
    # Its recordings are ECGs, whose leads lie nowhere on the head.
    "brain_decoding": {
        "inputs": {"eeg": {"data": {"delay": None}, "encoder": {"spatial": 0}}, "stimulus": {"channels": ["V6"]}}
    },
    # Its tables are one of laboratory values, divided into three.
    "m3col_omics": {
        "inputs": {
            name: {"data": {"columns": columns}}
            for name, columns in (("mrna", ["value0"]), ("methylation", ["value1"]), ("mirna", ["value[23]"]))
        },
        "objectives": {"classes": {"classes": [*DIAGNOSES]}},
    },
    # Its recordings are ECGs, which have no two sides.
    "mvcnet": {
        "inputs": {"network": {"more_views": {"sides": {"reflect": 0.0}}}},
        "objectives": {"imagery": {"target": "diagnosis", "classes": [*DIAGNOSES], "exchanged": []}},
    },
    # Eight features of eight images have no covariance to whiten by.
    "w_mse": {"objectives": {"views": {"settings": {"ridge": 0.1}}}},
    "temporal_scl": {"objectives": {one: {"target": "diagnosis"} for one in ("outcome", "neighbours")}},
}
"""What a recipe says of an archive that is not ours."""


def content(name: str) -> dict[str, Any]:
    """A shipped recipe as YAML has it."""
    read_in: dict[str, Any] = yaml.safe_load((PIPELINES / f"{name}.yaml").read_text(encoding="utf-8"))
    return read_in


def machinery(name: str) -> str:
    """The module of an objective that this version does not have, or nothing."""
    from medcl.pretrain.objectives import OBJECTIVES

    kinds = {OBJECTIVES[one.get("kind", "contrast")].partition(":")[0] for one in content(name)["objectives"].values()}
    modules = (f"medcl.pretrain.objectives.{kind}" for kind in sorted(kinds))
    return next((module for module in modules if find_spec(module) is None), "")


def machinery_of(name: str) -> frozenset[tuple[Any, ...]]:
    """What training a recipe uses: kinds of objectives, numbers of their inputs, positives and negatives."""

    def of(one: dict[str, Any]) -> tuple[Any, ...]:
        positives = str(one.get("positives", "")).partition(":")[0]
        queued = bool(one.get("negatives", {}).get("queue"))
        # Losses are functions, but for this one, which keeps a temperature of each sample.
        kept = one.get("loss") == "IndividualTemperatures", one.get("learn_temperature")
        return one.get("kind", "contrast"), len(one.get("between", [1])), positives, one.get("within"), queued, *kept

    return frozenset(of(one) for one in content(name)["objectives"].values())


def tiny(name: str, steps: int, start: Path | None = None, *, shared: bool = False, **changes: Any) -> Recipe:
    """A shipped recipe with tiny networks and few steps, by the same rule for all.

    Args:
        name: of the recipe.
        steps: of each stage.
        start: run folder of `START`, for recipes that begin with one.
        shared: without statistics of a batch, which are those of a process.
        **changes: merged into it at last.
    """
    found = content(name)
    found["inputs"] = {one: _input(one, value, start, shared) for one, value in found["inputs"].items()}
    found["objectives"] = {one: _objective(value) for one, value in found["objectives"].items()}
    found["stages"] = [{**stage, "steps": steps} for stage in found.get("stages", ())]
    batch = found.get("batch", {})
    found["batch"] = {**batch, "patients": 8, "samples": min(batch.get("samples", 2), 4)}
    # As large a step as all of them bear, so that a few are enough to see a loss fall.
    short = {"steps": steps, "learning_rate": 3e-3, "schedule": "constant", "warmup": 0.0, "weight_decay": 0.0}
    found["optimiser"] = {**found["optimiser"], **short}
    found["hardware"] = {"accelerator": "cpu"}
    return read(merge(merge(found, OWN.get(name, {})), changes))


def _input(name: str, value: dict[str, Any], start: Path | None, shared: bool) -> dict[str, Any]:
    kind = value.get("modality", name)
    encoder = value.get("encoder", {})
    small: dict[str, Any] = {"dim": 8}
    if kind in ("image", "volume"):
        small |= {"widths": [4, 8, 8, 8] if encoder["name"] == "resnet" else [4, 8, 8]}
        small |= {"stride": 2} if "stride" in encoder else {}
        if shared:
            small |= {"name": "unet", "widths": [4, 8, 8], "norm": "group", "pooling": "max"}
    elif kind == "report":
        small |= {"hidden": 32, "depth": 1, "dropout": 0.0, "vocabulary": 280, "patients": 1}
    else:
        small |= {"hidden": 8, "depth": min(encoder["depth"], 3), "dropout": 0.0}
        if encoder.get("name") == "xresnet":
            small |= {"name": "resnet", "stride": 8} if shared else {"depth": 18}
    data = value.get("data", {})
    size = {"image": [16, 16], "volume": [1 if one == 1 else 16 for one in data.get("size", ())]}
    if kind in size:
        small_data = {"size": size[kind]} | (
            {"spacing": None, "window": None, "foreground": False} if kind == "volume" else {}
        )
    else:
        in_time = {"window": 6.0, "step": 2.0}
        # The filter of a band is longer than recordings of some seconds.
        short = {"window": 1.0, "stride": 1.0, "band": None}
        small_data = {"signal": short, "report": {"length": 24}, "table": in_time}[kind]
    own = {} if "like" in value else {"data": {**data, **small_data}}
    begun = {"init": str(start)} if "init" in value and start else {}
    return {**value, **own, **begun, "encoder": {**encoder, **small}}


def _has_head(kind: str) -> bool:
    from medcl.pretrain.objectives import objective_class

    return "head" in {one.name for one in fields(objective_class(kind).Config)}


def _objective(value: dict[str, Any]) -> dict[str, Any]:
    found = dict(value)
    kind = found.get("kind", "contrast")
    if kind in ("densecl", "pixpro", "slotcon", "regions"):
        found |= {"projection": 8}
    elif _has_head(kind) and not isinstance(found.get("head"), str) and found.get("head", {}).get("dim", 1):
        head = found.get("head", {})
        found["head"] = {**head, "hidden": min(head.get("hidden", 16), 16), "dim": 8, "dropout": 0.0}
    if kind in ("densecl", "pixpro", "slotcon"):
        found["hidden"] = 16
    found |= {key: 8 for key in ("queue", "prototypes", "words") if key in found}
    if "negatives" in found:
        # A copy that follows within the few steps.
        found["negatives"] = {**found["negatives"], "queue": 24, "momentum": 0.5}
    return found


def write_archive(folder: Path) -> Path:
    """Write patients with ECGs, heads, radiographs with reports and laboratory values, and scan them all at once."""
    write_ecg(folder / "ecg", PATIENTS, duration=4.0)
    write_mr(folder / "mr", folder / "masks", PATIENTS, shape=(20, 18, 12))
    write_radiographs(folder, PATIENTS, shape=(20, 20, 12))
    add_reports(folder)
    archive = folder / "archive"
    archive.mkdir()
    reports = []
    people: dict[str, dict[str, str]] = {}
    for name in ("mr", "xray", "ecg"):
        (folder / name).rename(archive / name)
        for row in _rows(archive / name / "labels.csv"):
            people.setdefault(row["patient"], row).update({key: row[key] for key in ("diagnosis",) if key in row})
        (archive / name / "labels.csv").unlink()
    for name in ("xray", "ecg"):
        for row in _rows(folder / "reports" / name / "reports.csv"):
            findings = row["findings"] or row.get("befund", ""), row["impression"] or row.get("beurteilung", "")
            reports.append([f"{name}/{row['record']}", *findings])
    columns = ["patient", "diagnosis", "lesion", "age"]
    _write(folder / "labels.csv", columns, [[row[name] for name in columns] for row in people.values()])
    _write(folder / "reports.csv", ["record", "findings", "impression"], reports)
    _write_values(archive)
    return scanned(folder)


def scanned(folder: Path) -> Path:
    """The manifest of the archive, as `medcl scan` writes it."""
    sections = {"FINDINGS": "findings", "IMPRESSION": "impression"}
    build_manifest(
        ScanRequest(
            folder=folder / "archive",
            output=folder / "all.parquet",
            labels=folder / "labels.csv",
            patient_column="patient",
            target_columns=("diagnosis", "lesion", "age:regression"),
            modality="mr",
            id_pattern=r"(?P<patient>P\d+)/",
            reports=(ReportRule(table=str(folder / "reports.csv"), sections=sections, key="record"),),
            fractions=(8, 3, 3),
            jobs=1,
        )
    )
    return folder / "all.parquet"


def _write_values(archive: Path) -> None:
    """Laboratory values of the patients, in six hours, around values of their own."""
    rng = np.random.default_rng(0)
    names = [f"value{number}" for number in range(VALUES)]
    rows = [
        [f"P{one + 1:04d}", hour, *(f"{value:.2f}" for value in rng.normal(level, 0.3))]
        for one, level in enumerate(rng.normal(5, 1, (PATIENTS, VALUES)))
        for hour in range(6)
    ]
    _write(archive / "laboratory.csv", ["pid", "hours", *names], rows)
    about = {"medcl": {"patient": "pid", "time": "hours"}, **{name: {"Units": "mmol/l"} for name in names}}
    (archive / "laboratory.json").write_text(json.dumps(about), encoding="utf-8")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, columns: list[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
