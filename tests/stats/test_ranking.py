"""What retrieval finds by chance is the mean over random orders."""

import numpy as np
import pytest

from medcl.stats.ranking import average_precision, median_rank, recall, weighted_median


def test_chance_is_the_mean_over_random_orders() -> None:
    rng, candidates = np.random.default_rng(0), 30
    hits = np.array([1, 1, 4, 10, 10, 15])
    orders = np.argsort(rng.random((4000, len(hits), candidates)), axis=2) < hits[:, None]
    place = np.arange(1, candidates + 1)
    for k in (1, 5, 10):
        assert orders[..., :k].any(2).mean() == pytest.approx(recall([candidates] * 6, hits, k).mean(), abs=0.012)
    precision = (orders * orders.cumsum(2) / place).sum(2) / hits
    assert precision.mean() == pytest.approx(average_precision([candidates] * 6, hits).mean(), abs=0.012)
    assert median_rank([candidates] * 6, hits, np.ones((6, 1))) == np.median(orders.argmax(2) + 1)


def test_chance_with_every_candidate_a_hit_or_one_alone() -> None:
    assert recall([5], [5], 1).tolist() == [1.0]
    assert recall([5], [1], 9).tolist() == [1.0]
    assert recall([137], [1], 10)[0] == pytest.approx(10 / 137)
    assert average_precision([1], [1])[0] == pytest.approx(1.0)
    assert median_rank([100], [1], np.ones((1, 1))) == 50


def test_the_median_rank_by_chance_under_weights_is_that_of_repeated_queries() -> None:
    n, h, weights = np.array([30, 30, 100]), np.array([1, 4, 1]), np.array([[1.0, 2, 0], [1, 0, 3], [1, 1, 1]])
    expected = []
    for column in weights.T.astype(int):
        often = np.repeat(n, column), np.repeat(h, column)
        expected += median_rank(*often, np.ones((len(often[0]), 1))).tolist()
    assert median_rank(n, h, weights).tolist() == expected


def test_the_median_under_weights_is_that_of_repeated_records() -> None:
    values, weights = np.array([4.0, 1, 7, 3]), np.array([[1.0, 2], [1, 0], [1, 1], [1, 1]])
    expected = [np.median(np.repeat(values, column.astype(int))) for column in weights.T]
    np.testing.assert_allclose(weighted_median(values, weights), expected)
