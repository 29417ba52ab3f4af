"""Search within a Hamming distance beside a count of all."""

from importlib.metadata import version

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from medcl.reduce import hamming as buckets
from medcl.reduce import hamming as module
from medcl.reduce.hamming import Method, distances, equal, hashes, search
from medcl.reduce.resize import resize
from tests.reduce.slow_selection import hamming


def found(a: np.ndarray, b: np.ndarray, radius: int) -> list[tuple[int, int, float]]:
    parts = list(search(a, b, radius))
    return sorted(
        (row, column, measure)
        for part in parts
        for row, column, measure in zip(part.first.tolist(), part.second.tolist(), part.measure.tolist(), strict=True)
    )


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
        patch.setattr(buckets, "BLOCK", 50)
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
    monkeypatch.setattr(buckets, "BLOCK", 7)
    a, b = np.array([3, 1, 3, 3, 2] * 6), np.array([3, 5, 1, 3])
    parts = list(equal(a, b))
    assert max(len(row) for row, _ in parts) <= 7 * len(b)
    pairs = sorted((row, column) for part in parts for row, column in zip(*map(np.ndarray.tolist, part), strict=True))
    assert pairs == [tuple(pair) for pair in np.argwhere(a[:, None] == b).tolist()]


REFERENCE = {"difference": imagehash.dhash, "average": imagehash.average_hash, "perceptual": imagehash.phash}
ROWS_FIRST = int(version("pillow").split(".")[0]) >= 13
SIZES = [(64, 64), (512, 512), (181, 217), (1, 1), (1, 9), (8, 9), (9, 8), (5, 3), (7, 640), (299, 150), (33, 32)]
TALL = [(423, 6), (10, 8), (640, 7), (602, 267)]


def images(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Noise, a smooth image, one of two values, a constant, a ramp: (5, rows, columns) uint8."""
    noise = rng.integers(0, 256, (rows, columns), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(3)))
    ramp = np.broadcast_to(np.linspace(0, 255, columns), (rows, columns)).astype(np.uint8)
    return np.stack([noise, smooth, np.where(smooth > 127, 255, 0).astype(np.uint8), np.full_like(noise, 90), ramp])


@pytest.mark.parametrize("size", [*SIZES, *(TALL if ROWS_FIRST else [])])
@pytest.mark.parametrize("method", REFERENCE)
def test_hashes_of_pictures_are_those_of_imagehash(method: Method, size: tuple[int, int]) -> None:
    several = images(np.random.default_rng(0), *size)
    expected = [np.packbits(REFERENCE[method](Image.fromarray(one)).hash.ravel()) for one in several]
    np.testing.assert_array_equal(hashes(several.astype(np.float32), method), expected)


@pytest.mark.parametrize("size", [(3000, 2500), (17, 31), (40, 4), (2, 2), (7000, 4000)])
def test_resizing_is_pillows_to_the_bit(size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8)
    expected = np.asarray(Image.fromarray(image).resize((9, 8), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(resize(image[None].astype(np.float32), (8, 9))[0], expected)


@pytest.mark.parametrize("method", REFERENCE)
@pytest.mark.parametrize("shape", [(20, 24, 18), (500,), (3, 2, 1)])
def test_volumes_and_signals_have_hashes_that_stand_a_little_noise(method: Method, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    small = rng.uniform(20, 230, tuple(-(-side // 4) for side in shape))
    smooth = small
    for axis, side in enumerate(shape):
        smooth = smooth.repeat(4, axis=axis).take(np.arange(side), axis=axis)
    noisy, other = smooth + rng.normal(0, 0.5, shape), rng.uniform(0, 255, shape)
    several = np.rint(np.stack([smooth, smooth, noisy, other])).astype(np.float32)
    found = hashes(several, method)
    assert found.shape == (4, 8)
    assert (found[0] == found[1]).all()
    near, far = (int(np.bitwise_count(found[0] ^ found[row]).sum()) for row in (2, 3))
    assert near <= far
    if min(shape) > 8:
        assert near <= 12 < far


def test_the_number_of_pictures_at_a_time_changes_nothing() -> None:
    several = np.random.default_rng(3).integers(0, 256, (9, 40, 50)).astype(np.float32)
    one_by_one = np.concatenate([hashes(one[None], "difference") for one in several])
    np.testing.assert_array_equal(hashes(several, "difference"), one_by_one)
