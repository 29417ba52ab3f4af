"""CLOCS and 3KG tell synthetic patients apart."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import medcl
from medcl import runs
from medcl.documents import find, merge, read_yaml
from medcl.modality.signal.channels import canonical
from medcl.phantom.ecg import LEADS, draw_patient, revisit, simulate
from medcl.pretrain.reading import read

pytestmark = pytest.mark.acceptance

RATE = 100
Windows = NDArray[np.float32]


def recordings(patients: int, seed: int, seconds: float, visits: int = 2) -> tuple[Windows, dict[str, Any]]:
    """Windows (N, 12, T) in mV of patients who are recorded for 15 s at each visit, with their ids."""
    rng, found, ids = np.random.default_rng(seed), list[Windows](), list[tuple[int, int, int]]()
    length = round(seconds * RATE)
    for patient in range(patients):
        person = draw_patient("normal", rng)
        for visit in range(visits):
            x = simulate(person if visit == 0 else revisit(person, rng), 15, RATE, rng)
            own = [x[:, first : first + length] for first in range(0, x.shape[1] - length + 1, length)]
            found += own
            ids += [(patient, visits * patient + visit, visit)] * len(own)
    patient, trial, visit = np.array(ids).T
    return np.stack(found), {"patient": patient, "trial": trial, "visit": visit}


def standardised(x: Windows) -> Windows:
    """Each lead of each window; one that has failed is 0."""
    spread = x.std(axis=2, keepdims=True)
    return (x - x.mean(axis=2, keepdims=True)) / np.where(spread > 0, spread, np.inf)


def trained(name: str, x: Windows, ids: dict[str, Any], folder: Path, **changes: Any) -> Callable[[Windows], Windows]:
    """A shipped recipe, made small, on windows in memory: what embeds other windows."""
    given = {"x": x, "ids": ids, "sampling_rate": RATE, "channels": list(map(canonical, LEADS))}
    recipe = read(merge(read_yaml(find("recipe", name), "recipe"), changes))
    medcl.pretrain(recipe, samples={"signal": given}, output=folder)
    encoder = runs.load(folder).encoder

    def embed(new: Windows) -> Windows:
        with torch.inference_mode():
            z: Windows = encoder.embed(torch.from_numpy(new.astype(np.float32))).numpy()
        return z

    return embed


def same_patient(z: Windows, ids: dict[str, Any]) -> float:
    """How often the nearest other window is of the same patient."""
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    near = unit @ unit.T
    np.fill_diagonal(near, -np.inf)
    return float((ids["patient"][near.argmax(axis=1)] == ids["patient"]).mean())


def losses(folder: Path) -> NDArray[np.float64]:
    with (folder / "metrics.csv").open() as file:
        return np.array([float(row["total"]) for row in csv.DictReader(file)])


CLOCS = {
    "inputs": {"signal": {"encoder": {"dim": 64, "hidden": 16, "depth": 3}}},
    "batch": {"patients": 16, "samples": 2},
    "optimiser": {"steps": 300, "learning_rate": 2e-3},
}


def test_clocs_knows_its_patients_again(tmp_path: Path) -> None:
    """Of 20 patients who were trained on, windows that were not: the nearest of 0.9 of them is of the same patient."""
    x, ids = recordings(20, 0, 2.5)
    x, early = standardised(x), np.arange(len(x)) % 6 < 4
    embed = trained("clocs", x[early], {name: one[early] for name, one in ids.items()}, tmp_path, **CLOCS)
    found = same_patient(embed(x[~early]), {name: one[~early] for name, one in ids.items()})
    print(f"CLOCS: {found:.2f}")
    assert found >= 0.9


def test_clocs_learns_nothing_of_ids_at_random(tmp_path: Path) -> None:
    """Where patients are drawn at random, the loss stays at the logarithm of the batch."""
    x, ids = recordings(60, 1, 2.5, visits=1)
    found = {}
    for name in ("true", "drawn"):
        patient = ids["patient"] if name == "true" else np.random.default_rng(0).permutation(ids["patient"])
        changes = merge(CLOCS, {"objectives": {"patient": {"settings": {"diagonal": False}}}})
        changes["optimiser"]["steps"] = 60
        trained("clocs", standardised(x), {"patient": patient, "trial": patient}, tmp_path / name, **changes)
        found[name] = losses(tmp_path / name)[-10:].mean() / np.log(32)
    print(f"loss beside the logarithm of the batch: {found}")
    assert found["true"] < 0.8
    assert found["drawn"] > 0.9


def test_3kg_tells_new_patients_apart(tmp_path: Path) -> None:
    x, ids = recordings(40, 2, 5.0)
    new, theirs = recordings(20, 3, 5.0)
    small = {
        "inputs": {"signal": {"encoder": {"dim": 32, "hidden": 16}}},
        "batch": {"patients": 16, "samples": 2},
        "optimiser": {"steps": 100, "learning_rate": 3e-3},
    }
    embed = trained("ecg_3kg", x, ids, tmp_path / "trained", **small)
    untrained = trained("ecg_3kg", x, ids, tmp_path / "not", **merge(small, {"optimiser": {"steps": 1}}))
    before, after = (same_patient(one(new), theirs) for one in (untrained, embed))
    print(f"3KG: {before:.2f} untrained, {after:.2f} trained")
    assert 1 - after < 0.8 * (1 - before)
