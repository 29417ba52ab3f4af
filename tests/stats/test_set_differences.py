"""Scores that tell two sets of patients apart: against slow formulas, and under no difference."""

import numpy as np
import pytest
from scipy import stats

from medcl.errors import MedclError
from medcl.stats.set_differences import aurocs, separations

IS_FIRST = np.arange(30) < 12


def scores(seed: int, count: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(30, count)).round(1)


def test_numbers_are_those_of_pairs_and_of_the_textbook() -> None:
    x = scores(0)
    x[:, 0] += IS_FIRST
    found = separations(x, IS_FIRST, n_boot=50)
    for column, one in enumerate(found):
        a, b = x[IS_FIRST, column], x[~IS_FIRST, column]
        pairs = [1.0 if i > j else 0.5 if i == j else 0.0 for i in a for j in b]
        assert one.auroc == pytest.approx(sum(pairs) / len(pairs))
        assert one.difference == pytest.approx(a.mean() - b.mean())
        error = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
        freedom = sum(error) ** 2 / (error[0] ** 2 / (len(a) - 1) + error[1] ** 2 / (len(b) - 1))
        t = abs(one.difference) / np.sqrt(sum(error))
        assert one.p == pytest.approx(2 * stats.t.sf(t, freedom))
        assert one.interval.low <= one.auroc <= one.interval.high
    p = sorted((one.p, column) for column, one in enumerate(found))
    for place, (_, column) in enumerate(p):
        later = [p[k][0] * len(p) / (k + 1) for k in range(place, len(p))]
        assert found[column].q == pytest.approx(min(1.0, *later, 1.0))
    assert aurocs(x, IS_FIRST) == pytest.approx([one.auroc for one in found])


def test_without_a_difference_few_are_found() -> None:
    found = [any(one.q < 0.05 for one in separations(scores(seed, 20), IS_FIRST, n_boot=1)) for seed in range(1, 101)]
    assert sum(found) <= 12


def test_a_constant_score_tells_nothing_and_one_patient_is_no_set() -> None:
    found = separations(np.ones((30, 1)), IS_FIRST, n_boot=5)[0]
    assert (found.auroc, found.p, found.q) == (0.5, 1.0, 1.0)
    with pytest.raises(MedclError, match="2 patients each"):
        separations(np.ones((3, 1)), np.array([True, False, False]))
