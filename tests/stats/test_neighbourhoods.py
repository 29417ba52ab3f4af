"""Purity and silhouette of neighbours."""

import numpy as np
import pytest

from medcl.explore.neighbours import among
from medcl.stats.embedding_space import purity, silhouette

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(60, 6)).astype(np.float32)
PATIENTS = np.arange(60) // 3
CLASSES = np.arange(60) % 4 - 1


@pytest.mark.parametrize("apart", [False, True])
def test_purity_is_that_of_a_loop_over_rows(apart: bool) -> None:
    near, codes = among(VECTORS, 59), CLASSES
    shares, chances = [], []
    for row in range(60):
        others = [one for one in near[row] if not apart or PATIENTS[one] != PATIENTS[row]]
        partners = sum(codes[one] == codes[row] for one in others)
        if codes[row] >= 0 and partners:
            first = others[: min(5, partners)]
            shares.append(np.mean([codes[one] == codes[row] for one in first]))
            chances.append(partners / len(others))
    found = purity(near, codes, PATIENTS if apart else None, k=5)
    assert found.share == pytest.approx(np.mean(shares))
    assert found.chance == pytest.approx(np.mean(chances))
    assert found.rows == len(shares)


def test_patients_who_lie_together_are_pure() -> None:
    together = RNG.normal(size=(20, 6))[PATIENTS] + 0.01 * RNG.normal(size=(60, 6))
    assert purity(among(together, 10), PATIENTS).share == 1
    assert silhouette(together, PATIENTS) > 0.8
