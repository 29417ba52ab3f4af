"""ROSMAP's three tables on MOGONET's published split: M3CoL beside simple models, paired by seed.

`python -m tests.evaluate.rosmap FOLDER 10` prints the rows of docs/results.md.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import yaml
from scipy.stats import t
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score

import medcl
from medcl.archive.manifest import Manifest
from medcl.evaluate.config import EvaluateConfig
from medcl.evaluate.finetune import finetune
from tests.evaluate.omics import write_tables
from tests.pretrain.shipped import PIPELINES

NAMES = ("mrna", "methylation", "mirna")
METRICS = ("accuracy", "auroc")
STEPS = 60


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
    found = accuracy_score(truth, decided), roc_auc_score(truth, probability)
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
    """M3CoL's recipe with 60 steps and a weight of its contrast."""
    recipe: dict[str, Any] = yaml.safe_load((PIPELINES / "m3col_omics.yaml").read_text())
    recipe["objectives"]["classes"]["target"] = "y"
    for name in ("mixed", "soft"):
        recipe["objectives"][name]["weight"] = weight
    recipe["optimiser"]["steps"] = STEPS
    recipe |= {"seed": seed, "hardware": {"accelerator": "cpu"}}
    return Path(medcl.pretrain(recipe, manifest, folder))


def probed(manifest: Path, run: Path, out: Path, seed: int) -> dict[str, float]:
    """A linear probe of all inputs, with all labels, on the test people."""
    config = EvaluateConfig(
        "y", inputs=list(NAMES), labels=["100%"], protocols=["probe"], baselines=["none"], scratch=False, repeats=1,
        seed=seed, bootstrap=1, jobs=1,
    )  # fmt: skip
    results = finetune([run], Manifest.read(manifest), config, manifest.with_suffix(".store"), out)
    (score,) = results.scores
    return {name: score.metrics[name] for name in METRICS}


def of_seed(folder: Path, seed: int, root: Path) -> dict[str, dict[str, float]]:
    """Every model by name; the tables are scanned once, and divided by each seed."""
    tables, y, names, n_train = read(folder)
    if not (root / "tables").exists():
        write_tables(root / "tables", tables, y, split_of(len(y), n_train, 0), names)
    every, split = Manifest.read(root / "tables" / "manifest.parquet"), split_of(len(y), n_train, seed)
    # Nobody lacks a table: the rows of each file are the people in their order.
    manifest = root / "tables" / f"seed{seed}.parquet"
    own = [str(split[part]) for part in every.column("part")]
    every.with_column("split", pa.array(own, pa.string())).write(manifest)
    found = simple(tables, y, split, seed)
    for title, weight in (("M3CoL", 0.1), ("the same without contrast", 0.0)):
        run = trained(manifest, root / f"run{seed}-{weight}", seed, weight)
        found[title] = probed(manifest, run, root / f"out{seed}-{weight}", seed)
    return found


def table(rows: list[dict[str, dict[str, float]]]) -> list[str]:
    """Means over the seeds with t intervals, and the paired difference of M3CoL and of what it is without contrast."""
    half = float(t.ppf(0.975, len(rows) - 1)) / np.sqrt(len(rows))

    def cell(values: Any) -> str:
        mean, wide = values.mean(), half * values.std(ddof=1)
        return f"{mean:.3f} [{mean - wide:.3f}, {mean + wide:.3f}]"

    values = {name: np.array([[row[name][one] for one in METRICS] for row in rows]) for name in rows[0]}
    values["paired difference by contrast"] = values["M3CoL"] - values["the same without contrast"]
    return [f"| {name} | {' | '.join(cell(column) for column in own.T)} |" for name, own in values.items()]


def main(folder: Path, seeds: int) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root:
        rows = [of_seed(folder, seed, Path(root)) for seed in range(seeds)]
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
