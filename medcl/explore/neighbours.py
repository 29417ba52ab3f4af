"""The nearest embeddings of many, by cosine: faiss, exact while the vectors fit in memory with ease."""

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.embed.vectors import Axes, Ints, Vectors, blocks, principal_axes, sample, unit

EXACT = 1 << 30
"""Bytes of float32 vectors up to which each is compared with each query."""
_FEW = 50_000
"""Rows whose neighbours among themselves are found exactly; for more it would take hours."""
COMPONENTS = 128
"""Principal components in which the neighbours of more rows are looked for."""
_CODED = 64  # of these, which short codes are made of
_CANDIDATES = 4  # for each neighbour: the nearest by their codes of 4 bits, which are ranked by their coordinates
_PROBES = 32  # cells that are looked into
_FEW_PROBES = 8
_RANKED = 1024  # points at a time
_WITHOUT_BLAS = 16
"""Queries at a time: faiss hands more of them to BLAS, whose rounding depends on the number of cores."""
_CROWD = 5_000  # points from which on cells save time
_TRAIN = 40  # vectors a cell, from which its centre is found


def new_index(vectors: Vectors, exact: int = EXACT) -> Any:
    """A faiss index of inner products of vectors (N, dim), brought to length 1 block by block.

    It is exact up to so many bytes. A larger one keeps a byte a number, in cells: what it finds has to be ranked by the
    vectors themselves.
    """
    import faiss

    count, dim = vectors.shape
    if count * dim * 4 <= exact:
        index: Any = faiss.IndexFlatIP(dim)
    else:
        cells = max(1, min(int(4 * np.sqrt(count)), count // 40))
        index = faiss.index_factory(dim, f"IVF{cells},SQ8", faiss.METRIC_INNER_PRODUCT)
        index.train(unit(vectors[sample(count, max(_TRAIN * index.nlist, 10_000), 0)]))
    add(index, vectors)
    return index


def add(index: Any, vectors: Vectors) -> None:
    """Add vectors to an index, behind those that it holds."""
    for _, part in blocks(vectors):
        index.add(unit(part))


def search(index: Any, queries: Vectors, k: int, allowed: NDArray[np.bool_] | None = None) -> tuple[Vectors, Ints]:
    """The k nearest of an index to queries (Q, dim), of those that are allowed (N,); default: all.

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


def among(vectors: Vectors, k: int, seed: int = 0, axes: Axes | None = None) -> Ints:
    """The k nearest to each vector (N, dim) among the others: (N, k) rows, nearest first, -1 where there are no more.

    More than 50,000 are compared in their first 128 principal components, given or computed, in cells found with the
    seed; some neighbours, few in a hundred, are missed.
    """
    count = len(vectors)
    k = min(k, count - 1)
    if k < 1:
        return np.empty((count, 0), dtype=np.int64)
    found = np.empty((count, k), dtype=np.int64)
    if count <= _FEW:
        index = new_index(vectors)
        near: Iterator[tuple[int, Ints]] = ((at, search(index, part, k + 1)[1]) for at, part in blocks(vectors))
    else:
        axes = (axes or principal_axes(vectors, COMPONENTS)).first(COMPONENTS)
        near = _near_of_many(axes.coordinates(vectors), k + 1, seed)
    for at, places in near:
        own = places == np.arange(at, at + len(places))[:, None]
        # Of vectors that are the same, another may come first, and itself be missing.
        own[~own.any(axis=1), -1] = True
        found[at : at + len(places)] = places[~own].reshape(-1, k)
    return found


def _near_of_many(points: NDArray[np.float32], k: int, seed: int) -> Iterator[tuple[int, Ints]]:
    """The k nearest to each of many points, block by block: found by short codes, ranked by the points themselves."""
    coded = np.ascontiguousarray(points[:, :_CODED])
    index = _coded_index(coded, seed)
    for at, part in blocks(points, _RANKED):
        places = index.search(coded[at : at + len(part)], k * _CANDIDATES)[1]
        apart = points[places]
        apart -= part[:, None]
        squares = np.where(places < 0, np.inf, np.einsum("qkd,qkd->qk", apart, apart))
        yield at, np.take_along_axis(places, np.argsort(squares, axis=1, kind="stable")[:, :k], axis=1)


def nearest(points: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], Ints]:
    """The k nearest to each of few points (N, dim) among the others, to the bit the same on any number of cores.

    Returns:
        (N, k) distances and (N, k) rows, nearest first.
    """
    faiss: Any = importlib.import_module("faiss")
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(np.ascontiguousarray(points))
    parts = [index.search(np.ascontiguousarray(part), k + 1) for _, part in blocks(points, _WITHOUT_BLAS)]
    squares, places = (np.concatenate(some) for some in zip(*parts, strict=True))
    others = places != np.arange(len(points))[:, None]
    # Of points that are the same, another may come first, and itself be missing.
    others[others.all(axis=1), -1] = False
    return np.sqrt(squares[others]).reshape(-1, k), places[others].reshape(-1, k)


def _coded_index(points: NDArray[np.float32], seed: int) -> Any:
    """An index of many points by their distance, in cells: of two coordinates it keeps 4 bits."""
    faiss: Any = importlib.import_module("faiss")
    count, dim = points.shape
    if dim % 2:
        return euclidean_index(points, seed)
    cells = int(1.5 * np.sqrt(count))
    index = faiss.index_factory(dim, f"IVF{cells},PQ{dim // 2}x4fsr", faiss.METRIC_L2)
    index.nprobe = _FEW_PROBES // 2
    index.train(points[sample(count, _TRAIN * cells, seed)])
    index.add(points)
    return index


def euclidean_index(points: NDArray[np.float32], seed: int = 0) -> Any:
    """A faiss index of points (N, dim) as they are, by their distance; of many in cells, few of them looked into."""
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
