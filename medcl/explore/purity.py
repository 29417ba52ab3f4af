"""The gap between records of several modalities that belong together."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from medcl.embed.vectors import Ints, Vectors
from medcl.explore.page import Categories
from medcl.stats.embedding_space import Gap, measure_gap

_JOINING = ("trial", "study")
"""Levels at which a record and a report of it meet, the nearest first."""


def modality_gaps(
    vectors: Vectors, kinds: Categories, levels: Mapping[str, Ints], patients: Ints, seed: int = 0
) -> dict[tuple[str, str], Gap]:
    """Measure the gap between each two kinds of records that belong together.

    Args:
        vectors: (N, dim) of a run on several modalities.
        kinds: (N,) of the records.
        levels: {level: (N,) codes}: records of one trial are pairs, where there is none those of one study.
        patients: (N,) group of each row.
        seed: of the records that the probe sees.

    Returns:
        {two kinds: gap}; without those of which no two records belong together.
    """
    found = {}
    codes = np.asarray(kinds.codes)
    for a, b in combinations(range(len(kinds.names)), 2):
        first, second = np.flatnonzero(codes == a), np.flatnonzero(codes == b)
        pairs = _pairs(first, second, levels)
        if len(pairs):
            found[kinds.names[a], kinds.names[b]] = measure_gap(
                vectors[first], vectors[second], pairs, patients[first], patients[second], seed=seed
            )
    return found


def _pairs(first: Ints, second: Ints, levels: Mapping[str, Ints]) -> Ints:
    """(pairs, 2) places in both lists."""
    for name in _JOINING:
        if name not in levels:
            continue
        of: dict[int, list[int]] = {}
        for place, code in enumerate(levels[name][second].tolist()):
            if code >= 0:
                of.setdefault(code, []).append(place)
        here = levels[name][first].tolist()
        pairs = [(place, other) for place, code in enumerate(here) for other in of.get(code, ())]
        if pairs:
            return np.array(pairs, dtype=np.int64)
    return np.empty((0, 2), dtype=np.int64)
