"""The gap between modalities: known geometries give known numbers."""

import math

import numpy as np
import pytest
import torch

from medcl.embed.modality_gap import measure_gap
from medcl.errors import MedclError

PAIRS = np.stack([np.arange(200)] * 2, axis=1)
PATIENTS = np.arange(200) // 2


def cloud(seed: int, shift: float = 0.0, n: int = 200) -> torch.Tensor:
    z = torch.randn(n, 16, generator=torch.Generator().manual_seed(seed))
    z[:, 0] += shift
    return z


def test_one_cloud_twice_has_no_gap() -> None:
    gap = measure_gap(cloud(0), cloud(0), PAIRS, PATIENTS, PATIENTS)
    assert gap.distance == pytest.approx(0, abs=1e-9)
    assert gap.variance == pytest.approx(0, abs=1e-9)
    assert gap.alignment == pytest.approx(0, abs=1e-9)
    assert gap.separable == pytest.approx(0.5, abs=0.06)
    assert gap.uniformity[0] == gap.uniformity[1] < -3


def test_two_cones_are_told_apart() -> None:
    gap = measure_gap(cloud(0, 6), cloud(1, -6), PAIRS, PATIENTS, PATIENTS)
    assert gap.distance > 1.4
    assert gap.variance > 0.6
    assert gap.separable > 0.99
    assert gap.alignment > 3
    near = measure_gap(cloud(0, 6), cloud(0, 6) + 0.1 * cloud(3), PAIRS, PATIENTS, PATIENTS)
    assert near.alignment < 0.1 * near.alignment_all


def test_alignment_and_distance_are_their_definitions() -> None:
    a, b = torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([[0.0, 1], [0, 2]])
    gap = measure_gap(a, b, np.array([[0, 0], [1, 1]]), [0, 1], [0, 1])
    assert gap.alignment == pytest.approx((2 + 0) / 2)
    assert gap.distance == pytest.approx(math.hypot(0.5, 0.5))
    # The mean squared distance over all pairs, of each with each.
    assert gap.alignment_all == pytest.approx((2 + 2 + 0 + 0) / 4)
    assert gap.uniformity[1] == pytest.approx(0)


def test_one_patient_has_no_probe_and_no_pair_is_refused() -> None:
    assert math.isnan(measure_gap(cloud(0), cloud(1), PAIRS, np.zeros(200), np.zeros(200)).separable)
    with pytest.raises(MedclError, match="no two test records"):
        measure_gap(cloud(0), cloud(1), PAIRS[:0], PATIENTS, PATIENTS)
