"""Queries of several examples: the order that the definition gives, whatever the order of the examples."""

import numpy as np
import pytest

from medcl.embed.query import Query, direction
from medcl.errors import UsageError

RNG = np.random.default_rng(0)
RECORDS = RNG.normal(size=(40, 6))


def score(x: np.ndarray, near: list[np.ndarray], far: list[np.ndarray]) -> float:
    """The sum of mean cosines, one pair at a time."""
    total = 0.0
    for sign, sets in ((1, near), (-1, far)):
        for some in sets:
            cosines = [float(x @ one) / np.linalg.norm(x) / np.linalg.norm(one) for one in some]
            total += sign * sum(cosines) / len(cosines)
    return total


def test_the_order_is_that_of_the_sum_of_mean_cosines() -> None:
    near, far = [RNG.normal(size=(1, 6)), RNG.normal(size=(3, 6)) * 5], [RNG.normal(size=(2, 6))]
    expected = np.argsort([-score(x, near, far) for x in RECORDS])
    x = RECORDS / np.linalg.norm(RECORDS, axis=1, keepdims=True)
    assert np.argsort(-(x @ direction(near, far))).tolist() == expected.tolist()
    shuffled = direction([near[1][::-1], near[0]], [far[0][::-1]])
    assert shuffled == pytest.approx(direction(near, far), abs=1e-6)


def test_examples_of_what_is_not_looked_for_come_last() -> None:
    pool = np.concatenate([RNG.normal(size=(20, 6)), np.eye(6)[:1] + 0.01 * RNG.normal(size=(3, 6))])
    order = np.argsort(-(pool / np.linalg.norm(pool, axis=1, keepdims=True)) @ direction([], [pool[20:]]))
    assert set(order[-3:].tolist()) == {20, 21, 22}


def test_what_cancels_itself_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing is left"):
        direction([RECORDS[:2]], [RECORDS[[1, 0]]])
    with pytest.raises(UsageError, match="'tube' is both"):
        Query(texts=("effusion", "tube"), not_texts=("tube",))
    with pytest.raises(UsageError, match="'a' is both"):
        Query(near=("a",), far=("a",))
    with pytest.raises(UsageError, match="--near"):
        Query(far=("a",))


def test_a_query_is_told_in_words() -> None:
    assert str(Query(near=("a",))) == "a"
    assert str(Query(texts=("effusion",))) == "effusion"
    assert str(Query(("effusion",), ("tube",), ("a", "b"), ("c",))) == "effusion; not tube; near a, b; far from c"


def test_weights_are_of_the_sets_that_are_looked_for() -> None:
    near, far = [RNG.normal(size=(1, 6)), RNG.normal(size=(3, 6))], [RNG.normal(size=(2, 6))]
    x = RECORDS / np.linalg.norm(RECORDS, axis=1, keepdims=True)
    total = [0.8 * score(one, near[:1], []) + 0.2 * score(one, near[1:], []) + score(one, [], far) for one in x]
    assert np.argsort(-(x @ direction(near, far, (0.8, 0.2)))).tolist() == np.argsort(-np.array(total)).tolist()
    assert direction(near, far, (1, 1)) == pytest.approx(direction(near, far))
    assert Query(("a", "b"), near=("r1", "r2"), weights=(0.5, 0.3, 0.2)).weights == (0.5, 0.3, 0.2)
    for weights in ((1.0,), (1.0, -1.0), (0.0, 0.0)):
        with pytest.raises(UsageError, match="one number from 0 on for each text"):
            Query(("a",), near=("r1",), weights=weights)
