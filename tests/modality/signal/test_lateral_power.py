"""Encoders of EEG, trained on labels, tell which side's rhythm is weaker, as common spatial patterns do."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score
from torch import nn

from medcl.modality.signal.config import SignalConfig, SignalEncoderConfig
from medcl.modality.signal.covariances import products
from medcl.modality.signal.encoders import build
from medcl.modality.signal.filters import band_and_notch
from medcl.modality.signal.spatial_patterns import CommonSpatialPatterns

pytestmark = pytest.mark.acceptance

RATE, SECONDS = 128, 2
CONFIGS = {
    "shallow": SignalEncoderConfig("shallow", 16, 16, 1, 15, dropout=0.25, kernel=13, pooling="mean"),
    "eegnet": SignalEncoderConfig("eegnet", 16, 16, 1, 32, dropout=0.25, kernel=64, pooling="mean"),
}
LEAST = {"shallow": 0.9, "eegnet": 0.85, "csp": 0.9}


def trials(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(count, 3, T): C3, Cz and C4; imagery of a hand weakens the 10 Hz rhythm of the other side by half."""
    rng = np.random.default_rng(seed)
    hand, time = rng.permutation(np.arange(count) % 2), np.arange(RATE * SECONDS) / RATE
    size = np.where(np.stack([hand == 1, hand == 0], axis=1), 0.5, 1.0) * rng.lognormal(0, 0.2, (count, 2))
    phase = 2 * np.pi * rng.normal(10, 0.5, (count, 1, 1)) * time + rng.uniform(0, 7, (count, 2, 1))
    rhythm = size[:, :, None] * np.sin(phase)
    mixing = np.array([[1.0, 0.2], [0.4, 0.4], [0.2, 1.0]])
    x = np.einsum("cs,nst->nct", mixing, rhythm) + rng.normal(0, 0.7, (count, 3, len(time)))
    return x.astype(np.float32), hand


def filtered(x: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = band_and_notch(x.reshape(-1, x.shape[2]).astype(np.float64), RATE, SignalConfig(band=[8.0, 12.0]))
    return flat.reshape(x.shape).astype(np.float32)


def accuracy(name: str, seed: int, permuted: bool = False) -> float:
    """On 400 new trials, of what learned from 100 of each class."""
    (x, y), (new, truth) = trials(200, seed), trials(400, 1000 + seed)
    y = np.random.default_rng(seed).permutation(y) if permuted else y
    if name == "csp":
        x, new = (filtered(one) for one in (x, new))
        patterns = CommonSpatialPatterns()
        scores = patterns.apply(products(new), patterns.learn(products(x), y))
        return float(accuracy_score(truth, scores[:, 0] > 0))
    torch.manual_seed(seed)
    encoder = build(CONFIGS[name], 3)
    network = nn.Linear(16, 2)
    parameters = [*encoder.parameters(), *network.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.01)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(20):
        for part in torch.randperm(len(inputs)).split(32):
            loss = nn.functional.cross_entropy(network(encoder.embed(inputs[part])), labels[part])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    encoder.eval()
    with torch.inference_mode():
        found = network(encoder.embed(torch.from_numpy(new))).argmax(dim=1).numpy()
    return float(accuracy_score(truth, found))


@pytest.mark.parametrize("name", LEAST)
def test_the_side_of_a_rhythm_is_told(name: str) -> None:
    found = [accuracy(name, seed) for seed in range(2)]
    print(name, found)
    assert np.mean(found) >= LEAST[name], found


@pytest.mark.parametrize("name", LEAST)
def test_permuted_labels_give_chance(name: str) -> None:
    found = [accuracy(name, seed, permuted=True) for seed in range(2)]
    assert 0.4 <= np.mean(found) <= 0.6, found
