"""ROSMAP's three tables on MOGONET's published split: M3CoL beside simple models, paired by seed.

`python -m tests.evaluate.rosmap FOLDER 10` prints the rows of docs/results.md.
"""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import yaml
from scipy.stats import t
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from torch import Tensor, nn

from medcl.pretrain.objectives.positives import places
from tests.pretrain.objectives.steps import Trained
from tests.pretrain.shipped import PIPELINES

NAMES = ("mrna", "methylation", "mirna")
METRICS = ("accuracy", "auroc")
STEPS = 100
WORD = places("diagnosis", ("0", "1"))


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


class Encoder(nn.Module):
    """200 values to 64, with dropout: as small as the recipe's, for as few people."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(dim=64)
        self.layers = nn.Sequential(nn.Linear(200, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 64))

    def forward(self, x: Tensor) -> Tensor:
        embedded: Tensor = self.layers(x)
        return embedded[:, None]

    def pool(self, dense: Tensor) -> Tensor:
        return dense[:, 0]


def m3col(tables: dict[str, Any], y: Any, split: Any, seed: int, weight: float) -> dict[str, float]:
    """The objectives of `m3col_omics` with a weight of its contrast; the classifier of all tables predicts."""
    recipe = yaml.safe_load((PIPELINES / "m3col_omics.yaml").read_text())["objectives"]
    recipe["classes"] |= {"classes": ["0", "1"]}
    torch.manual_seed(seed)
    model = Trained(recipe, {name: Encoder() for name in NAMES})
    train, test = (np.flatnonzero(split == name) for name in ("train", "test"))
    x = {}
    for name, values in tables.items():
        low, high = values[train].min(0), values[train].max(0)
        x[name] = torch.tensor((values - low) / np.maximum(high - low, 1e-9), dtype=torch.float32)
    truth, generator = torch.tensor(y), torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.01)
    for step in range(STEPS):
        rows = torch.tensor(train)[torch.randperm(len(train), generator=generator)[:32]]
        there = {name: torch.ones(len(rows), dtype=torch.bool) for name in NAMES}
        own = torch.arange(len(rows))
        ids = {"patient": own, "item": own, WORD: truth[rows]} | dict.fromkeys(NAMES, own)
        given = {"inputs": {name: one[rows] for name, one in x.items()}, "ids": ids, "present": there, "index": own}
        losses = model(given, generator)
        contrast = losses["mixed"] if step < 0.33 * STEPS else losses["soft"]
        optimiser.zero_grad()
        torch.autograd.backward(losses["classes.all"] + losses["classes.each"] + weight * contrast)
        optimiser.step()
    model.eval()
    with torch.no_grad():
        z = [model.encoders[name](x[name][test])[:, 0] for name in NAMES]
        logits = model.objectives["classes"].all(torch.cat([*z, torch.ones(len(test), 3)], dim=1))
    return measured(y[test], logits.softmax(1)[:, 1].numpy())


def of_seed(folder: Path, seed: int) -> dict[str, dict[str, float]]:
    """Every model by name."""
    tables, y, _, n_train = read(folder)
    split = split_of(len(y), n_train, seed)
    found = simple(tables, y, split, seed)
    for title, weight in (("M3CoL", 0.1), ("the same without contrast", 0.0)):
        found[title] = m3col(tables, y, split, seed, weight)
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
    print("\n".join(table([of_seed(folder, seed) for seed in range(seeds)])))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
