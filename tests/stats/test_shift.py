"""What differs between two sets of records, value by value."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from medcl.errors import MedclError
from medcl.stats.shift import shift


def test_the_adjustment_is_that_of_benjamini_and_hochberg() -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(size=(30, 6))
    after = rng.normal(size=(40, 6)) + np.array([2.0, 0, 0, 0.8, 0, 0])
    found = shift(before, after)
    p = [mannwhitneyu(before[:, k], after[:, k]).pvalue for k in range(6)]
    np.testing.assert_allclose(found.p, p)
    order = np.argsort(p)
    adjusted = np.minimum.accumulate([p[k] * 6 / (rank + 1) for rank, k in enumerate(order)][::-1])[::-1]
    np.testing.assert_allclose(found.q[order], np.minimum(adjusted, 1))
    np.testing.assert_allclose(found.difference, after.mean(0) - before.mean(0))


def test_weights_are_of_means_and_what_is_missing_does_not_count() -> None:
    nan = np.nan
    found = shift([[1.0, nan], [3.0, nan]], [[4.0, 1.0], [nan, 2.0]], weights=([3, 1], [1, 1]))
    np.testing.assert_allclose(found.difference, [4 - 1.5, nan])
    assert np.isnan(found.p).tolist() == [False, True]
    assert np.isnan(found.q).tolist() == [False, True]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(MedclError, match="the same values of both"):
        shift(np.zeros((3, 2)), np.zeros((3, 4)))
    with pytest.raises(MedclError, match="a weight a record"):
        shift(np.zeros((3, 2)), np.zeros((3, 2)), weights=(np.ones(2), np.ones(3)))
