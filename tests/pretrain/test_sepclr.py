"""SepCLR separates what only patients have, here a mark, from what they share with controls, the background."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

import medcl
from medcl import runs
from medcl.networks.encoder import pool

SIZE, MARKS = 12, 4


def images(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Stripes along one of two axes, in patients with a bright square in one corner of four: x, background, corner."""
    rng = np.random.default_rng(seed)
    background, corner = rng.integers(0, 2, count), rng.integers(0, MARKS, count)
    patient = np.arange(count) % 2 == 1
    wave = np.sin(np.arange(SIZE) * np.pi / 2 + rng.uniform(0, 2 * np.pi, count)[:, None])
    x = np.where(background[:, None, None] == 1, wave[:, :, None], wave[:, None, :]) + np.zeros((1, SIZE, SIZE))
    x = x + 0.2 * rng.standard_normal(x.shape)
    for row in np.flatnonzero(patient):
        top, left = (slice(1, 5) if one else slice(7, 11) for one in divmod(int(corner[row]), 2))
        x[row, top, left] += 2.0
    return x[:, None].astype(np.float32), background, np.where(patient, corner, -1)


@pytest.mark.acceptance
def test_the_salient_encoder_tells_the_mark_and_not_the_background(tmp_path: Path) -> None:
    x, _, corner = images(400, 0)
    encoder = {"name": "resnet", "dims": 2, "dim": 32, "widths": [8, 16, 16, 32]}
    recipe: dict[str, Any] = {
        "inputs": {
            "common": {
                "modality": "image",
                "data": {"size": [SIZE, SIZE]},
                "views": {"noise": 0.2},
                "encoder": encoder,
            },
            "salient": {"modality": "image", "like": "common", "encoder": encoder},
        },
        "objectives": {
            "separate": {
                "kind": "sepclr",
                "common": "common",
                "salient": "salient",
                "background": "mark=no",
                "head": {"hidden": 32, "dim": 16},
            }
        },
        "batch": {"patients": 64, "samples": 1},
        "optimiser": {"steps": 300, "learning_rate": 0.003},
        "hardware": {"accelerator": "cpu"},
    }
    samples = {"x": x, "ids": {"mark": np.where(corner < 0, "no", "yes")}}
    medcl.pretrain(recipe, samples={"common": samples}, output=tmp_path / "run")
    joint = runs.load(tmp_path / "run").encoder
    told: dict[str, dict[str, float]] = {}
    (x1, back1, mark1), (x2, back2, mark2) = images(400, 1), images(400, 2)
    for side in ("common", "salient"):
        one = joint.side(side)
        with torch.no_grad():
            z1, z2 = (pool(one, one(torch.from_numpy(given)), torch.from_numpy(given)).numpy() for given in (x1, x2))
        probe = LogisticRegression(C=1.0, max_iter=2000)
        patients = mark1 >= 0, mark2 >= 0
        told[side] = {
            "mark": probe.fit(z1[patients[0]], mark1[patients[0]]).score(z2[patients[1]], mark2[patients[1]]),
            "background": probe.fit(z1, back1).score(z2, back2),
        }
    assert told["salient"]["mark"] >= 0.9, told
    assert told["common"]["background"] >= 0.9, told
    # Chance is 0.25: after so few steps the common encoder still tells some of it.
    assert told["common"]["mark"] <= 0.75, told
