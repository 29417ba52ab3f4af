"""Entries of a sorted table that many questions point at, listed in blocks of bounded memory."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 20
"""Entries that are listed at a time."""
Ints = NDArray[np.int64]


def entries(begin: NDArray[np.integer], count: NDArray[np.integer]) -> Iterator[tuple[Ints, Ints]]:
    """List the entries of buckets.

    Args:
        begin: (q,) first place in the table of the bucket that each question points at.
        count: (q,) entries of that bucket.

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
        # A bucket that alone holds more than a block, as that of an archive of one picture, is cut.
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
