"""Tables of numbers next to the map, in words; each says how to read it."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from medcl.embed.vectors import Ints, Vectors, groups_of, sample
from medcl.explore.confounders import LEVEL, PERMUTATIONS, Confounder, confounders, taken
from medcl.explore.neighbours import among
from medcl.explore.outliers import distances, drift
from medcl.explore.page import Categories, Column, MeasureTable
from medcl.stats.embedding_space import MOST, Gap, K, Spread, measure_gap, purity, silhouette, spread
from medcl.wording import bounds, count, number

_JOINING = ("trial", "study")
"""Levels at which a record and a report of it meet, the nearest first."""


def modality_gaps(
    vectors: Vectors, kinds: Categories, levels: Mapping[str, Ints], patients: Ints, seed: int = 0
) -> dict[tuple[str, str], Gap]:
    """Measure the gap between each two kinds (N,) of records that belong together, of vectors (N, dim).

    Records of one trial are pairs, where there is none those of one study; of patients (N,) see `measure_gap`.

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


SPLIT, KIND, TRAIN = "split", "kind", "train"
_NEIGHBOURS = 20_000  # embeddings among which neighbours are looked for
_FAR = 60  # neighbours of a row, to be left with `K` of other patients
_CLASSES = 50  # of a column whose silhouette is measured


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Args:
        tables: for the page.
        notes: sentences that a reader should know.
        confounders: what can be read off the embeddings, the most certain first.
    """

    tables: tuple[MeasureTable, ...]
    notes: tuple[str, ...]
    confounders: tuple[Confounder, ...]


def measure(
    vectors: Vectors,
    columns: Mapping[str, Column],
    levels: Mapping[str, Ints],
    *,
    joint: bool = False,
    seed: int = 0,
    permutations: int = PERMUTATIONS,
) -> Measured:
    """Measure embeddings; of many, a sample that the notes state.

    Args:
        vectors: (N, dim), checked.
        columns: {name: (N,) what is known of the records}.
        levels: {level: (N,) codes, -1 where there is none}.
        joint: whether several modalities lie in one space.
        seed: random seed.
        permutations: of the values of each column.
    """
    patients = groups_of(levels["patient"]) if "patient" in levels else np.arange(len(vectors))
    notes = [] if "patient" in levels else ["No patients are known: each embedding counts as a patient of its own."]
    tables: list[MeasureTable] = []
    found: list[Confounder] = []
    few = sample(len(vectors), MOST, seed)
    if len(few) < len(vectors):
        notes.append(
            f"Measures are of at most {len(few):,} of {len(vectors):,} embeddings, drawn at random (seed {seed})."
        )
    space = spread(np.asarray(vectors[few], np.float32), {name: codes[few] for name, codes in levels.items()})
    tables.append(_space(space))
    if len(vectors) > 1 and not space.rank > 1 + 1e-6:
        notes.append("All embeddings point in one direction: the encoder has collapsed; other measures are left out.")
    else:
        near = few[sample(len(few), _NEIGHBOURS, seed)]
        of_near = _columns(columns, near), _levels(levels, near), patients[near]
        tables.append(_neighbours(np.asarray(vectors[near], np.float32), *of_near))
        found = confounders(vectors, columns, patients, seed=seed, permutations=permutations)
        tables.append(_confounders(found))
        told = columns.get(SPLIT)
        if isinstance(told, Categories) and TRAIN in told.names:
            tables.append(_drift(vectors[few], Categories(told.codes[few], told.names), patients[few], seed))
        kinds = columns.get(KIND)
        if joint and isinstance(kinds, Categories):
            of_few = Categories(kinds.codes[few], kinds.names), _levels(levels, few), patients[few]
            tables.append(_gaps(vectors[few], *of_few, seed))
    notes += [f"{one.name} was not predicted from the embeddings: it {one.reason}." for one in found if one.reason]
    return Measured(tuple(one for one in tables if one.rows), tuple(notes), tuple(found))


def _columns(columns: Mapping[str, Column], rows: Ints) -> dict[str, Column]:
    return {name: taken(column, rows) for name, column in columns.items()}


def _levels(levels: Mapping[str, Ints], rows: Ints) -> dict[str, Ints]:
    return {name: codes[rows] for name, codes in levels.items()}


def _space(space: Spread) -> MeasureTable:
    rows = [
        ("effective rank", number(space.rank), f"of {space.dim}"),
        ("uniformity", number(space.uniformity), "0: one point; about -4: evenly spread"),
    ]
    rows += [
        (f"alignment, {name}", number(value), f"all pairs: {number(space.apart)}")
        for name, value in space.alignment.items()
    ]
    note = (
        "Effective rank (RankMe): number of directions in use. Alignment: mean squared distance, from 0 to 4, of "
        "vectors of length 1 that belong together."
    )
    return MeasureTable("The space", ("measure", "value", "compare with"), tuple(rows), note)


def _neighbours(
    vectors: Vectors, columns: Mapping[str, Column], levels: Mapping[str, Ints], patients: Ints
) -> MeasureTable:
    near = among(vectors, _FAR)
    several = len(np.unique(patients)) < len(patients)
    found = [(name, purity(near, codes), "") for name, codes in levels.items()]
    for name, column in columns.items():
        if isinstance(column, Categories) and 1 < len(column.names) <= _CLASSES:
            one = purity(near, column.codes, patients if several else None)
            found.append((name, one, number(silhouette(vectors, column.codes)) if one.rows else ""))
    return MeasureTable(
        f"Neighbours: share of the {K} nearest with the same value",
        ("in", "share", "by chance", "silhouette", "embeddings"),
        tuple(
            (name, number(one.share), number(one.chance), apart, count(one.rows))
            for name, one, apart in found
            if one.rows
        ),
        "For columns, only neighbours of other patients count. Silhouette: from -1 to 1, 0 where classes overlap.",
    )


def _confounders(found: list[Confounder]) -> MeasureTable:
    rows = [
        (
            one.name,
            f"{one.measure.replace('R2', 'R²')} {number(one.score)} {bounds(one.low, one.high)}".strip(),
            number(one.chance),
            f"{100 * one.share:.1f}%",
            f"{one.p:.3f}",
            "yes" if one.found else "no",
            count(one.patients),
        )
        for one in found
        if not one.reason
    ]
    return MeasureTable(
        "What a linear probe predicts from the embeddings",
        ("column", "linear probe", "by chance", "share of the variance", "p", "found", "patients"),
        tuple(rows),
        "A linear probe predicts each column for patients it did not see; 95% interval over patients. Chance and p: "
        f"values exchanged between patients, p corrected for the number of columns (Holm), found below {LEVEL:g}. A "
        "site, device, sex or age that is found may confound a diagnosis; of two correlated columns both are found.",
    )


def _drift(vectors: Vectors, split: Categories, patients: Ints, seed: int) -> MeasureTable:
    training = np.asarray(split.codes) == split.names.index(TRAIN)
    found = (
        drift(distances(vectors, training, patients, seed=seed), split, patients, seed=seed) if training.any() else []
    )
    rows = [
        (
            one.name,
            number(one.median),
            f"{100 * one.beyond:.0f}%",
            f"{number(one.auroc)} {bounds(one.low, one.high)}".strip(),
            count(one.rows),
        )
        for one in found
    ]
    return MeasureTable(
        "Drift: distance from the training embeddings",
        ("split", "median distance", "beyond 95% of training", "AUROC against training", "embeddings"),
        tuple(rows),
        "Mean cosine distance to the 10 nearest training embeddings of other patients. 5% and 0.5 are expected without "
        "drift.",
    )


def _gaps(vectors: Vectors, kinds: Categories, levels: Mapping[str, Ints], patients: Ints, seed: int) -> MeasureTable:
    found = modality_gaps(vectors, kinds, levels, patients, seed)
    rows = [
        (
            f"{a} and {b}",
            number(gap.distance),
            f"{100 * gap.variance:.0f}%",
            f"{number(gap.alignment)}, all pairs {number(gap.alignment_all)}",
            number(gap.separable),
        )
        for (a, b), gap in found.items()
    ]
    return MeasureTable(
        "Modality gap",
        ("between", "distance of centroids", "share of the variance", "alignment of pairs", "separability"),
        tuple(rows),
        "Distance of the centroids from 0 to 2. Separability: balanced accuracy of a linear probe of the modality; 0.5 "
        "is chance.",
    )
