"""Windows that are near in time share a hidden state: the recipe finds the states without being told of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import medcl
from medcl import runs
from medcl.documents import find, merge, read_yaml
from medcl.modality import wing
from medcl.pretrain.reading import read

pytestmark = pytest.mark.acceptance

Values = NDArray[np.float32]
RATE, WINDOW, STATES = 40, 2.5, 4
STEPS = 300


def recordings(patients: int, seed: int, seconds: int = 150) -> tuple[Values, dict[str, Any], NDArray[np.int64]]:
    """Windows (N, 2, 100) of patients who go from state to state, 20 s in each on average, as in TNC's simulation.

    A state is a weak rhythm that is in step in both channels. Each window has a stronger one of any frequency that is
    not, as an artefact of that moment.
    """
    rng = np.random.default_rng(seed)
    length, x, ids, states = round(WINDOW * RATE), [], [], []
    time = np.arange(length) / RATE
    for patient in range(patients):
        state = int(rng.integers(STATES))
        for second in range(0, seconds, 2):
            if rng.random() < 2 / 20:
                state = int((state + rng.integers(1, STATES)) % STATES)
            wave = np.sin(2 * np.pi * ((3.0, 5.0, 7.5, 11.0)[state] * time + rng.random()))
            artefact = [np.sin(2 * np.pi * (rng.uniform(2, 14) * time + rng.random())) for _ in range(2)]
            x.append(wave + 1.5 * np.stack(artefact) + 0.7 * rng.standard_normal((2, length)))
            ids.append((patient, patient, second))
            states.append(state)
    own = dict(zip(("patient", "trial", "position"), np.array(ids).T, strict=True))
    return np.stack(x).astype(np.float32), own, np.array(states)


def told(embed: Any, train: Any, test: Any, patients: int = 4) -> float:
    """Accuracy of a linear probe of the states, by the labels of a few patients, on others."""
    few = train[1]["patient"] < patients
    with torch.inference_mode():
        z, new = (embed(torch.from_numpy(x)).numpy() for x in (train[0][few], test[0]))
    scaler = StandardScaler().fit(z)
    probe = LogisticRegression(C=0.1, max_iter=2000).fit(scaler.transform(z), train[2][few])
    return float(probe.score(scaler.transform(new), test[2]))


def test_neighbours_in_time_show_hidden_states(tmp_path: Path) -> None:
    found: dict[str, list[float]] = {"neighbours": [], "own": [], "random": []}
    shipped = read_yaml(find("recipe", "temporal_neighbourhoods"), "recipe")
    small = {"dim": 32, "hidden": 16, "depth": 3}
    for seed in range(3):
        train, test = recordings(24, seed), recordings(12, 100 + seed)
        given = {"x": train[0], "ids": train[1], "sampling_rate": RATE, "channels": ["Fz", "Cz"]}
        for name, time in (("neighbours", {}), ("own", {"positives": "item", "bandwidth": 0.0})):
            changes = {
                "inputs": {"signal": {"encoder": small}},
                "objectives": {"time": time},
                "optimiser": {"steps": STEPS},
                "hardware": {"accelerator": "cpu"},
                "seed": seed,
            }
            folder = tmp_path / f"{name}{seed}"
            medcl.pretrain(read(merge(shipped, changes)), samples={"signal": given}, output=folder)
            loaded = runs.load(folder)
            found[name].append(told(loaded.encoder.embed, train, test))
        torch.manual_seed(seed)
        found["random"].append(told(wing("signal").encoder(loaded.card).eval().embed, train, test))
    print(found)
    neighbours, own, untrained = (float(np.mean(found[name])) for name in found)
    assert neighbours >= untrained + 0.3, found
    assert neighbours >= own + 0.03, found
