"""Redundant reports by MinHash: texts that share most of their runs of three words (Broder, 1997)."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from medcl.archive.schema import Kind
from medcl.reduce.buckets import equal
from medcl.reduce.strategy import Measure, Pairs, Pieces, Range, Signatures, Source, Unit
from medcl.reduce.texts import normal

PERMUTATIONS = 128
RUN = 3
"""Words of a shingle."""
BLOCK = 1 << 14
"""Pairs that are compared at a time."""


@dataclass(frozen=True)
class MinHash:
    """Share of 128 minima that two normalised texts have in common: an estimate of Jaccard's of their shingles."""

    name: ClassVar[str] = "minhash"
    kinds: ClassVar[tuple[Kind, ...]] = ("report",)
    dims: ClassVar[tuple[Unit, ...]] = ("record",)
    source: ClassVar[Source] = "text"
    measure: ClassVar[Measure] = "similarity"
    thresholds: ClassVar[Range] = Range(0.8, 0, 1, (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1))

    @property
    def key(self) -> str:
        """What signatures are kept under; releases of datasketch draw other permutations."""
        return f"minhash-{version('datasketch')}-1"

    def signatures(self, pieces: Pieces) -> Signatures:
        """Return minima, (n, 128) uint32."""
        import datasketch

        shingles = [_shingles(text) for text in cast(list[str], pieces)]
        made = datasketch.MinHash.bulk(shingles, num_perm=PERMUTATIONS, seed=1)
        minima = [np.asarray(one.hashvalues).astype(np.uint32) for one in made]
        return np.stack(minima) if minima else np.empty((0, PERMUTATIONS), dtype=np.uint32)

    def compare(self, a: Signatures, b: Signatures) -> NDArray[np.float32]:
        """Compute the share of equal minima of each pair, (n, m)."""
        same = np.zeros((len(a), len(b)), dtype=np.float32)
        for column in range(a.shape[1]):
            same += a[:, column, None] == b[:, column]
        return same / np.float32(PERMUTATIONS)

    def search(self, a: Signatures, b: Signatures, threshold: float) -> Iterator[Pairs]:
        """Find all pairs at or above the threshold, exactly.

        A pair may differ in d of its minima. Cut into d + 1 bands, one band at least is the same in both: only pairs
        that share a band are compared.
        """
        shares = (np.arange(PERMUTATIONS + 1) / PERMUTATIONS).astype(np.float32)
        least = int(np.searchsorted(shares, threshold))
        if least == 0:
            yield _all(a, b)
            return
        bands = np.array_split(np.arange(PERMUTATIONS), PERMUTATIONS - least + 1)
        for number, band in enumerate(bands):
            for first, second in equal(*_ids(a[:, band], b[:, band])):
                for start in range(0, len(first), BLOCK):
                    row, column = first[start : start + BLOCK], second[start : start + BLOCK]
                    agree = a[row] == b[column]
                    before = np.zeros(len(row), dtype=bool)
                    for earlier in bands[:number]:
                        before |= agree[:, earlier].all(axis=1)
                    count = agree.sum(axis=1)
                    new = (count >= least) & ~before
                    yield Pairs(row[new], column[new], shares[count[new]])


def _all(a: Signatures, b: Signatures) -> Pairs:
    row, column = (each.ravel() for each in np.indices((len(a), len(b))))
    return Pairs(row, column, MinHash().compare(a, b).ravel())


def _ids(a: Signatures, b: Signatures) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the different rows of two tables: equal rows have one number."""
    _, ids = np.unique(np.concatenate([a, b]), axis=0, return_inverse=True)
    ids = ids.ravel()
    return ids[: len(a)], ids[len(a) :]


def _shingles(text: str) -> list[bytes]:
    words = normal(text).split()
    return [" ".join(words[start : start + RUN]).encode() for start in range(max(1, len(words) - RUN + 1))]
