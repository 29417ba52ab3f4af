"""ROSMAP's three tables on MOGONET's published split: M3CoL beside simple models, paired by seed.

`python -m tests.evaluate.rosmap FOLDER SEEDS` prints a row a seed, then means and intervals of docs/results.md.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

import medcl
from medcl.archive.manifest import Manifest
from medcl.evaluate.config import EvaluateConfig, FinetuneConfig
from medcl.evaluate.finetune import finetune
from tests.evaluate.omics import write_tables
from tests.pretrain.shipped import PIPELINES

NAMES = ("mrna", "methylation", "mirna")
METRICS = ("accuracy", "f1", "auroc")


def read(folder: Path) -> tuple[dict[str, Any], Any, dict[str, list[str]], int]:
    """Tables (people, 200) each, labels, names of the variables, and how many people are of the published training."""
    parts = {}
    names = {}
    for number, name in enumerate(NAMES, start=1):
        parts[name] = np.concatenate(
            [np.loadtxt(folder / f"{number}_{part}.csv", delimiter=",") for part in ("tr", "te")]
        )
        names[name] = (folder / f"{number}_featname.csv").read_text().split()
    labels = [np.loadtxt(folder / f"labels_{part}.csv") for part in ("tr", "te")]
    return parts, np.concatenate(labels).astype(int), names, len(labels[0])


def split_of(n: int, n_train: int, seed: int) -> Any:
    """The published test split; a fifth of the others, drawn by the seed, chooses models."""
    split = np.where(np.arange(n) < n_train, "train", "test").astype(object)
    split[np.random.default_rng(seed).permutation(n_train)[: n_train // 5]] = "val"
    return split


def measured(truth: Any, probability: Any) -> dict[str, float]:
    decided = probability > 0.5
    found = accuracy_score(truth, decided), f1_score(truth, decided), roc_auc_score(truth, probability)
    return dict(zip(METRICS, map(float, found), strict=True))


def simple(tables: dict[str, Any], y: Any, split: Any, seed: int) -> dict[str, dict[str, float]]:
    """Logistic regression and a random forest of all columns side by side."""
    x = np.concatenate(list(tables.values()), axis=1)
    train, val, test = (split == name for name in ("train", "val", "test"))
    mean, scale = x[train].mean(0), x[train].std(0) + 1e-9
    z = (x - mean) / scale

    def regression(penalty: float) -> Any:
        return LogisticRegression(C=penalty, max_iter=2000).fit(z[train], y[train])

    models = [regression(penalty) for penalty in (1e-3, 1e-2, 1e-1, 1.0)]
    best = max(models, key=lambda one: roc_auc_score(y[val], one.predict_proba(z[val])[:, 1]))
    forest = RandomForestClassifier(500, random_state=seed, n_jobs=1).fit(x[train], y[train])
    return {
        "logistic regression": measured(y[test], best.predict_proba(z[test])[:, 1]),
        "random forest": measured(y[test], forest.predict_proba(x[test])[:, 1]),
    }


def trained(manifest: Path, folder: Path, seed: int, weight: float) -> Path:
    """M3CoL's recipe with a weight of its contrast."""
    recipe: dict[str, Any] = yaml.safe_load((PIPELINES / "m3col_omics.yaml").read_text())
    recipe["objectives"]["classes"]["target"] = "y"
    for name in ("mixed", "soft"):
        recipe["objectives"][name]["weight"] = weight
    recipe |= {"seed": seed, "hardware": {"accelerator": "cpu"}}
    return Path(medcl.pretrain(recipe, manifest, folder))


def probed(manifest: Path, run: Path, out: Path, seed: int, *protocols: str, scratch: bool = False) -> dict[Any, Any]:
    """Of the arms of an experiment on all inputs the metrics on the test people."""
    config = EvaluateConfig(
        "y", inputs=list(NAMES), labels=["100%"], protocols=list(protocols), baselines=["none"], repeats=1, seed=seed,  # type: ignore[arg-type]
        bootstrap=1, jobs=1, scratch=scratch, finetune=FinetuneConfig(steps=400, batch=32),
    )  # fmt: skip
    results = finetune([run], Manifest.read(manifest), config, manifest.with_suffix(".store"), out)
    return {(one.protocol, one.arm): one.metrics for one in results.scores}


def of_seed(folder: Path, seed: int, root: Path) -> dict[str, dict[str, float]]:
    """Every model by name."""
    tables, y, names, n_train = read(folder)
    split = split_of(len(y), n_train, seed)
    found = simple(tables, y, split, seed)
    manifest = write_tables(root / f"{seed}", tables, y, split, names)
    for title, weight in (("M3CoL, probe of all", 0.1), ("without contrast, probe of all", 0.0)):
        run = trained(manifest, root / f"run{seed}-{weight}", seed, weight)
        arms = probed(manifest, run, root / f"out{seed}-{weight}", seed, "probe")
        found[title] = {
            name: arms["probe", "pretrained"][name] for name in METRICS if name in arms["probe", "pretrained"]
        }
    return found


def main(folder: Path, seeds: int) -> None:
    torch.set_num_threads(1)
    every: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as root:
        for seed in range(seeds):
            for name, one in of_seed(folder, seed, Path(root)).items():
                every.setdefault(name, []).append(one)
                print(seed, name, {key: round(value, 3) for key, value in one.items()}, flush=True)
    for name, own in every.items():
        cells = []
        for metric in own[0]:
            values = np.array([one[metric] for one in own])
            half = 2.262 * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
            cells.append(f"{values.mean():.3f} [{values.mean() - half:.3f}, {values.mean() + half:.3f}]")
        print("|", name, "|", " | ".join(cells), "|")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
