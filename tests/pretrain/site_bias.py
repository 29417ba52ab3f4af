"""A planted site bias: one hospital sends the diseased, another the healthy, and each has a recorder of its own.

`python -m tests.pretrain.site_bias` prints the table of the documentation.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import medcl
from medcl import runs
from medcl.explore.confounders import confounders
from medcl.explore.page import Categories
from medcl.networks.encoder import pool
from medcl.phantom.ecg import draw_patient, simulate
from medcl.phantom.site import SITES, record

RATE, SECONDS = 50.0, 4.0
RANDOM = "random weights"
DISEASES = "normal", "bundle_branch_block"
ARMS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "within the site": {"objectives": {"views": {"within": "site"}}},
    "adversary": {"objectives": {"site": {"kind": "adversary", "of": "signal", "nuisance": "site"}}},
}


@dataclass(frozen=True)
class Cohort:
    """Patients with one recording each.

    Args:
        x: (N, 12, time) mV.
        disease: (N,) 0 or 1.
        site: (N,) 0 or 1.
    """

    x: NDArray[np.float32]
    disease: NDArray[np.int64]
    site: NDArray[np.int64]


@cache
def cohort(count: int, agreement: float, seed: int) -> Cohort:
    """Draw patients, so large a share of whom goes to the site that their disease is sent to."""
    rng = np.random.default_rng(seed)
    disease = rng.integers(0, 2, count)
    site = np.where(rng.random(count) < agreement, disease, 1 - disease)
    x = [
        record(simulate(draw_patient(DISEASES[one], rng), SECONDS, RATE, rng), RATE, SITES[place], rng)
        for one, place in zip(disease, site, strict=True)
    ]
    return Cohort(np.stack(x), disease, site)


def recipe(arm: Mapping[str, Any], steps: int, seed: int) -> dict[str, Any]:
    """`signal_simclr`, small, with what an arm changes."""
    encoder = {"name": "resnet", "dim": 32, "hidden": 16, "depth": 3, "stride": 8}
    views = {"mask": "continuous", "jitter": 0.05, "scale": 0.1}
    objectives: dict[str, Any] = {"views": {"of": "signal", "temperature": 0.2, "head": {"hidden": 32, "dim": 32}}}
    for name, one in arm.get("objectives", {}).items():
        objectives[name] = {**objectives.get(name, {}), **one}
    # In memory a site is a level; in an archive it is a column of labels, `label:site`.
    return {
        "inputs": {"signal": {"views": views, "encoder": encoder}},
        "objectives": objectives,
        "batch": {"patients": 64, "samples": 1},
        "optimiser": {"steps": steps, "learning_rate": 0.003},
        "hardware": {"accelerator": "cpu"},
        "seed": seed,
    }


def embedded(folder: Path, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, dim) by a finished run."""
    encoder = runs.load(folder).encoder
    with torch.no_grad():
        given = torch.from_numpy(x)
        found: NDArray[np.float32] = pool(encoder, encoder(given), given).numpy()
    return found


def measured(arm: Mapping[str, Any], seed: int, *, steps: int = 150, count: int = 240) -> dict[str, float]:
    """Pretrain on biased patients, and read the site and the disease off the embeddings of others.

    Args:
        arm: what it changes of the recipe.
        seed: of patients and of pretraining.
        steps: of pretraining; 0 takes random weights.
        count: of patients to train on, and to test on.

    Returns:
        AUROC of the `site` and how likely chance does as well (`p`), on test patients whose disease does not depend on
        the site; of the `disease` by a probe with the biased labels of the training patients, and by a `fair` one of as
        many patients without the bias.
    """
    biased, test, fair = (cohort(count, share, 10 * seed + n) for n, share in enumerate((0.9, 0.5, 0.5)))
    with TemporaryDirectory() as place:
        samples = {"x": biased.x, "ids": {"site": biased.site}, "sampling_rate": RATE}
        made = recipe(arm, max(steps, 1), seed)
        if not steps:
            made["optimiser"]["learning_rate"] = 1e-12
        medcl.pretrain(made, samples={"signal": samples}, output=Path(place) / "run")
        z = [embedded(Path(place) / "run", one.x) for one in (biased, test, fair)]
    site = confounders(
        z[1], {"site": Categories(test.site, ("North", "South"))}, np.arange(count), seed=seed, permutations=99
    )[0]

    def disease(rows: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)).fit(rows, labels)
        return float(roc_auc_score(test.disease, probe.decision_function(z[1])))

    return {
        "site": site.score,
        "p": site.p,
        "disease": disease(z[0], biased.disease),
        "fair": disease(z[2], fair.disease),
    }


def main(arms: Sequence[str], seeds: int = 3) -> None:
    """Print the rows of some arms, or of all: mean over the seeds, the lowest and the highest."""
    for name in arms or (*ARMS, RANDOM):
        found = [measured(ARMS.get(name, {}), seed, steps=0 if name == RANDOM else 150) for seed in range(seeds)]
        told = {key: [one[key] for one in found] for key in found[0]}
        cells = (f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})" for values in told.values())
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
