"""Reduction at archive scale: hashing, exact search, and the memory of a search among embeddings."""

import tracemalloc
from collections.abc import Iterator
from math import log10
from statistics import median
from time import process_time

import imagehash
import numpy as np
import pytest
from PIL import Image

from medcl.embed.vectors import unit
from medcl.reduce.encoders import search as similar
from medcl.reduce.hamming import Hash
from medcl.reduce.rules import greedy
from medcl.stats.hamming import search

pytestmark = pytest.mark.benchmark
SLICES, DEPTH, SIDE, SAMPLE, RATIO = 100_000, 100, 128, 10, 2


def volumes(count: int) -> Iterator[np.ndarray]:
    """Stream volumes (slices, rows, columns) of int16: slices change slowly, windows onto one smooth texture."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(-1000, 2000, (DEPTH // 4 + SIDE // 8 + 64, SIDE // 8 + 1), dtype=np.int16)
    texture = coarse.repeat(8, axis=0).repeat(8, axis=1)[:, :SIDE]
    texture = texture + rng.integers(-30, 30, texture.shape, dtype=np.int16)
    for _ in range(count):
        start = rng.integers(0, 256)
        yield np.stack([texture[start + row : start + row + SIDE] for row in range(DEPTH)])


def loop(volume: np.ndarray) -> list[int]:
    """As one would write it with ImageHash: a loop over slices, and one over those that remain."""
    hashes = []
    for picture in volume:
        low, high = int(picture.min()), int(picture.max())
        grey = np.rint((picture - np.float32(low)) * np.float32(255 / (high - low))).astype(np.uint8)
        hashes.append(imagehash.dhash(Image.fromarray(grey)))
    remaining, kept = list(range(len(hashes))), []
    while remaining:
        kept.append(remaining[0])
        remaining = [row for row in remaining[1:] if hashes[row] - hashes[kept[-1]] > 6]
    return kept


def reduced(volume: np.ndarray) -> list[int]:
    strategy = Hash()
    return np.flatnonzero(greedy(strategy.signatures(list(volume[:, None])), strategy, 6).keep).tolist()


def test_slices_are_reduced_several_times_as_fast_as_by_a_loop_with_imagehash() -> None:
    """A hundred thousand slices, one after the other in memory; the loop on some of them, among ours."""
    ours, theirs, kept, ratios = 0.0, 0.0, 0, []
    every = SLICES // DEPTH // SAMPLE
    for number, volume in enumerate(volumes(SLICES // DEPTH)):
        begun = process_time()
        found = reduced(volume)
        took = process_time() - begun
        ours += took
        kept += len(found)
        if number % every == every - 1:
            begun = process_time()
            expected = loop(volume)
            slow = process_time() - begun
            theirs += slow
            assert found == expected
            ratios.append(slow / took)
    print(
        f"\n{SLICES:,} slices of {SIDE} x {SIDE}, {kept / SLICES:.0%} kept: {SLICES / ours:,.0f} a second, "
        f"ImageHash in a loop {SAMPLE * DEPTH / theirs:,.0f}; {median(ratios):.1f} x"
    )
    assert median(ratios) >= RATIO


def planted(n: int) -> tuple[np.ndarray, set[tuple[int, int]]]:
    """Random hashes, of which the last hundredth differ in up to 6 bits from the first; and those pairs."""
    rng = np.random.default_rng(n)
    hashes = rng.integers(0, 2**64, n, dtype=np.uint64)
    copies = n // 100
    flips = np.bitwise_or.reduce(np.uint64(1) << rng.integers(0, 64, (copies, 6), dtype=np.uint64), axis=1)
    hashes[-copies:] = hashes[:copies] ^ flips
    return hashes, {(row, n - copies + row) for row in range(copies)}


def test_a_million_hashes_are_searched_in_time_that_grows_with_their_number() -> None:
    seconds = {}
    for n in (10_000, 100_000, 1_000_000):
        hashes, pairs = planted(n)
        begun = process_time()
        found = set()
        for first, second, _ in search(hashes, hashes, 6):
            later = first < second
            found |= set(zip(first[later].tolist(), second[later].tolist(), strict=True))
        seconds[n] = process_time() - begun
        assert pairs <= found
    growth = log10(seconds[1_000_000] / seconds[10_000]) / 2
    print("\n" + ", ".join(f"{n:,}: {took:.2f} s" for n, took in seconds.items()) + f"; as n to the {growth:.2f}")
    assert seconds[1_000_000] < 120
    assert growth < 1.5


def test_a_million_hashes_take_a_fraction_of_a_gigabyte() -> None:
    """Of memory, measured apart from time, at a tenth of the number: it grows with it."""
    hashes, _ = planted(100_000)
    tracemalloc.start()
    for _ in search(hashes, hashes, 6):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"\n{peak / 2**20:.0f} MB")
    assert peak < 2**30 / 10


def test_similar_embeddings_are_found_in_a_twentieth_of_the_memory_of_the_condensed_matrix() -> None:
    n, dim, copies = 100_000, 128, 100
    rng = np.random.default_rng(0)
    vectors = unit(rng.standard_normal((n, dim), dtype=np.float32))
    vectors[-copies:] = unit(vectors[:copies] + 0.01 * rng.standard_normal((copies, dim), dtype=np.float32))
    tracemalloc.start()
    begun = process_time()
    found = {
        (int(row), int(column))
        for part in similar(vectors[:2000], vectors, 0.99)
        for row, column in zip(part.first, part.second, strict=True)
    }
    took = process_time() - begun
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    condensed = n * (n - 1) / 2 * 4
    print(
        f"\n{peak / 2**20:.0f} MB beside {condensed / 2**20:,.0f}: {peak / condensed:.2%}; all: {took * n / 2000:.0f} s"
    )
    assert {(row, n - copies + row) for row in range(copies)} <= found
    assert peak < condensed / 20
