"""The vectors of a file of embeddings, as they are compared: checked, of length 1, in blocks; their axes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from medcl.errors import MedclError

if TYPE_CHECKING:
    from medcl.embed.embeddings import EmbeddingsFile

Vectors: TypeAlias = NDArray[np.floating[Any]]
Ints: TypeAlias = NDArray[np.int64]
BLOCK = 1 << 16
"""Rows at a time."""


def vectors_of(embeddings: "EmbeddingsFile") -> Vectors:
    """The vectors of a file, of which none holds something that is not a number.

    Returns:
        (N, dim) float16 or float32, mapped from a file where they are many.

    Raises:
        MedclError: there is no embedding, or some hold NaN or infinity.
    """
    vectors: Vectors = embeddings.vectors()
    if not len(vectors):
        raise MedclError(f"{embeddings.paths[0]}: holds no embedding")
    bad = np.concatenate([np.flatnonzero(~np.isfinite(part).all(axis=1)) + at for at, part in blocks(vectors)])
    if len(bad):
        record = embeddings.column("record_id")[bad[0]]
        raise MedclError(
            f"{embeddings.paths[0]}: {len(bad)} of {len(vectors)} embeddings hold NaN or infinity, the first of them "
            f"that of record {record}: leave these rows out, or embed the archive again"
        )
    return vectors


def blocks(vectors: Vectors, size: int = BLOCK) -> Iterator[tuple[int, Vectors]]:
    """Vectors in blocks, with the row at which each begins."""
    for start in range(0, len(vectors), size):
        yield start, vectors[start : start + size]


def unit(vectors: Vectors) -> NDArray[np.float32]:
    """Vectors (N, dim) brought to length 1, float32; one of length 0 stays."""
    # In float32: the squares of float16 overflow from 256 on.
    x = np.asarray(vectors, dtype=np.float32)
    scaled: NDArray[np.float32] = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return scaled


def sample(count: int, most: int, seed: int) -> Ints:
    """Rows drawn without repetition, ascending; all of them where there are no more than `most`."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def groups_of(codes: NDArray[Any]) -> Ints:
    """Numbers (N,) from 0 for codes (N,) of a level; a row without one (-1) is a group of its own."""
    known = codes >= 0
    groups = np.empty(len(codes), dtype=np.int64)
    names, groups[known] = np.unique(codes[known], return_inverse=True)
    groups[~known] = len(names) + np.arange((~known).sum())
    return groups


@dataclass(frozen=True)
class Axes:
    """Directions in which vectors differ most.

    Args:
        mean: (dim,) of the vectors.
        directions: (dim, k) of length 1, the first has the largest variance; the largest entry of each is positive.
        variance: (k,) along each.
        total: variance in all directions.
    """

    mean: NDArray[np.float64]
    directions: NDArray[np.float64]
    variance: NDArray[np.float64]
    total: float

    def first(self, k: int) -> "Axes":
        """The k directions of the largest variance."""
        return Axes(self.mean, self.directions[:, :k], self.variance[:k], self.total)

    def coordinates(self, vectors: Vectors) -> NDArray[np.float32]:
        """Where vectors (N, dim) lie, (N, k) float32."""
        found = np.empty((len(vectors), self.directions.shape[1]), dtype=np.float32)
        for at, part in blocks(vectors):
            found[at : at + len(part)] = (unit(part) - self.mean) @ self.directions
        return found


def principal_axes(vectors: Vectors, k: int) -> Axes:
    """Find k directions, at most dim, in one pass over vectors (N, dim) that need not fit in memory.

    Vectors are brought to length 1, as they are compared by their cosine. The axes are the same for the same vectors
    wherever they are computed.
    """
    count, dim = vectors.shape
    mean = sum((unit(part).sum(axis=0, dtype=np.float64) for _, part in blocks(vectors)), np.zeros(dim)) / count
    scatter = np.zeros((dim, dim))
    for _, part in blocks(vectors):
        centred = unit(part) - mean
        scatter += centred.T @ centred
    values, directions = np.linalg.eigh(scatter / count)
    order = np.argsort(-values, kind="stable")[:k]
    chosen = directions[:, order]
    signs = np.sign(chosen[np.abs(chosen).argmax(axis=0), np.arange(chosen.shape[1])])
    variance = np.maximum(values, 0)
    return Axes(mean, chosen * signs, variance[order], float(variance.sum()))
