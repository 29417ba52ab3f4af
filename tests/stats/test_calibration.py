"""Calibration curves hold what lies in their bins."""

import numpy as np
import pytest

from medcl.errors import MedclError
from medcl.stats.calibration import calibration, value_calibration


def test_bins_hold_what_lies_between_quantiles() -> None:
    rng = np.random.default_rng(8)
    probability = rng.beta(0.4, 1.5, 500)
    truth = rng.random(500) < probability
    curve = calibration(truth, probability)
    edges = np.quantile(probability, np.linspace(0, 1, 11))
    edges[0] = -1
    inside = (probability[:, None] > edges[:-1]) & (probability[:, None] <= edges[1:])
    np.testing.assert_array_equal(curve.count, inside.sum(0))
    np.testing.assert_allclose(curve.predicted, [probability[one].mean() for one in inside.T])
    np.testing.assert_allclose(curve.observed, [truth[one].mean() for one in inside.T])


def test_calibration_of_few_distinct_probabilities_has_as_many_bins() -> None:
    curve = calibration([0, 1, 1, 0, 1, 1], [0.2, 0.2, 0.8, 0.2, 0.8, 0.8])
    np.testing.assert_allclose(curve.predicted, [0.2, 0.8])
    np.testing.assert_allclose(curve.observed, [1 / 3, 1.0])
    with pytest.raises(MedclError, match="outside \\[0, 1\\]"):
        calibration([0, 1], [-3.0, 2.0])


def test_values_lie_in_equally_filled_bins() -> None:
    curve = value_calibration([1.0, 2.0, 3.0, 4.0, 5.0], [10.0, 40.0, 20.0, 30.0, 50.0], bins=2)
    np.testing.assert_allclose(curve.predicted, [20, 45])
    np.testing.assert_allclose(curve.observed, [8 / 3, 3.5])
    np.testing.assert_array_equal(curve.count, [3, 2])
    assert len(value_calibration([1.0, 2.0], [1.0, 2.0]).count) == 2
