"""Measures of embeddings: known geometries give known numbers, and the losses of `medcl.contrast` the same values."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from medcl import contrast
from medcl.errors import MedclError
from medcl.explore.neighbours import among
from medcl.stats.embedding_space import alignment, measure_gap, purity, silhouette, uniformity

PAIRS = np.stack([np.arange(200)] * 2, axis=1)
PATIENTS = np.arange(200) // 2


def cloud(seed: int, shift: float = 0.0, n: int = 200) -> NDArray[np.float32]:
    z = np.random.default_rng(seed).normal(size=(n, 16)).astype(np.float32)
    z[:, 0] += shift
    return z


@pytest.mark.parametrize("count", [2, 200, 1500])
def test_alignment_and_uniformity_are_those_of_the_losses(count: int) -> None:
    vectors, codes = cloud(5, shift=1.0, n=count), np.arange(count) // 3
    codes[:-2:7] = -1
    z, ids = torch.from_numpy(vectors).double(), torch.from_numpy(codes)
    z[0] = vectors[0] = 0
    known = ids >= 0
    expected = contrast.alignment(z[known], z[known], contrast.same(ids[known]).without(contrast.itself(ids[known])))
    assert alignment(vectors, codes) == pytest.approx(float(expected), rel=1e-6)
    for t in (0.5, 2.0):
        assert uniformity(vectors, t) == pytest.approx(float(contrast.uniformity(z, t=t)), rel=1e-6)


def test_without_a_pair_there_is_no_number() -> None:
    assert math.isnan(alignment(cloud(0, n=4), np.array([0, 1, -1, -1])))
    assert math.isnan(uniformity(cloud(0, n=1)))


def test_one_cloud_twice_has_no_gap() -> None:
    gap = measure_gap(cloud(0), cloud(0), PAIRS, PATIENTS, PATIENTS)
    assert gap.distance == pytest.approx(0, abs=1e-9)
    assert gap.variance == pytest.approx(0, abs=1e-9)
    assert gap.alignment == pytest.approx(0, abs=1e-9)
    assert gap.separable == pytest.approx(0.5, abs=0.06)
    assert gap.uniformity[0] == gap.uniformity[1] < -3


def test_two_cones_are_separable() -> None:
    gap = measure_gap(cloud(0, 6), cloud(1, -6), PAIRS, PATIENTS, PATIENTS)
    assert gap.distance > 1.4
    assert gap.variance > 0.6
    assert gap.separable > 0.99
    assert gap.alignment > 3
    near = measure_gap(cloud(0, 6), cloud(0, 6) + 0.1 * cloud(3), PAIRS, PATIENTS, PATIENTS)
    assert near.alignment < 0.1 * near.alignment_all


def test_alignment_and_distance_are_their_definitions() -> None:
    a, b = np.array([[1.0, 0], [0, 1]]), np.array([[0.0, 1], [0, 2]])
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


NEAR_RNG = np.random.default_rng(0)
VECTORS = NEAR_RNG.normal(size=(60, 6)).astype(np.float32)
THREE_EACH = np.arange(60) // 3
CLASSES = np.arange(60) % 4 - 1


@pytest.mark.parametrize("apart", [False, True])
def test_purity_is_that_of_a_loop_over_rows(apart: bool) -> None:
    near, codes = among(VECTORS, 59), CLASSES
    shares, chances = [], []
    for row in range(60):
        others = [one for one in near[row] if not apart or THREE_EACH[one] != THREE_EACH[row]]
        partners = sum(codes[one] == codes[row] for one in others)
        if codes[row] >= 0 and partners:
            first = others[: min(5, partners)]
            shares.append(np.mean([codes[one] == codes[row] for one in first]))
            chances.append(partners / len(others))
    found = purity(near, codes, THREE_EACH if apart else None, k=5)
    assert found.share == pytest.approx(np.mean(shares))
    assert found.chance == pytest.approx(np.mean(chances))
    assert found.rows == len(shares)


def test_patients_who_lie_together_are_pure() -> None:
    together = NEAR_RNG.normal(size=(20, 6))[THREE_EACH] + 0.01 * NEAR_RNG.normal(size=(60, 6))
    assert purity(among(together, 10), THREE_EACH).share == 1
    assert silhouette(together, THREE_EACH) > 0.8
