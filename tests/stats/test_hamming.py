"""Search within a Hamming distance beside a count of all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcl.stats import hamming as module
from medcl.stats.hamming import distances, equal, search
from tests.reduce.slow_selection import hamming


def found(a: np.ndarray, b: np.ndarray, radius: int) -> list[tuple[int, int, float]]:
    parts = search(a, b, radius)
    return sorted(pair for part in parts for pair in zip(*map(np.ndarray.tolist, part), strict=True))


def test_distances_count_bits() -> None:
    a, b = np.random.default_rng(0).integers(0, 2**64, (2, 12), dtype=np.uint64)
    np.testing.assert_array_equal(distances(a, b), hamming(a, b))
    assert distances(a, b[:0]).shape == (12, 0)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([4, 10, 22, 64]),
    st.sampled_from([0, 1, 2, 5, 6, 7, 11]),
    st.integers(1, 60),
    st.integers(1, 60),
)
def test_tables_find_what_a_count_of_all_finds(seed: int, bits: int, radius: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    spread = rng.permutation(64).astype(np.uint64)[:bits]
    a, b = (((rng.random((count, bits)) < 0.5) << spread).astype(np.uint64).sum(axis=1) for count in (n, m))
    b[: n // 2] = a[: len(b[: n // 2])] ^ (np.uint64(1) << rng.integers(0, 64, dtype=np.uint64))
    expected = hamming(a, b)
    pairs = [(*pair, float(expected[tuple(pair)])) for pair in np.argwhere(expected <= radius).tolist()]
    assert found(a, b, radius) == pairs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "COMPARE", 1e12)  # tables, however small the task
        patch.setattr(module, "BLOCK", 50)
        patch.setattr(module, "_cost", lambda parts, *_: 0.0 if parts == 4 else 1.0)
        assert found(a, b, radius) == pairs


@pytest.mark.parametrize("radius", [0, 3, 6, 9])
def test_it_finds_all_of_ten_thousand(radius: int) -> None:
    rng = np.random.default_rng(radius)
    a = rng.integers(0, 2**64, 10_000, dtype=np.uint64)
    flips = np.bitwise_or.reduce(np.uint64(1) << rng.integers(0, 64, (500, 9), dtype=np.uint64), axis=1)
    a[-500:] = a[:500] ^ flips
    expected = [tuple(pair) for pair in np.argwhere(distances(a, a) <= radius).tolist()]
    assert [pair[:2] for pair in found(a, a, radius)] == expected


def test_buckets_larger_than_a_block_are_listed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 7)
    a, b = np.array([3, 1, 3, 3, 2] * 6), np.array([3, 5, 1, 3])
    parts = list(equal(a, b))
    assert max(len(row) for row, _ in parts) <= 7 * len(b)
    pairs = sorted((row, column) for part in parts for row, column in zip(*map(np.ndarray.tolist, part), strict=True))
    assert pairs == [tuple(pair) for pair in np.argwhere(a[:, None] == b).tolist()]
