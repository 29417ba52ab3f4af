"""Selection of a number of units, spread evenly over clusters: what is common loses most (after SemDeDup, 2023)."""

from bisect import bisect_right
from typing import cast

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UsageError
from medcl.reduce.k_centre import k_centre
from medcl.reduce.kept import Kept, checked_size
from medcl.reduce.strategy import Signatures, Strategy, Vectorial

STARTS, ITERATIONS = 4, 50
Ints = NDArray[np.int64]


def balanced(signatures: Signatures, strategy: Strategy, size: int, clusters: int, seed: int = 0) -> Kept:
    """Cluster by k-means, give each cluster the same number of places, and fill them by k-centre.

    Small clusters are kept whole, and the places that they do not need go to the others. SemDeDup (Abbas et al.) drops
    by a threshold within each cluster; here the size is given, and units that are most unlike each other fill it.

    Args:
        signatures: (n, width) of one group, in the order that counts.
        strategy: what they are compared by; its signatures have vectors.
        size: units to keep; all where there are fewer.
        clusters: of k-means; at most the size, and as many as there are different units.
        seed: of the first centres.

    Returns:
        The selection; what is dropped stands for the nearest unit of its cluster that is kept.

    Raises:
        UsageError: the size or the clusters are below 1, or the strategy's signatures cannot be clustered.
    """
    n = len(signatures)
    size = checked_size(size, n)
    if clusters < 1:
        raise UsageError(f"clusters {clusters}: at least one")
    if not isinstance(strategy, Vectorial):
        raise UsageError(
            f"signatures of {strategy.name} cannot be averaged, and so not clustered: use k-centre, or a strategy such "
            f"as hash or embedding"
        )
    cluster = _clusters(strategy.vectors(signatures), min(clusters, size), seed)
    keep, duplicate_of = np.zeros(n, dtype=bool), np.arange(n)
    measure = np.full(n, np.nan, dtype=np.float32)
    for number, places in enumerate(quotas(np.bincount(cluster), size).tolist()):
        units = np.flatnonzero(cluster == number)
        kept = k_centre(signatures[units], strategy, places)
        keep[units], duplicate_of[units], measure[units] = kept.keep, units[kept.duplicate_of], kept.measure
    return Kept(keep, duplicate_of, measure)


def quotas(sizes: Ints, places: int) -> Ints:
    """Share places out among clusters: as evenly as their sizes allow, what is left over to the largest.

    Args:
        sizes: (k,) units of each cluster.
        places: at least one a cluster, and not more than there are units.

    Returns:
        (k,) places of each cluster, at most its size.
    """
    levels = range(int(sizes.max()) + 1)
    level = bisect_right(levels, places, key=lambda level: int(np.minimum(sizes, level).sum())) - 1
    share = np.minimum(sizes, level)
    largest = np.argsort(-sizes, kind="stable")
    more = largest[share[largest] < sizes[largest]][: places - int(share.sum())]
    share[more] += 1
    return np.asarray(share)


def _clusters(vectors: NDArray[np.float32], clusters: int, seed: int) -> Ints:
    """Number the cluster of each unit, (n,), in the order in which they first come."""
    from sklearn.cluster import KMeans

    different = len(np.unique(vectors, axis=0))
    model = KMeans(min(clusters, different), n_init=STARTS, max_iter=ITERATIONS, random_state=seed)
    labels = model.fit_predict(vectors)
    _, first, found = np.unique(labels, return_index=True, return_inverse=True)
    return cast(Ints, np.argsort(np.argsort(first))[found].astype(np.int64))
