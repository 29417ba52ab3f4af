"""How embeddings use their space, as numbers: alignment, uniformity, rank, silhouette, modality gap, purity.

In numpy and float64; `medcl.contrast` has alignment and uniformity as losses of the same values.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcl.errors import MedclError
from medcl.stats.ranking import Ints

Vectors = NDArray[np.floating[Any]]
Codes = NDArray[np.integer[Any]]

MOST = 25_600
"""Number of vectors of which RankMe takes the effective rank."""
_MOST_COMPARED = 5_000  # vectors of which each is compared with each
_BLOCK = 1_024  # rows of the matrix of similarities at a time
_FOLDS = 5


@dataclass(frozen=True)
class Spread:
    """How vectors lie in their space.

    Args:
        rank: effective rank (RankMe), from 1 to dim.
        dim: width of the vectors.
        uniformity: 0 where all are one, about -4 where they cover the sphere.
        alignment: {level: mean squared distance of vectors of length 1 that share its id}, from 0 to 4.
        apart: the same over all pairs: what `alignment` has to undercut.
    """

    rank: float
    dim: int
    uniformity: float
    alignment: dict[str, float]
    apart: float


@dataclass(frozen=True)
class Gap:
    """Two modalities on the unit sphere.

    Args:
        distance: between the centroids (Liang et al., Mind the gap, 2022), from 0 to 2.
        variance: share of the total variance that lies between the centroids: 0 without a gap, 1 for two points.
        alignment: mean squared distance of pairs, from 0 to 4 (Wang and Isola 2020).
        alignment_all: the same over each with each: what `alignment` has to undercut.
        uniformity: of each side: 0 where all embeddings are one, about -4 where they cover the sphere.
        separable: balanced accuracy of a linear probe that predicts the modality, cross-validated by patient; 0.5 is
            chance. NaN for fewer than two patients.
        records: of each side.
    """

    distance: float
    variance: float
    alignment: float
    alignment_all: float
    uniformity: tuple[float, float]
    separable: float
    records: tuple[int, int]


def effective_rank(vectors: Vectors) -> float:
    """Number of directions that the vectors use: exp of the entropy of their singular values.

    Garrido et al., RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised Representations by Their
    Rank (ICML 2023), equation 2, without its epsilon of 1e-7: values below the rounding error of float32 count as 0.
    The vectors (N, dim) are neither centred nor scaled.

    Returns:
        From 1, where all are multiples of one vector, to min(N, dim); NaN without one, and where one is not finite.
    """
    x = np.asarray(vectors, dtype=np.float64)
    if not x.any() or not np.isfinite(x).all():
        return float("nan")
    if len(x) <= x.shape[1]:
        values = np.linalg.svd(x, compute_uv=False)
    else:  # of the square dim x dim: the number of vectors does not matter
        values = np.sqrt(np.maximum(np.linalg.eigvalsh(x.T @ x), 0))
    values = values[values > values.max() * np.finfo(np.float32).eps]
    share = values / values.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def alignment(vectors: Vectors, codes: Codes) -> float:
    """Mean squared distance, at length 1, of vectors (N, dim) that share a code (N,) (Wang and Isola, ICML 2020).

    The mean over the others of a vector's group, then over the vectors that have another; a code of -1 is none.

    Returns:
        From 0 to 4; NaN where no two vectors share a code.
    """
    known = codes >= 0
    z = _unit(vectors[known])
    _, group, counts = np.unique(codes[known], return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), z.shape[1]))
    np.add.at(sums, group, z)
    others = counts[group] - 1
    paired = others > 0
    if not paired.any():
        return float("nan")
    products = (z * (sums[group] - z)).sum(axis=1)[paired] / others[paired]
    return float((2 - 2 * products).mean())


def uniformity(vectors: Vectors, t: float = 2.0) -> float:
    """How evenly vectors of length 1 cover the sphere: log of the mean over pairs of exp(-t ||z_i - z_j||^2).

    Wang and Isola, Understanding Contrastive Representation Learning through Alignment and Uniformity on the
    Hypersphere (ICML 2020). The larger t, the more only the nearest pairs of the vectors (N, dim) count.

    Returns:
        0 where all vectors are one, about -2t where they cover a sphere of many dimensions; NaN for fewer than two.
    """
    z = _unit(vectors)
    count = len(z)
    if count < 2:
        return float("nan")
    total = 0.0
    for start in range(0, count, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, count))
        kernel = np.exp(t * (2 * (z[rows] @ z.T) - 2))
        kernel[rows - start, rows] = 0
        total += float(kernel.sum())
    return float(np.log(total / (count * (count - 1))))


def spread(vectors: Vectors, levels: dict[str, Codes]) -> Spread:
    """Measure how vectors use their space.

    Args:
        vectors: (N, dim), few enough for memory; of each with each, the first 5,000 are predictions.
        levels: {level: (N,) codes, -1 where there is none}.

    Returns:
        The measures; NaN where there are no such pairs, and no entry of a level that no two vectors share.
    """
    few = slice(0, _MOST_COMPARED)
    z = _unit(vectors[few])
    count, total, alike = len(z), z.sum(axis=0), float("nan")
    if count > 1:
        # The mean over all pairs follows from the sum of all vectors.
        alike = float((total @ total - np.square(z).sum()) / (count * (count - 1)))
    aligned = {name: alignment(z, codes[few]) for name, codes in levels.items()}
    return Spread(
        rank=effective_rank(vectors),
        dim=vectors.shape[1],
        uniformity=uniformity(z),
        alignment={name: value for name, value in aligned.items() if not np.isnan(value)},
        apart=2 - 2 * alike,
    )


def silhouette(vectors: Vectors, codes: Codes, seed: int = 0) -> float:
    """How much nearer vectors are to their own class than to the nearest other one, for vectors of length 1.

    Of more than 5,000 vectors (N, dim), the seed draws so many; a code (N,) of -1 is none.

    Returns:
        Mean over vectors, from -1 to 1; 0 where classes overlap; NaN without two classes of two vectors.
    """
    from sklearn.metrics import silhouette_score

    numbers = np.bincount(codes[codes >= 0], minlength=1)
    rows = np.flatnonzero((codes >= 0) & (numbers[codes] > 1))
    if len(rows) > _MOST_COMPARED:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST_COMPARED, replace=False))
    z = _unit(vectors[rows]).astype(np.float32)
    if len(np.unique(codes[rows])) < 2 or not np.ptp(z, axis=0).any():
        return float("nan")
    return float(silhouette_score(z, codes[rows], metric="euclidean"))


def measure_gap(
    a: Vectors, b: Vectors, pairs: NDArray[np.int64], patients_a: ArrayLike, patients_b: ArrayLike, *, seed: int = 0
) -> Gap:
    """Measure the gap between two modalities, a (N, D) and b (M, D), which need not be of unit length.

    Of the records of both, `pairs` (pairs, 2) belong together. The probe is tested on patients that it was not fitted
    on; where there are many records, the seed draws those of the probe.

    Raises:
        MedclError: there is no pair.
    """
    if not len(pairs):
        raise MedclError("modality gap: no two test records of both modalities belong together")
    sides = [_unit(vectors) for vectors in (a, b)]
    centres = [z.mean(axis=0) for z in sides]
    both = np.concatenate(sides)
    total = float(np.square(both - both.mean(axis=0)).sum())
    between = sum(
        len(z) * float(np.square(centre - both.mean(axis=0)).sum()) for z, centre in zip(sides, centres, strict=True)
    )
    products = (sides[0][pairs[:, 0]] * sides[1][pairs[:, 1]]).sum(axis=1)
    return Gap(
        distance=float(np.linalg.norm(centres[0] - centres[1])),
        variance=between / total if total else 0.0,
        alignment=float((2 - 2 * products).mean()),
        alignment_all=2 - 2 * float(centres[0] @ centres[1]),
        uniformity=(uniformity(sides[0]), uniformity(sides[1])),
        separable=_separable(sides, [np.asarray(patients_a), np.asarray(patients_b)], seed),
        records=(len(a), len(b)),
    )


def _separable(sides: list[NDArray[np.float64]], patients: list[NDArray[Any]], seed: int) -> float:
    """Cross-validated balanced accuracy of a logistic regression between two modalities."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import GroupKFold, cross_val_predict

    rng = np.random.default_rng(seed)
    chosen = [np.sort(rng.permutation(len(z))[:_MOST_COMPARED]) for z in sides]
    x = np.concatenate([z[rows] for z, rows in zip(sides, chosen, strict=True)])
    y = np.repeat([0, 1], [len(rows) for rows in chosen])
    groups = np.concatenate([ids[rows] for ids, rows in zip(patients, chosen, strict=True)])
    folds = min(_FOLDS, len(np.unique(groups)))
    if folds < 2:
        return float("nan")
    try:
        predicted = cross_val_predict(
            LogisticRegression(class_weight="balanced", max_iter=1000), x, y, groups=groups, cv=GroupKFold(folds)
        )
    except ValueError:  # a fold whose other patients have one modality only
        return float("nan")
    return float(balanced_accuracy_score(y, predicted))


def _unit(vectors: Vectors) -> NDArray[np.float64]:
    """(N, dim) at length 1, float64; one of length 0 stays."""
    x = np.asarray(vectors, dtype=np.float64)
    scaled: NDArray[np.float64] = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return scaled


K = 10
"""Number of neighbours."""


@dataclass(frozen=True)
class Purity:
    """How often neighbours share something: mean over the rows that have a partner, and the same by chance."""

    share: float
    chance: float
    rows: int


def purity(neighbours: Ints, codes: NDArray[np.integer[Any]], patients: Ints | None = None, k: int = K) -> Purity:
    """Measure how often the nearest neighbours of a row share its code.

    A row with m partners is judged by its min(k, m) nearest: 1 says that nothing else came between, also where a
    patient has two recordings only.

    Args:
        neighbours: (N, K) rows, nearest first, -1 where there are no more; K well above k where `patients` is given.
        codes: (N,) of a level or a class, -1 where there is none: such a row is no one's partner.
        patients: (N,) whose neighbours do not count among themselves: with classes, or a class seems known as soon as
            a patient is.
        k: number of neighbours.

    Returns:
        The purity; NaN without a row that has a partner.
    """
    ids: Ints = np.asarray(codes, dtype=np.int64)
    near = neighbours >= 0
    if patients is not None:
        near &= patients[neighbours] != patients[:, None]
    partners, others = _partners(ids, patients)
    asked = np.minimum(k, partners)
    place = np.cumsum(near, axis=1)
    looked_at = near & (place <= asked[:, None])
    hit = looked_at & (ids[neighbours] == ids[:, None])
    numbers = looked_at.sum(axis=1)
    rows = (ids >= 0) & (partners > 0) & (numbers > 0)
    if not rows.any():
        return Purity(float("nan"), float("nan"), 0)
    share = (hit.sum(axis=1)[rows] / numbers[rows]).mean()
    return Purity(float(share), float((partners[rows] / others[rows]).mean()), int(rows.sum()))


def _partners(codes: Ints, patients: Ints | None) -> tuple[Ints, Ints]:
    """(N,) how many others share the code, and how many there are; of other patients where they are given."""
    partners, others = _counts(codes) - 1, np.full(len(codes), len(codes) - 1)
    if patients is not None:
        pairs = np.unique(np.stack([codes, patients]), axis=1, return_inverse=True)[1].reshape(-1)
        partners, others = _counts(codes) - _counts(pairs), len(codes) - _counts(patients)
    partners[codes < 0] = 0
    return partners, others


def _counts(codes: Ints) -> Ints:
    """(N,) how often each code occurs."""
    _, inverse, numbers = np.unique(codes, return_inverse=True, return_counts=True)
    return np.asarray(numbers[inverse], dtype=np.int64)
