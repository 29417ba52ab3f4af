"""Attention over electrodes and a subject layer find what was heard where each subject mixes it in another way.

Eight synthetic subjects have 6 to 20 electrodes each, with errors of their positions, and mix four sources of smooth
noise by a matrix of their own. 32 new windows of each subject are told apart, by the subject's own matrix.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import medcl
from medcl import runs
from medcl.modality.signal.encoders.spatial import unit_square
from tests.pretrain import shipped

pytestmark = pytest.mark.benchmark
NAMES = [
    *("Fp1", "Fpz", "Fp2", "AF7", "AF3", "AFz", "AF4", "AF8", "F7", "F5", "F3", "F1", "Fz", "F2", "F4", "F6", "F8"),
    *("FT7", "FC5", "FC3", "FC1", "FCz", "FC2", "FC4", "FC6", "FT8", "T7", "C5", "C3", "C1", "Cz", "C2", "C4", "C6"),
    *("T8", "TP7", "CP5", "CP3", "CP1", "CPz", "CP2", "CP4", "CP6", "TP8", "P7", "P5", "P3", "P1", "Pz", "P2", "P4"),
    *("P6", "P8", "PO7", "PO3", "POz", "PO4", "PO8", "O1", "Oz", "O2"),
]
STIMULUS = ["s1", "s2", "s3", "s4"]
SUBJECTS, WINDOWS, LENGTH, NOISE = 8, 32, 96, 3.0
BOTH = {"spatial": 16, "subject_layer": True}


def windows(seed: int, part: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows (n, electrodes and sources, T) and the subject of each; parts are of the same subjects."""
    places = unit_square(NAMES)
    sources = np.array([[0.3, 0.6], [0.7, 0.6], [0.5, 0.3], [0.5, 0.75]])
    drawn, found = np.random.default_rng([seed, part, 7]), []
    for subject in range(SUBJECTS):
        rng = np.random.default_rng([seed, subject])
        own = rng.choice(len(NAMES), rng.integers(6, 21), replace=False)
        distance = (places[own] + rng.normal(0, 0.02, (len(own), 2)))[:, None] - sources
        mixed = np.exp(-(distance**2).sum(axis=2) / 0.0288) @ rng.normal(size=(4, 4)) / 2
        smooth = np.fft.rfft(drawn.normal(size=(WINDOWS, 4, LENGTH))) * (np.arange(LENGTH // 2 + 1) < 10)
        heard = np.fft.irfft(smooth, LENGTH)
        heard /= heard.std(axis=2, keepdims=True)
        seen = mixed @ heard + NOISE * drawn.normal(size=(WINDOWS, len(own), LENGTH))
        x = np.zeros((WINDOWS, len(NAMES) + 4, LENGTH), dtype=np.float32)
        x[:, own], x[:, len(NAMES) :] = seen / seen.std(axis=(0, 2), keepdims=True), heard
        found.append(x)
    return np.concatenate(found), np.repeat(np.arange(SUBJECTS), WINDOWS)


def top_1(folder: Path, seed: int, encoder: dict[str, Any]) -> float:
    """Of 32 new windows of a subject, the share whose stimulus is found."""
    found = shipped.content("brain_decoding")
    found["inputs"]["stimulus"]["channels"] = STIMULUS
    for name, own in (("eeg", {"spatial": 0, "subject_layer": False, **encoder}), ("stimulus", {})):
        small = {"dim": 32, "hidden": 16, "depth": 2, "stride": 4, "dropout": 0.0}
        found["inputs"][name]["encoder"] |= {**small, **own}
    found |= {"batch": {"patients": 8, "samples": 8}, "hardware": {"accelerator": "cpu"}, "seed": seed}
    found["optimiser"] = {"steps": 300, "learning_rate": 0.003, "average": "none"}
    x, subject = windows(seed, 0)
    samples = {"x": x, "ids": {"patient": subject, "trial": subject}, "sampling_rate": 32, "channels": NAMES + STIMULUS}
    medcl.pretrain(found, samples={"eeg": samples}, output=folder)
    joint = runs.load(folder).encoder
    matrices = torch.load(folder / runs.CHECKPOINT, weights_only=True)["method"].get("subjects.eeg.matrices")
    own = None if matrices is None else (matrices - matrices.mean(dim=0))[torch.from_numpy(subject)]
    new = torch.from_numpy(windows(seed, 1)[0])
    with torch.no_grad():
        eeg = joint.heads["eeg"](joint.side("eeg")(new[:, : len(NAMES)], None, own)).flatten(1)
        heard = joint.heads["stimulus"](joint.side("stimulus")(new[:, len(NAMES) :])).flatten(1)
    scores = (eeg @ F.normalize(heard, dim=1).T).reshape(SUBJECTS, WINDOWS, SUBJECTS, WINDOWS)
    same = torch.stack([scores[one, :, one] for one in range(SUBJECTS)])
    return float((same.argmax(dim=2) == torch.arange(WINDOWS)).float().mean())


def test_where_electrodes_lie_and_whose_they_are_lifts_what_is_found(tmp_path: Path) -> None:
    gains = []
    for seed in (0, 1):
        plain, both = top_1(tmp_path / f"plain{seed}", seed, {}), top_1(tmp_path / f"both{seed}", seed, BOTH)
        print(f"seed {seed}: of {WINDOWS} windows {plain:.2f} are found, with both {both:.2f}")
        gains.append(both - plain)
    assert np.mean(gains) > 0.2
