"""Contrast in stages (MCL): among samples of one cluster, what told the clusters apart is no help."""

import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast import among_views, info_nce, same

COLOURS, DIGITS, SAMPLES = 10, 10, 1500


def images(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Samples (N, 30) of a large colour and a small digit, and both."""
    colour, digit = (torch.randint(10, (SAMPLES,), generator=generator) for _ in range(2))
    x = torch.cat([4 * F.one_hot(colour, COLOURS), F.one_hot(digit, DIGITS), torch.zeros(SAMPLES, 10)], dim=1)
    return x.float(), colour, digit


def stage(x: Tensor, clusters: Tensor, generator: torch.Generator) -> Tensor:
    """Features (N, 3) of an encoder that contrasts samples of one cluster with each other."""
    network = torch.nn.Sequential(torch.nn.Linear(30, 64), torch.nn.ReLU(), torch.nn.Linear(64, 3))
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(200):
        rows = torch.randint(SAMPLES, (128,), generator=generator)
        both = x[rows].repeat(2, 1) + 0.2 * torch.randn(256, 30, generator=generator)
        z, own = network(both), clusters[rows].repeat(2)
        loss = info_nce(z, z, among_views(torch.arange(128)).among(same(own)), temperature=0.2)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return F.normalize(network(x), dim=1).detach()


def probe(z: Tensor, y: Tensor) -> float:
    half = SAMPLES // 2
    return float(LogisticRegression(max_iter=500).fit(5 * z[:half], y[:half]).score(5 * z[half:], y[half:]))


@pytest.mark.acceptance
def test_a_second_stage_finds_what_the_easier_feature_hid_in_the_first() -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    x, colour, digit = images(generator)
    first = stage(x, torch.zeros(SAMPLES, dtype=torch.int64), generator)
    clusters = torch.from_numpy(KMeans(10, n_init=4, random_state=0).fit_predict(first.numpy())).long()
    both = torch.cat([first, stage(x, clusters, generator)], dim=1)
    found = {
        "digit, first": probe(first, digit),
        "digit, both": probe(both, digit),
        "colour, both": probe(both, colour),
    }
    print(found)
    assert found["digit, first"] <= 0.4
    assert found["digit, both"] >= 0.8
    assert found["colour, both"] >= 0.95
