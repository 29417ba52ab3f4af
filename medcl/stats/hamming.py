"""Hamming distance of hashes of 64 bits, and exact search for all pairs within a radius.

Norouzi, Punjani, Fleet, 'Fast exact search in Hamming space with multi-index hashing' (2014): hashes are cut into m
parts. With r = a m + b, two hashes within r of each other either agree up to a bits in one of the first b + 1 parts, or
up to a - 1 bits in one of the others. So a table of each part, asked for every value within that small radius, gives
all candidates, and few others.
"""

from collections.abc import Iterator
from itertools import combinations
from math import comb
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 20
"""Entries that are listed at a time."""
Ints = NDArray[np.int64]


def entries(begin: NDArray[np.integer], count: NDArray[np.integer]) -> Iterator[tuple[Ints, Ints]]:
    """List the entries of the buckets that questions (q,) point at: their first places in the table, and how many.

    Yields:
        Places in the table and numbers of questions, a pair for each entry of each question's bucket.
    """
    asking = np.flatnonzero(count)
    begin, count = begin[asking].astype(np.int64), count[asking].astype(np.int64)
    ends = np.cumsum(count)
    first = 0
    while first < len(ends):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + BLOCK, side="right")))
        size, start = count[first:last], begin[first:last]
        # A bucket that alone holds more than a block, as that of an archive of one image, is cut.
        for cut in range(0, int(size.max()), BLOCK):
            part = np.clip(size - cut, 0, BLOCK)
            place = np.arange(int(part.sum())) - np.repeat(np.cumsum(part) - part - start - cut, part)
            yield place, np.repeat(asking[first:last], part)
        first = last


def equal(a: NDArray[np.integer], b: NDArray[np.integer]) -> Iterator[tuple[Ints, Ints]]:
    """List all pairs of a row of a and a row of b that hold the same number, in blocks."""
    order = np.argsort(a, kind="stable")
    table = a[order]
    begin = np.searchsorted(table, b, side="left")
    for place, asker in entries(begin, np.searchsorted(table, b, side="right") - begin):
        yield order[place], asker


BITS = 64
ASK, CANDIDATE, COMPARE = 15.0, 40.0, 1.5
"""Nanoseconds that a question to a table, a candidate, and a distance of two blocks take, by and large."""
Words = NDArray[np.uint64]
Pairs: TypeAlias = tuple[Ints, Ints, NDArray[np.float32]]
"""(p,) rows of one set, rows of the other, and the distance of the two."""


def words(hashes: NDArray[np.uint8]) -> Words:
    """Return (n, 8) bytes as (n,) numbers of 64 bits."""
    return np.ascontiguousarray(hashes).view(np.uint64)[:, 0]


def distances(a: Words, b: Words) -> NDArray[np.float32]:
    """Compute the number of bits that differ between a (n,) and b (m,), (n, m) float32."""
    result = np.empty((len(a), len(b)), dtype=np.float32)
    rows = max(1, BLOCK // max(1, len(b)))
    for top in range(0, len(a), rows):
        result[top : top + rows] = np.bitwise_count(a[top : top + rows, None] ^ b)
    return result


def search(a: Words, b: Words, radius: int) -> Iterator[Pairs]:
    """Find all pairs of a (n,) and b (m,) of which at most `radius` bits differ, exactly.

    Yields:
        Each pair of a row of a and a row of b exactly once, in blocks of bounded memory, and its distance.
    """
    parts = min(range(1, 9), key=lambda parts: _cost(parts, radius, len(a), len(b)))
    if COMPARE * len(a) * len(b) <= _cost(parts, radius, len(a), len(b)):
        yield from _all(a, b, radius)
        return
    bounds, radii = _bounds(parts), _radii(parts, radius)
    for part, (low, high) in enumerate(bounds):
        if radii[part] < 0:
            continue
        for row, column, distance in _candidates(a, b, low, high - low, radii[part], radius):
            # A pair that an earlier part has found as well is left to it.
            difference = a[row] ^ b[column]
            seen = np.zeros(len(row), dtype=bool)
            for (start, stop), near in zip(bounds[:part], radii[:part], strict=True):
                seen |= np.bitwise_count(_key(difference, start, stop - start)) <= near
            new = ~seen
            yield row[new], column[new], distance[new].astype(np.float32)


def _all(a: Words, b: Words, radius: int) -> Iterator[Pairs]:
    rows = max(1, BLOCK // max(1, len(b)))
    for top in range(0, len(a), rows):
        distance = np.bitwise_count(a[top : top + rows, None] ^ b)
        row, column = np.nonzero(distance <= radius)
        yield row + top, column, distance[row, column].astype(np.float32)


def _candidates(
    a: Words, b: Words, low: int, width: int, near: int, radius: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]]:
    """Yield (row, column, distance) of pairs within the radius, whose bits from `low` on differ in `near` at most."""
    key = _key(a, low, width)
    order = np.argsort(key, kind="stable")
    start = np.zeros((1 << width) + 1, dtype=np.int32 if len(a) < 1 << 31 else np.int64)
    np.cumsum(np.bincount(key, minlength=1 << width), out=start[1:])
    asked = _key(b, low, width)
    asking = np.argsort(asked, kind="stable")  # in this order, the table is read nearly from front to back
    table, asked, questions = a[order], asked[asking], b[asking]
    for mask in _masks(width, near):
        value = asked ^ mask
        begin = start[value]
        for place, asker in entries(begin, start[value + 1] - begin):
            distance = np.bitwise_count(table[place] ^ questions[asker])
            close = distance <= radius
            yield order[place[close]], asking[asker[close]], distance[close]


def _key(hashes: Words, low: int, width: int) -> NDArray[np.int32]:
    """Return `width` bits, 31 at most, from bit `low` on as numbers."""
    return ((hashes >> np.uint64(low)) & np.uint64((1 << width) - 1)).astype(np.int32)


def _masks(width: int, near: int) -> list[int]:
    """List the numbers of `width` bits with `near` bits set at most."""
    sets = (bits for count in range(min(near, width) + 1) for bits in combinations(range(width), count))
    return [sum(1 << bit for bit in bits) for bits in sets]


def _bounds(parts: int) -> list[tuple[int, int]]:
    """Cut 64 bits into nearly equal parts, as (low, high)."""
    edges = [round(BITS * part / parts) for part in range(parts + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))


def _radii(parts: int, radius: int) -> list[int]:
    """Radius of the search in each part; -1 where a part needs none."""
    each, more = divmod(radius, parts)
    return [each if part <= more else each - 1 for part in range(parts)]


def _cost(parts: int, radius: int, n: int, m: int) -> float:
    """Nanoseconds that a search would take among evenly spread hashes; endless where a table would not fit."""
    cost = 0.0
    for (low, high), near in zip(_bounds(parts), _radii(parts, radius), strict=True):
        width = high - low
        if width > 22:
            return float("inf")
        questions = sum(comb(width, count) for count in range(min(near, width) + 1)) if near >= 0 else 0
        cost += questions * m * (ASK + CANDIDATE * n / 2**width) + 2**width + 100.0 * n + 20_000.0 * questions
    return cost
