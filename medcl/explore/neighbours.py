"""The nearest embeddings of many, by cosine: faiss, exact while the vectors fit in memory with ease."""

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.embed.points import Ints, Vectors, blocks, sample, unit
from medcl.explore.axes import principal_axes

EXACT = 1 << 30
"""Bytes of float32 vectors up to which each is compared with each query."""
_FEW = 50_000
"""Rows whose neighbours among themselves are found exactly; for more it would take hours."""
_COMPONENTS = 64
"""Principal components in which the neighbours of more rows are looked for."""
_PROBES = 32  # cells that are looked into
_FEW_PROBES = 8
_CROWD = 5_000  # points from which on cells save time
_TRAIN = 64  # vectors a cell, from which its centre is found


def new_index(vectors: Vectors, exact: int = EXACT, seed: int = 0) -> Any:
    """An index of vectors.

    Args:
        vectors: (N, dim), read block by block.
        exact: bytes up to which it is exact. A larger one keeps a byte a number, in cells: what it finds has to be
            ranked by the vectors themselves.
        seed: of the vectors that the cells are found from.

    Returns:
        A faiss index of inner products of vectors of length 1.
    """
    import faiss

    count, dim = vectors.shape
    if count * dim * 4 <= exact:
        index: Any = faiss.IndexFlatIP(dim)
    else:
        index = faiss.index_factory(dim, f"IVF{_cells(count)},SQ8", faiss.METRIC_INNER_PRODUCT)
        _train(index, vectors, seed)
    add(index, vectors)
    return index


def add(index: Any, vectors: Vectors) -> None:
    """Add vectors to an index, behind those that it holds."""
    for _, part in blocks(vectors):
        index.add(unit(part))


def search(index: Any, queries: Vectors, k: int, allowed: NDArray[np.bool_] | None = None) -> tuple[Vectors, Ints]:
    """The k nearest of an index.

    Args:
        index: of `new_index`.
        queries: (Q, dim).
        k: how many.
        allowed: (N,) which may be found; default: all.

    Returns:
        (Q, k) cosines, of an index that is not exact about so, and (Q, k) places, -1 where there are no more.
    """
    # faiss makes its classes at run time: its stubs know none of their keywords.
    faiss: Any = importlib.import_module("faiss")
    options: dict[str, Any] = {}
    if allowed is not None:
        options["sel"] = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
    if is_exact(index):
        parameters = faiss.SearchParameters(**options)
    else:
        parameters = faiss.SearchParametersIVF(nprobe=_PROBES, **options)
    similarity, places = index.search(unit(queries), k, params=parameters)
    return similarity, places


def is_exact(index: Any) -> bool:
    """Whether an index compares each of its vectors with a query."""
    return not hasattr(index, "nprobe")


def among(vectors: Vectors, k: int, seed: int = 0) -> Ints:
    """The k nearest to each vector among the others.

    Args:
        vectors: (N, dim).
        k: number of neighbours.
        seed: of the vectors that cells are found from, where they are more than 50,000: these are compared in their
            first 64 principal components, and some neighbours are missed.

    Returns:
        (N, k) rows, nearest first, -1 where there are no more.
    """
    count = len(vectors)
    k = min(k, count - 1)
    if k < 1:
        return np.empty((count, 0), dtype=np.int64)
    if count <= _FEW:
        index = new_index(vectors)
    else:
        vectors = principal_axes(vectors, _COMPONENTS).coordinates(vectors)
        index = euclidean_index(vectors, seed)
    found = np.empty((count, k), dtype=np.int64)
    for at, part in blocks(vectors):
        places = search(index, part, k + 1)[1] if count <= _FEW else index.search(part, k + 1)[1]
        own = places == np.arange(at, at + len(part))[:, None]
        # Of vectors that are the same, another may come first, and itself be missing.
        own[~own.any(axis=1), -1] = True
        found[at : at + len(part)] = places[~own].reshape(len(part), k)
    return found


def euclidean_index(points: NDArray[np.float32], seed: int = 0) -> Any:
    """An index of points as they are, by their distance; of many in cells, of which a few are looked into.

    Args:
        points: (N, dim).
        seed: of the points that the cells are found from.

    Returns:
        A faiss index.
    """
    faiss: Any = importlib.import_module("faiss")
    count, dim = points.shape
    cells = int(2 * np.sqrt(count))
    if count <= _CROWD:
        index = faiss.IndexFlatL2(dim)
    else:
        index = faiss.index_factory(dim, f"IVF{cells},Flat", faiss.METRIC_L2)
        index.nprobe = _FEW_PROBES
        index.train(points[sample(count, _TRAIN * cells, seed)])
    index.add(np.ascontiguousarray(points))
    return index


def _cells(count: int) -> int:
    return max(1, min(int(4 * np.sqrt(count)), count // 40))


def _train(index: Any, vectors: Vectors, seed: int) -> None:
    index.train(unit(vectors[sample(len(vectors), max(_TRAIN * index.nlist, 10_000), seed)]))
