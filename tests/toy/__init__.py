"""Recipes of reports on images of shapes, where all is known: `python -m tests.toy clip gloria_cells` prints a table.

Every arm is a shipped recipe, made small by one rule for all, with changes of its own (`ARMS`). It trains for the same
steps on the same patients with each of several seeds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medcl import runs
from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.archive.report_read import ReportRule
from medcl.documents import merge
from medcl.embed.encoders import config_of, device, embed_records, prepared, samples_in
from medcl.evaluate.config import MultimodalEvaluateConfig
from medcl.evaluate.multimodal_evaluation import evaluate_multimodal
from medcl.evaluate.multimodal_space import MultimodalRun, only, require_multimodal
from medcl.evaluate.text_evaluation import reads_reports_alone
from medcl.phantom.shapes import KINDS, PLACE, REPORTS, SITES, write_shapes
from medcl.pretrain.objectives import objective_class
from medcl.pretrain.reading import read
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.run import pretrain
from medcl.stats.grounding import METRICS as GROUNDING
from medcl.stats.ranking import Floats
from tests.pretrain import shipped

STEPS, PATIENTS, BATCH = 120, 240, 40
IMAGE: dict[str, Any] = {
    "modality": "image",
    "data": {"size": [32, 32], "colour": False},
    "encoder": {"name": "resnet", "dims": 2, "dim": 64, "widths": [8, 16, 32, 32], "norm": "group"},
    "views": {"brightness": 0.05},
}
REPORT = {"dim": 64, "hidden": 64, "depth": 1, "dropout": 0.0, "vocabulary": 400, "patients": 1}


@dataclass(frozen=True)
class Arm:
    """A way to train.

    Args:
        recipe: name of a shipped one.
        changes: merged into it at last, nested.
        beside: the arm that it is compared with.
    """

    recipe: str = "image_report_convirt"
    changes: Mapping[str, Any] = field(default_factory=dict)
    beside: str = "clip"


START = "image_simclr"
"""The recipe whose run others begin with: it is trained first, with as many steps."""
CELLS: dict[str, Any] = {"inputs": {"image": {"encoder": {"name": "unet", "stride": 8}}}}
LATENT: dict[str, Any] = {"inputs": {"report": {"encoder": {"pooling": "latent"}}}}
OVERLAP = "overlap:" + "/".join(KINDS)
MAXIMUM = merge(CELLS, {"inputs": {"image": {"encoder": {"pooling": "max"}}}})
ARMS: dict[str, Arm] = {
    "clip": Arm(),
    # CLIP with the temperature that most other recipes have.
    "clip_sharp": Arm(changes={"objectives": {"global": {"temperature": 0.07}}}),
    "clip_latent": Arm(changes=LATENT),
    # Its reports have too few different words for more directions.
    "image_report_cwcl": Arm("image_report_cwcl", {"inputs": {"report": {"encoder": {"dim": 16}}}}),
    "meru": Arm(changes={"objectives": {"global": {"kind": "meru", "settings": {}}}}),
    # Those that say where, beside CLIP with the same cells: 4 x 4 of an image.
    "clip_cells": Arm(changes=CELLS, beside="clip_cells"),
    "clippy_cells": Arm(changes=MAXIMUM, beside="clip_cells"),
    "gloria_cells": Arm("gloria", CELLS, beside="clip_cells"),
    "sparc_cells": Arm("sparc", CELLS, beside="clip_cells"),
    "goal_cells": Arm("goal", CELLS, beside="clip_cells"),
    "coca_cells": Arm("coca", CELLS, beside="clip_cells"),
    "fdt_cells": Arm("fdt", CELLS, beside="clip_cells"),
    # Of reports alone, by the labels that they share: by their order, and as weights.
    "cosent": Arm("cosent", {"objectives": {"grades": {"positives": OVERLAP}}}, beside="report_simclr"),
    "overlap": Arm(
        "report_simclr", {"objectives": {"views": {"positives": OVERLAP, "exclude": []}}}, beside="report_simclr"
    ),
    # Tokens attend to learned latents before they are averaged.
    "latent": Arm("report_simclr", LATENT, beside="report_simclr"),
}
"""Name of a row -> what is trained; the name of a shipped recipe stands for itself, see `arm_of`."""
BESIDE_CLIP = (
    *("clip", "clip_sharp", "lit", "cwcl", "siglip", "cloob", "clip_without_gap", "diht", "msd", "clip_rocket"),
    *("image_report_cwcl", "ce_clip", "degla", "one_to_k", "meru", "clip_latent"),
    *("clip_cells", "clippy_cells", "gloria_cells", "sparc_cells", "goal_cells", "coca_cells", "fdt_cells"),
)
"""All that have a meaning for images with reports and nothing else."""


def arm_of(name: str) -> Arm:
    """The arm of a row's name."""
    return ARMS.get(name) or Arm(name)


@dataclass(frozen=True)
class Toy:
    """Images of shapes with reports on disk, scanned and split.

    Args:
        folder: `archive/` and the manifest.
        manifest: of images and reports; targets are the findings, and the site where there are sites.
    """

    folder: Path
    manifest: Manifest

    @property
    def store(self) -> Path:
        """Of prepared records, shared by all runs."""
        return self.folder / "store"


def written(folder: Path, patients: int = PATIENTS, *, seed: int = 0, sites: bool = False, test: float = 0.3) -> Toy:
    """Write patients and scan them as a user would; a share of them is tested on."""
    write_shapes(folder / "archive", patients, seed, sites=SITES if sites else ())
    table = folder / "archive" / PLACE / "labels.csv"
    build_manifest(
        ScanRequest(
            folder=folder / "archive" / PLACE,
            output=folder / "toy.parquet",
            modality="xray",
            labels=table,
            record_column="record",
            patient_column="patient",
            target_columns=(*KINDS, *(("site",) if sites else ())),
            reports=(
                ReportRule(
                    table=str(folder / "archive" / REPORTS / "reports.csv"),
                    sections={"FINDINGS": "findings"},
                    key="record",
                ),
            ),
            fractions=(1 - test, 0.0, test),
            jobs=1,
        )
    )
    return Toy(folder, Manifest.read(folder / "toy.parquet"))


def recipe(arm: Arm, steps: int = STEPS, seed: int = 0) -> Recipe:
    """A shipped recipe with the networks of this archive, all of the same size."""
    found = shipped.content(arm.recipe)
    for name, value in found["inputs"].items():
        kind = value.get("modality", name)
        if kind == "report":
            data = {**value.get("data", {}), "length": 64}
            encoder = {**value.get("encoder", {}), **REPORT}
            found["inputs"][name] = {**value, "data": data, "encoder": encoder}
        else:
            kept = {one: value[one] for one in ("init", "locked", "more_views") if one in value}
            found["inputs"][name] = {**IMAGE, **kept}
            found["inputs"][name]["encoder"] = {**IMAGE["encoder"], **_kept(value["encoder"])}
            if len(found["inputs"]) == 1 or value.get("locked"):
                # Views are all that images alone learn from, and what is locked is embedded once.
                found["inputs"][name]["views"] = value.get("views", {})
    for value in found["objectives"].values():
        head = value.get("head", {})
        if isinstance(head, dict) and hasattr(objective_class(value.get("kind", "contrast")).Config(), "head"):
            value["head"] = {**head, "hidden": 0, "dim": 64 if head.get("dim", 64) else 0, "dropout": 0.0}
    found["stages"] = [{**stage, "steps": steps} for stage in found.get("stages", ())]
    found["batch"] = {**found.get("batch", {}), "patients": BATCH}
    found["optimiser"] = {"steps": steps, "learning_rate": 3e-3, "warmup": 0.1, "average": "none"}
    found["hardware"] = {"accelerator": "cpu"}
    return read(merge(merge(found, {"seed": seed}), dict(arm.changes)))


def _kept(encoder: Mapping[str, Any]) -> dict[str, Any]:
    """What of a recipe's network is part of its method."""
    return {name: encoder[name] for name in ("pooling",) if name in encoder}


def trained(toy: Toy, arm: Arm, folder: Path, *, steps: int = STEPS, seed: int = 0) -> Path:
    """A finished run; what it begins with is trained first, with as many steps and the same seed."""
    if any("init" in one for one in shipped.content(arm.recipe)["inputs"].values()):
        start = folder.with_name(f"{START}-{seed}-{steps}")
        if not start.exists():
            trained(toy, Arm(START), start, steps=steps, seed=seed)
        arm = replace(arm, changes=merge({"inputs": {"image": {"init": str(start)}}}, arm.changes))
    pretrain(recipe(arm, steps, seed), toy.manifest, toy.store, folder)
    return folder


def measured(toy: Toy, folder: Path) -> dict[str, float]:
    """What a run of images and reports, or of reports alone, can do on patients that it has not seen.

    Returns:
        Of reports alone, nDCG@10 of the rest of a report by one of its sentences, and Spearman's correlation of cosines
        with the overlap of labels. Of images and reports, recall@1 both ways (reports of equal words are one), accuracy
        on reports with one word exchanged by kind, of images with several cells how well maps of phrases show the boxes
        of the findings, and the mean balanced accuracy of linear probes of the findings on embeddings of images; with
        sites, that of the site.
    """
    if reads_reports_alone(runs.load(folder).config):
        texts = evaluate_multimodal(
            [folder], toy.manifest, MultimodalEvaluateConfig(bootstrap=20), toy.store, folder / "eval"
        )
        wanted = {"ndcg@10": "sentence to rest, nDCG@10", "spearman": "labels, Spearman"}
        rows = [row for row in texts.summary if row.metric in wanted and row.arm == "pretrained"]
        return {wanted[row.metric]: row.mean for row in rows}
    boxes = toy.folder / "archive" / PLACE / "boxes.csv"
    config = MultimodalEvaluateConfig(
        bootstrap=20, images=0, jobs=1, swaps=True, boxes=boxes if _has_cells(folder) else None
    )
    results = evaluate_multimodal([folder], toy.manifest, config, toy.store, folder / "eval")
    found: dict[str, float] = {}
    for row in results.summary:
        protocol, opposite = row.protocol, "image to report or its opposite: "
        if row.arm == "chance":
            continue
        if protocol.startswith(("image to report: ", "report to image: ")) and row.metric == "recall@1":
            found[protocol.partition(":")[0]] = row.mean
        elif protocol.startswith(opposite) and row.metric == "accuracy":
            found[protocol.removeprefix(opposite)] = row.mean
        elif row.metric in GROUNDING:
            found[row.metric] = row.mean
    run = require_multimodal(runs.load(folder))
    found["probe"] = float(np.mean([probed(toy, run, kind) for kind in KINDS]))
    if "site" in toy.manifest.targets:
        found["site"] = probed(toy, run, "site")
    return found


def _has_cells(folder: Path) -> bool:
    """Whether an image has more than one cell."""
    image: Any = require_multimodal(runs.load(folder)).encoder.side("image")
    return bool(np.prod(image.grid(IMAGE["data"]["size"])) > 1)


def probed(toy: Toy, run: MultimodalRun, target: str) -> float:
    """Balanced accuracy of a linear probe of a target on embeddings of images, fit on the training patients."""
    z, split, labels = _embedded(toy, run.folder, target)
    train = split == "train"
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300, class_weight="balanced"))
    said = probe.fit(z[train], labels[train]).predict(z[~train])
    true = labels[~train]
    return float(np.mean([(said[true == one] == one).mean() for one in np.unique(true)]))


@cache
def _images(store: Path, path: Path, folder: Path) -> tuple[Floats, Manifest]:
    manifest = Manifest.read(path)
    images = manifest.of_kind("image")
    run = only(require_multimodal(runs.load(folder)), "image")
    config = config_of(run.card)
    parts = samples_in(prepared(images, config, store, 1), images, config)
    z = embed_records(run.encoder.to(device()), parts, np.arange(len(images)), device(), title="images")
    return np.asarray(z), images


def _embedded(toy: Toy, folder: Path, target: str) -> tuple[Floats, Any, Any]:
    z, images = _images(toy.store, toy.folder / "toy.parquet", folder)
    return z, np.asarray(images.column("split")), np.asarray(images.labels(target))
