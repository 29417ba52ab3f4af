"""Correlation of values of pairs, resampled by item."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from medcl.stats.pair_correlation import PairCorrelation

RNG = np.random.default_rng(0)
PAIRS = np.stack(np.triu_indices(12, k=1), axis=1)
X = RNG.normal(size=len(PAIRS))
Y = X + RNG.normal(size=len(PAIRS))


def test_with_equal_weights_it_is_spearmans() -> None:
    found, by_class = PairCorrelation(PAIRS, X, Y, 12).metrics(np.ones((12, 1)))
    assert found["spearman"] == pytest.approx([spearmanr(X, Y).statistic])
    assert by_class == {}


def test_a_pair_counts_as_often_as_both_of_its_items() -> None:
    weights = RNG.integers(0, 3, size=(12, 5)).astype(float)
    found = PairCorrelation(PAIRS, X, Y, 12).metrics(weights)[0]["spearman"]
    ranks = [np.argsort(np.argsort(one)) for one in (X, Y)]
    for column, value in enumerate(found):
        often = (weights[PAIRS[:, 0], column] * weights[PAIRS[:, 1], column]).astype(int)
        one, two = (np.repeat(rank, often) for rank in ranks)
        assert value == pytest.approx(np.corrcoef(one, two)[0, 1])


def test_what_never_changes_has_no_correlation() -> None:
    found = PairCorrelation(PAIRS, X, np.zeros(len(PAIRS)), 12).metrics(np.ones((12, 1)))
    assert np.isnan(found[0]["spearman"]).all()
