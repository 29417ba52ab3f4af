"""Selection of a number of units: k-centre, and balanced over clusters."""

import numpy as np
import pytest

from medcl.errors import UsageError
from medcl.reduce.hamming import Hash
from medcl.reduce.image_strategies import Entropy, EveryN, MutualInformation
from medcl.reduce.rules import balanced, k_centre, quotas


def groups(sizes: list[int], seed: int = 0) -> np.ndarray:
    """Hashes around as many centres, few bits from each; in mixed order."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 256, (len(sizes), 8), dtype=np.uint8)
    hashes = centres.repeat(sizes, axis=0)
    hashes[np.arange(len(hashes)), rng.integers(0, 8, len(hashes))] ^= 1 << rng.integers(0, 8, len(hashes)).astype("u1")
    return hashes[rng.permutation(len(hashes))]


def slow_k_centre(signatures: np.ndarray, size: int) -> list[int]:
    kept = [0]
    while len(kept) < size:
        distance = [
            min(Hash().compare(signatures[[unit]], signatures[[centre]])[0, 0] for centre in kept)
            if unit not in kept
            else -1
            for unit in range(len(signatures))
        ]
        kept.append(int(np.argmax(distance)))
    return sorted(kept)


@pytest.mark.parametrize("size", [1, 4, 11, 40])
def test_k_centre_is_that_of_a_loop(size: int) -> None:
    signatures = groups([10, 20, 10])
    found = k_centre(signatures, Hash(), size)
    assert np.flatnonzero(found.keep).tolist() == slow_k_centre(signatures, size)
    assert found.keep[found.duplicate_of].all()
    measure = Hash().compare(signatures, signatures[found.keep]).min(axis=1)
    np.testing.assert_array_equal(found.measure[~found.keep], measure[~found.keep])


def test_k_centre_of_similarities_takes_the_least_similar() -> None:
    rng = np.random.default_rng(0)
    pieces = [rng.normal(size=(1, 64, 64)) for _ in range(2)]
    strategy = MutualInformation(normalised=True)
    found = k_centre(strategy.signatures([pieces[0], pieces[0], pieces[1]]), strategy, 2)
    assert found.keep.tolist() == [True, False, True]
    assert found.duplicate_of.tolist() == [0, 0, 2]
    assert found.measure[1] == pytest.approx(1)


def test_k_centre_of_equal_units_keeps_as_many_as_asked() -> None:
    assert k_centre(np.zeros((6, 8), dtype=np.uint8), Hash(), 3).keep.sum() == 3
    assert k_centre(np.zeros((2, 8), dtype=np.uint8), Hash(), 3).keep.all()


def test_k_centre_of_places_spreads_them() -> None:
    assert np.flatnonzero(k_centre(EveryN().signatures(range(9)), EveryN(), 3).keep).tolist() == [0, 4, 8]


def test_balanced_takes_as_many_of_each_cluster() -> None:
    signatures = groups([300, 30, 4])
    found = balanced(signatures, Hash(), 24, clusters=3)
    kept = signatures[found.keep]
    alike = Hash().compare(kept, kept) <= 4
    assert sorted({int(row.sum()) for row in alike}) == [4, 10]
    assert (Hash().compare(signatures, signatures)[np.arange(334), found.duplicate_of] <= 4).all()
    again = balanced(signatures, Hash(), 24, clusters=3)
    np.testing.assert_array_equal(found.duplicate_of, again.duplicate_of)


@pytest.mark.parametrize(
    ("sizes", "places", "expected"),
    [([5, 5, 5], 6, [2, 2, 2]), ([9, 1, 3], 6, [3, 1, 2]), ([9, 1, 3], 13, [9, 1, 3]), ([4, 4, 9], 7, [2, 2, 3])],
)
def test_quotas_are_as_even_as_sizes_allow(sizes: list[int], places: int, expected: list[int]) -> None:
    assert quotas(np.array(sizes), places).tolist() == expected


def test_all_identical_and_fewer_units_than_clusters() -> None:
    found = balanced(np.zeros((9, 8), dtype=np.uint8), Hash(), 2, clusters=5)
    assert found.keep.sum() == 2
    assert balanced(groups([2, 1]), Hash(), 10, clusters=7).keep.all()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one unit"):
        k_centre(groups([3]), Hash(), 0)
    with pytest.raises(UsageError, match="score"):
        k_centre(np.ones((3, 1), dtype=np.float32), Entropy(), 2)
    with pytest.raises(UsageError, match="cannot be averaged"):
        balanced(np.ones((3, 4096), dtype=np.uint8), MutualInformation(), 2, clusters=1)
    with pytest.raises(UsageError, match="clusters 0"):
        balanced(groups([3]), Hash(), 2, clusters=0)
