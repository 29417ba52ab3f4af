"""Embeddings on a plane: principal components, t-SNE, and UMAP where it is installed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from medcl.embed.vectors import BLOCK, Axes, Ints, Vectors, blocks, principal_axes, sample
from medcl.engine.progress import progress
from medcl.errors import UsageError, did_you_mean, not_installed
from medcl.explore.neighbours import euclidean_index, nearest

Method = Literal["pca", "tsne", "umap"]
METHODS: tuple[Method, ...] = get_args(Method)
NAMES = {"tsne": "t-SNE", "pca": "PCA", "umap": "UMAP"}
MOST = 12_000
"""Points that t-SNE and UMAP are fitted on; others are placed among them."""
_FIRST_STEPS, _STEPS, _COUNTED = 250, 500, 25
"""Steps of t-SNE in which groups form and those after them; how many are counted at a time."""
_QUICK_STEPS, _QUICK_GRID = 250, 2
"""Steps of t-SNE and width of a cell of its grid where most points are placed among those that it is fitted on. It
takes a quarter of the time of all steps on a fine grid; of 100,000 points, the nearest neighbours are as often near."""
PERPLEXITY = 30.0
COMPONENTS = 50  # of PCA, in which t-SNE and UMAP look for neighbours
_PLACED_BY = 10  # neighbours that were fitted
_ONE_CORE = 2_000  # points up to which cores would wait for each other for longer than they compute
_SAME = 1e-12  # variance of vectors of length 1 below which they are one point
Plane: TypeAlias = NDArray[np.float32]
Place: TypeAlias = Callable[[NDArray[np.float32]], Plane]


@dataclass(frozen=True)
class Projection:
    """Where embeddings lie on a plane.

    Args:
        method: by which they were placed.
        xy: (N, 2) float32.
        fitted: rows that the method was fitted on, ascending; the others were placed among them.
        note: a sentence that a reader of the map should know; may be empty.
    """

    method: Method
    xy: Plane
    fitted: Ints
    note: str = ""
    _axes: Axes = field(kw_only=True, repr=False)
    _model: Callable[[], Place] = field(kw_only=True, repr=False)

    def transform(self, vectors: Vectors) -> Plane:
        """Place new embeddings (M, dim) of the same run on the map, which stays as it is: (M, 2) float32.

        Raises:
            UsageError: the vectors are of another width, or hold NaN.
        """
        if vectors.ndim != 2 or vectors.shape[1] != len(self._axes.mean):
            raise UsageError(f"vectors (M, {len(self._axes.mean)}) expected, as projected before; got {vectors.shape}")
        _finite(vectors)
        return self._model()(self._axes.coordinates(vectors))


def project(
    vectors: Vectors,
    method: Method = "tsne",
    *,
    seed: int = 0,
    most: int = MOST,
    axes: Axes | None = None,
    known: tuple[Plane, Ints, str] | None = None,
) -> Projection:
    """Lay embeddings out on a plane, or take up a projection that is known: coordinates, fitted rows, note.

    Vectors are brought to length 1, so that neighbours on the map are those of the largest cosine. t-SNE and UMAP see
    the first 50 principal components; t-SNE begins at the first two (Kobak and Berens 2019), so that its map keeps the
    large groups where PCA has them.

    Args:
        vectors: (N, dim).
        method: `pca`, `tsne` (openTSNE), or `umap` where umap-learn is installed.
        seed: random seed; the same vectors and seed give the same map, on any number of cores.
        most: points that t-SNE or UMAP is fitted on, drawn with the seed; the others are placed among them.
        axes: principal axes of the vectors, where they have been computed.
        known: coordinates, rows that were fitted, note.

    Raises:
        UsageError: no such method, UMAP is not installed, vectors hold NaN, or they are too few.
    """
    if method not in METHODS:
        raise UsageError(f"no projection {method!r}: there are {', '.join(METHODS)}{did_you_mean(method, METHODS)}")
    if vectors.ndim != 2 or not len(vectors):
        raise UsageError(f"vectors (N, dim) expected, with N above 0; got {vectors.shape}")
    if known is None:
        _finite(vectors)
    components = 2 if method == "pca" else COMPONENTS
    axes = (axes or principal_axes(vectors, components)).first(components)
    count = len(vectors)
    if axes.total < _SAME:
        note = "" if count == 1 else f"All {count:,} embeddings are the same: the encoder has collapsed."
        return Projection(
            method, np.zeros((count, 2), np.float32), np.arange(count), note, _axes=axes, _model=lambda: _centre
        )
    if method == "pca":
        part = axes.variance / axes.total
        shares = " and ".join(f"{100 * share:.0f}%" for share in part)
        note = f"PCA: the axes show {shares} of the variance of the embeddings, brought to length 1."
        return Projection(
            method, _two(axes.coordinates(vectors)), np.arange(count), note, _axes=axes, _model=lambda: _two
        )
    fit, model = (_fit_tsne, _tsne) if method == "tsne" else (_fit_umap, _umap)
    if known is not None:
        xy, rows, note = known
        x = axes.coordinates(vectors[rows])
        return Projection(method, xy, rows, note, _axes=axes, _model=lambda: model(x, xy[rows], seed))
    rows = sample(count, most, seed)
    x = axes.coordinates(vectors[rows])
    on_map, note = fit(x, seed, len(rows) < count)
    xy = np.empty((count, 2), dtype=np.float32)
    xy[rows] = on_map
    if len(rows) < count:
        note += (
            f" It was fitted on {len(rows):,} of {count:,} embeddings, drawn at random (seed {seed}); the others were "
            "placed among them."
        )
        there, put = np.zeros(count, dtype=bool), model(x, on_map, seed)
        there[rows] = True
        others = np.flatnonzero(~there)
        for start in range(0, len(others), BLOCK):
            some = others[start : start + BLOCK]
            xy[some] = put(axes.coordinates(vectors[some]))
    return Projection(method, xy, rows, note, _axes=axes, _model=lambda: model(x, on_map, seed))


def _perplexity(count: int) -> float:
    """As large as the number of points allows.

    Raises:
        UsageError: there are too few.
    """
    if count < 4:
        raise UsageError(f"t-SNE needs four embeddings or more, these are {count}: take pca")
    return min(PERPLEXITY, (count - 1) / 3)


def _fit_tsne(x: Plane, seed: int, quick: bool) -> tuple[Plane, str]:
    from openTSNE import TSNE, initialization
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    perplexity = _perplexity(len(x))
    distances, places = nearest(x, min(len(x) - 1, int(3 * perplexity)))
    affinities = PerplexityBasedNN(perplexity=perplexity, knn_index=PrecomputedNeighbors(places, distances))
    start = initialization.rescale(_two(x).astype(np.float64))
    start = initialization.jitter(start, inplace=True, random_state=seed)
    options = {"n_iter": _QUICK_STEPS, "ints_in_interval": _QUICK_GRID} if quick else {"n_iter": _STEPS}
    with progress("explore: t-SNE", _FIRST_STEPS + options["n_iter"], "step") as bar:

        def count(*_: object) -> None:
            bar.update(_COUNTED)

        tsne = TSNE(
            perplexity=perplexity,
            early_exaggeration_iter=_FIRST_STEPS,
            random_state=seed,
            n_jobs=1 if len(x) <= _ONE_CORE else -1,
            callbacks=count,
            callbacks_every_iters=_COUNTED,
            **options,
        )
        xy = np.asarray(tsne.fit(affinities=affinities, initialization=start), dtype=np.float32)
    note = f"t-SNE, perplexity {perplexity:.3g}: near points are alike; distances between groups mean little."
    if perplexity < PERPLEXITY:
        note += f" {len(x):,} embeddings are too few for a perplexity of {PERPLEXITY:.0f}."
    return xy, note


def _tsne(x: Plane, xy: Plane, seed: int) -> Place:
    """Place points at the mean of their nearest ones that were fitted, the nearer the more.

    openTSNE's own way moves each point on from there by gradient steps, which takes minutes for 100,000 points.
    """
    index = euclidean_index(x, seed)

    def put(new: NDArray[np.float32]) -> Plane:
        squares, places = index.search(np.ascontiguousarray(new), min(_PLACED_BY, len(x)))
        # An index in cells finds fewer where a cell is nearly empty. A point that was fitted stays where it is.
        weights = np.where(places < 0, 0, 1 / (np.maximum(squares, 0) + 1e-9))[:, :, None]
        return np.asarray((weights * xy[places]).sum(axis=1) / weights.sum(axis=1), dtype=np.float32)

    return put


def _umap_model(x: Plane, seed: int) -> Any:
    try:
        from umap import UMAP  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise UsageError(f"{not_installed('umap', '--projection umap')}, or take tsne or pca") from error
    if len(x) < 4:
        raise UsageError(f"UMAP needs four embeddings or more, these are {len(x)}: take pca")
    return UMAP(n_neighbors=min(15, len(x) - 1), init="pca", random_state=seed, n_jobs=1).fit(x)


def _fit_umap(x: Plane, seed: int, quick: bool) -> tuple[Plane, str]:
    note = "UMAP, 15 neighbours: near points are alike; distances between groups mean little."
    return np.asarray(_umap_model(x, seed).embedding_, dtype=np.float32), note


def _umap(x: Plane, xy: Plane, seed: int) -> Place:
    model = _umap_model(x, seed)
    return lambda new: np.asarray(model.transform(new), dtype=np.float32)


def _two(x: NDArray[np.float32]) -> Plane:
    """The first two columns, the second 0 where there is one only."""
    return x[:, :2].copy() if x.shape[1] > 1 else np.pad(x, ((0, 0), (0, 1)))


def _centre(x: NDArray[np.float32]) -> Plane:
    return np.zeros((len(x), 2), dtype=np.float32)


def _finite(vectors: Vectors) -> None:
    for at, part in blocks(vectors):
        bad = ~np.isfinite(part).all(axis=1)
        if bad.any():
            raise UsageError(f"vectors: row {at + int(bad.argmax())} holds NaN or infinity: leave it out")
