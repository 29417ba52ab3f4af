"""Redundant reports: the same text, to the letter or but for case, spaces and punctuation."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.reduce.strategy import DuplicatePairs, Pieces, Range, Signatures, Strategy
from medcl.stats import hamming
from medcl.stats.hamming import equal

_BETWEEN = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class SameText(Strategy):
    """Distance 0 of equal texts, 1 of all others, by digests of 64 bits.

    Two different texts of a million have one digest with a chance below 1 in 10 million.

    Args:
        normalised: texts are equal but for case, Unicode's ways to write a letter, spaces and punctuation.
    """

    normalised: bool = False
    kinds = ("report",)
    dims = ("record",)
    source = "text"
    measure = "distance"
    thresholds = Range(0, 0, 0, (0,))

    @property
    def name(self) -> str:
        """The name on the command line."""
        return "normalised-text" if self.normalised else "exact-text"

    def signatures(self, pieces: Pieces) -> Signatures:
        """Return digests, (n, 8) uint8."""
        read = [normal(text) if self.normalised else with_words(text) for text in pieces]
        digests = [np.frombuffer(blake2b(text.encode(), digest_size=8).digest(), dtype=np.uint8) for text in read]
        return np.stack(digests) if digests else np.empty((0, 8), dtype=np.uint8)

    def compare(self, a: Signatures, b: Signatures) -> NDArray[np.float32]:
        """Tell which texts differ: 1, else 0."""
        return np.asarray(hamming.words(a)[:, None] != hamming.words(b), dtype=np.float32)

    def search(self, a: Signatures, b: Signatures, threshold: float) -> Iterator[DuplicatePairs]:
        """Find all pairs of equal texts."""
        return (DuplicatePairs(*pairs) for pairs in hamming.search(hamming.words(a), hamming.words(b), 0))


def with_words(text: str) -> str:
    """Return a text that says something, unchanged.

    Raises:
        UnreadableError: it has neither a letter nor a digit.
    """
    if not _BETWEEN.sub("", text):
        raise UnreadableError("a report without words: nothing to compare")
    return text


def normal(text: str) -> str:
    """Return the words of a text: case folded, one space between, no punctuation.

    Raises:
        UnreadableError: there are none.
    """
    return with_words(_BETWEEN.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip())


PERMUTATIONS = 128
RUN = 3
"""Words of a shingle."""
BLOCK = 1 << 14
"""Pairs that are compared at a time."""


@dataclass(frozen=True)
class MinHash(Strategy):
    """Share of 128 minima that two normalised texts have in common: an estimate of Jaccard's of their shingles."""

    name = "minhash"
    kinds = ("report",)
    dims = ("record",)
    source = "text"
    thresholds = Range(0.8, 0, 1, (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1))

    @property
    def key(self) -> str:
        """What signatures are kept under; releases of datasketch draw other permutations."""
        return f"minhash-{version('datasketch')}-1"

    def signatures(self, pieces: Pieces) -> Signatures:
        """Return minima, (n, 128) uint32."""
        import datasketch

        shingles = [_shingles(text) for text in pieces]
        made = datasketch.MinHash.bulk(shingles, num_perm=PERMUTATIONS, seed=1)
        minima = [np.asarray(one.hashvalues).astype(np.uint32) for one in made]
        return np.stack(minima) if minima else np.empty((0, PERMUTATIONS), dtype=np.uint32)

    def compare(self, a: Signatures, b: Signatures) -> NDArray[np.float32]:
        """Compute the share of equal minima of each pair, (n, m)."""
        same = np.zeros((len(a), len(b)), dtype=np.float32)
        for column in range(a.shape[1]):
            same += a[:, column, None] == b[:, column]
        return same / np.float32(PERMUTATIONS)

    def search(self, a: Signatures, b: Signatures, threshold: float) -> Iterator[DuplicatePairs]:
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
                    yield DuplicatePairs(row[new], column[new], shares[count[new]])


def _all(a: Signatures, b: Signatures) -> DuplicatePairs:
    row, column = (each.ravel() for each in np.indices((len(a), len(b))))
    return DuplicatePairs(row, column, MinHash().compare(a, b).ravel())


def _ids(a: Signatures, b: Signatures) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the different rows of two tables: equal rows have one number."""
    _, ids = np.unique(np.concatenate([a, b]), axis=0, return_inverse=True)
    ids = ids.ravel()
    return ids[: len(a)], ids[len(a) :]


def _shingles(text: str) -> list[bytes]:
    words = normal(text).split()
    return [" ".join(words[start : start + RUN]).encode() for start in range(max(1, len(words) - RUN + 1))]
