"""Greedy selection beside a loop over pairs, on random and on adversarial hashes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcl.errors import UsageError
from medcl.reduce import rules as module
from medcl.reduce.hamming import Hash
from medcl.reduce.image_strategies import Entropy, EveryN
from medcl.reduce.rules import greedy
from tests.reduce.slow_selection import slow_greedy


def as_bytes(hashes: list[int]) -> np.ndarray:
    return np.array(hashes, dtype=np.uint64).view(np.uint8).reshape(-1, 8)


# Few bits: everything is near something. A chain: each is near the one before alone, so that every choice counts.
FEW_BITS = st.lists(st.integers(0, 2**10 - 1), max_size=150)
ANY = st.lists(st.integers(0, 2**64 - 1), max_size=100)
EQUAL = st.integers(0, 150).map(lambda n: [7] * n)
CHAIN = st.integers(1, 64).flatmap(lambda n: st.permutations([2**k - 1 for k in range(n)]))


@settings(max_examples=60, deadline=None)
@given(st.one_of(FEW_BITS, ANY, EQUAL, CHAIN), st.sampled_from([0, 1, 2, 3, 6, 20, 64]))
def test_it_keeps_what_a_loop_keeps(hashes: list[int], threshold: int) -> None:
    signatures = as_bytes(hashes)
    found = greedy(signatures, Hash(), threshold)
    kept, stands = slow_greedy(signatures, Hash(), threshold)
    assert np.flatnonzero(found.keep).tolist() == kept
    assert found.duplicate_of.tolist() == stands
    assert np.isnan(found.measure[found.keep]).all()
    dropped = np.flatnonzero(~found.keep)
    distances = np.bitwise_count(signatures[dropped] ^ signatures[found.duplicate_of[dropped]]).sum(axis=1)
    np.testing.assert_array_equal(found.measure[dropped], distances)


@pytest.mark.parametrize("leaf", [1, 2, 7, 1000])
def test_the_size_of_the_parts_changes_nothing(leaf: int, monkeypatch: pytest.MonkeyPatch) -> None:
    signatures = as_bytes(np.random.default_rng(0).integers(0, 2**14, 300).tolist())
    expected = greedy(signatures, Hash(), 2)
    monkeypatch.setattr(module, "LEAF", leaf)
    monkeypatch.setattr(module, "CHEAP_LEAF", leaf)
    found = greedy(signatures, Hash(), 2)
    np.testing.assert_array_equal(found.duplicate_of, expected.duplicate_of)
    np.testing.assert_array_equal(found.measure, expected.measure)


@pytest.mark.parametrize("hashes", [range(300), [7] * 300, [2**k - 1 for k in range(64)]])
def test_every_unit_is_counted_once(hashes: list[int]) -> None:
    counts: list[int] = []
    greedy(as_bytes(list(hashes)), Hash(), 1, counted=counts.append)
    assert sum(counts) == len(hashes)


def test_an_archive_of_one_picture_keeps_one_quickly() -> None:
    found = greedy(np.zeros((200_000, 8), dtype=np.uint8), Hash())
    assert np.flatnonzero(found.keep).tolist() == [0]
    assert not found.duplicate_of.any()


def test_a_score_keeps_what_has_enough_of_it() -> None:
    found = greedy(np.array([[0.2], [3.0], [1.0]], dtype=np.float32), Entropy(), 1)
    assert found.keep.tolist() == [False, True, True]
    assert found.duplicate_of.tolist() == [-1, 1, 2]
    np.testing.assert_allclose(found.measure, [0.2, np.nan, np.nan])


def test_every_third_slice() -> None:
    places = EveryN().signatures(range(10))
    assert np.flatnonzero(greedy(places, EveryN(), 3).keep).tolist() == [0, 3, 6, 9]
    assert greedy(places, EveryN(), 1).keep.all()


@pytest.mark.parametrize("threshold", [-1, 65, float("nan")])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(UsageError, match="a distance between 0 and 64, 6 by default"):
        greedy(as_bytes([1, 2]), Hash(), threshold)


def test_no_unit_and_one_unit() -> None:
    assert len(greedy(as_bytes([]), Hash()).keep) == 0
    assert greedy(as_bytes([5]), Hash()).keep.tolist() == [True]
