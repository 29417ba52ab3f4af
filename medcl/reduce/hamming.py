"""Redundant by hash: Hamming distance of hashes of 64 bits, and exact search for all pairs within a radius.

Norouzi, Punjani, Fleet, 'Fast exact search in Hamming space with multi-index hashing' (2014): hashes are cut into m
parts. With r = a m + b, two hashes within r of each other either agree up to a bits in one of the first b + 1 parts, or
up to a - 1 bits in one of the others. So a table of each part, asked for every value within that small radius, gives
all candidates, and few others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import fftpack

from medcl.reduce.resize import resize, stacks
from medcl.reduce.strategy import DuplicatePairs, Pieces, Range, Signatures, Strategy

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


def search(a: Words, b: Words, radius: int) -> Iterator[DuplicatePairs]:
    """Find all pairs of a (n,) and b (m,) of which at most `radius` bits differ, exactly.

    Yields:
        Each pair of a row of a and a row of b exactly once, in blocks of bounded memory.
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
            yield DuplicatePairs(row[new], column[new], distance[new].astype(np.float32))


def _all(a: Words, b: Words, radius: int) -> Iterator[DuplicatePairs]:
    rows = max(1, BLOCK // max(1, len(b)))
    for top in range(0, len(a), rows):
        distance = np.bitwise_count(a[top : top + rows, None] ^ b)
        row, column = np.nonzero(distance <= radius)
        yield DuplicatePairs(row + top, column, distance[row, column].astype(np.float32))


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


Method: TypeAlias = Literal["difference", "average", "perceptual"]
FINE = 4
"""Pixels a bit along each axis of the image from which a perceptual hash takes the low frequencies."""
SIDES = {1: (64,), 2: (8, 8), 3: (4, 4, 4)}
"""Bits along each axis."""


def hashes(values: NDArray[np.float32], method: Method, sides: tuple[int, ...] | None = None) -> NDArray[np.uint8]:
    """Hash pieces of one size.

    Args:
        values: (n, rows, columns), (n, x, y, z) or (n, samples), whole numbers from 0 to 255.
        method: `difference`, whether each value is above the one before it along the last axis; `average`, whether it
            is above the mean; `perceptual`, whether a low frequency (cosine transform) is above their median.
        sides: bits along each axis; 8 x 8, 4 x 4 x 4 or 64 where not given.

    Returns:
        (n, bits / 8): the bits in order, the first the highest of its byte, as ImageHash prints them.
    """
    sides = sides or SIDES[values.ndim - 1]
    axes = tuple(range(1, values.ndim))
    if method == "difference":
        small = resize(values, (*sides[:-1], sides[-1] + 1))
        bits = small[..., 1:] > small[..., :-1]
    elif method == "average":
        small = resize(values, sides)
        bits = small > small.mean(axis=axes, keepdims=True, dtype=np.float64)
    else:
        # As ImageHash: the transform has no norm, and the mean (frequency 0) is one of the frequencies.
        low = resize(values, tuple(FINE * side for side in sides)).astype(np.float64)
        for axis, side in zip(axes, sides, strict=True):
            low = fftpack.dct(low, axis=axis).take(np.arange(side), axis=axis)
        bits = low > np.median(low.reshape(len(low), -1), axis=1).reshape(-1, *[1] * len(axes))
    return np.packbits(bits.reshape(len(values), -1), axis=1)


class ByHamming(Strategy):
    """What strategies of 64 bits share: their signatures, (n, 8) bytes, are compared by the bits that differ."""

    def compare(self, a: Signatures, b: Signatures) -> NDArray[np.float32]:
        """Count the bits that differ, (n, m)."""
        return distances(words(a), words(b))

    def search(self, a: Signatures, b: Signatures, threshold: float) -> Iterator[DuplicatePairs]:
        """Find all pairs within the threshold, exactly."""
        return search(words(a), words(b), int(threshold))

    def vectors(self, signatures: Signatures) -> NDArray[np.float32]:
        """Return the bits, (n, 64)."""
        return np.unpackbits(signatures, axis=1).astype(np.float32)


@dataclass(frozen=True)
class Hash(ByHamming):
    """Hamming distance of hashes, 'Hash-6' of 'Less is More' (2024): slices by 8 x 8 bits, volumes by 4 x 4 x 4.

    Of signals the first channels are hashed, each for itself: 8, 4, 2 or 1 of them by as many bits as make 64.

    Args:
        name: on the command line.
        method: of hashing.
    """

    name: str = "hash"
    method: Method = "difference"
    kinds = ("volume", "image", "signal")
    measure = "distance"
    thresholds = Range(6, 0, BITS, (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24))

    @property
    def key(self) -> str:
        """What signatures are kept under."""
        return f"hash-{self.method}-1"

    def signatures(self, pieces: Pieces) -> Signatures:
        """Hash pieces to (n, 8) bytes."""
        result = np.empty((len(pieces), BITS // 8), dtype=np.uint8)
        flat = len(pieces) > 0 and pieces[0].ndim == 2
        for rows, values in stacks(pieces, joined=not flat):
            result[rows] = channel_hashes(values, self.method) if flat else hashes(values, self.method)
        return result


def channel_hashes(values: NDArray[np.float32], method: Method) -> NDArray[np.uint8]:
    """Hash the first channels of signals, (n, C, samples) from 0 to 255, to (n, 8) bytes."""
    rows = next(rows for rows in (8, 4, 2, 1) if rows <= values.shape[1])
    if method == "perceptual":
        values = values[:, :rows]
        each = [hashes(values[:, row], method, (BITS // rows,)) for row in range(rows)]
        return np.concatenate(each, axis=1)
    return hashes(values[:, :rows], method, (rows, BITS // rows))
