"""Redundant reports: the same text, to the letter or but for case, spaces and punctuation."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from medcl.archive.schema import Kind
from medcl.errors import UnreadableError
from medcl.reduce import hamming
from medcl.reduce.strategy import Measure, Pairs, Pieces, Range, Signatures, Source, Unit

_BETWEEN = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class SameText:
    """Distance 0 of equal texts, 1 of all others, by digests of 64 bits.

    Two different texts of a million have one digest with a chance below 1 in 10 million.

    Args:
        normalised: texts are equal but for case, Unicode's ways to write a letter, spaces and punctuation.
    """

    normalised: bool = False
    kinds: ClassVar[tuple[Kind, ...]] = ("report",)
    dims: ClassVar[tuple[Unit, ...]] = ("record",)
    source: ClassVar[Source] = "text"
    measure: ClassVar[Measure] = "distance"
    thresholds: ClassVar[Range] = Range(0, 0, 0, (0,))

    @property
    def name(self) -> str:
        """The name on the command line."""
        return "normalised-text" if self.normalised else "exact-text"

    @property
    def key(self) -> str:
        """What signatures are kept under."""
        return f"{self.name}-1"

    def signatures(self, pieces: Pieces) -> Signatures:
        """Return digests, (n, 8) uint8."""
        texts = cast(list[str], pieces)
        read = [normal(text) if self.normalised else with_words(text) for text in texts]
        digests = [np.frombuffer(blake2b(text.encode(), digest_size=8).digest(), dtype=np.uint8) for text in read]
        return np.stack(digests) if digests else np.empty((0, 8), dtype=np.uint8)

    def compare(self, a: Signatures, b: Signatures) -> NDArray[np.float32]:
        """Tell which texts differ: 1, else 0."""
        return np.asarray(hamming.words(a)[:, None] != hamming.words(b), dtype=np.float32)

    def search(self, a: Signatures, b: Signatures, threshold: float) -> Iterator[Pairs]:
        """Find all pairs of equal texts."""
        return hamming.search(hamming.words(a), hamming.words(b), 0)


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
