"""Confounders in embeddings: how well site, device, sex or age can be predicted from them.

Each column is predicted from the embeddings by a linear probe, of patients that it did not see. How often chance does
as well is found by exchanging the values between patients, all records of a patient together: records of one patient
are not independent, and a test that takes them as such finds effects that are not there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medcl.embed.vectors import Ints, Vectors
from medcl.engine.progress import watched
from medcl.explore.page import Categories, Column
from medcl.stats.intervals import patient_weights, percentile_interval
from medcl.stats.ranking import Floats, Ranks
from medcl.stats.ridge_probes import RidgeProbes
from medcl.stats.value_metrics import explained_variance

ROWS, ROWS_A_PATIENT = 3000, 4
"""Number of embeddings used, of all and of one patient: one long recording must not dominate."""
PERMUTATIONS = 999
RESAMPLES = 500
LEVEL = 0.05
PATIENTS = 10
"""Columns with fewer, with a value or of a class, are left out."""
_CLASSES = 20  # the most frequent of a column
_TOGETHER = 64  # permutations


@dataclass(frozen=True)
class Confounder:
    """How well a column can be predicted from the embeddings.

    Args:
        name: of the column.
        measure: `AUROC` of classes (the mean over them, each against the others), `R2` of numbers.
        score: of patients whom the probe did not see.
        low: lower end of the 95% interval, over resamples of the patients.
        high: upper end.
        chance: mean score where values are exchanged between patients.
        share: share of the variance of the embeddings that lies between the classes (along the number), above what
            chance gives; from 0 to 1.
        p: how often chance does as well, corrected for the number of columns (Holm).
        patients: whose value is known.
        reason: why the column was not looked at; then all numbers are NaN.
    """

    name: str
    measure: str
    score: float
    low: float
    high: float
    chance: float
    share: float
    p: float
    patients: int
    reason: str = ""

    @property
    def found(self) -> bool:
        """Whether the embeddings tell it better than chance, at a level of 5% for all columns together."""
        return self.p < LEVEL


def confounders(
    vectors: Vectors, columns: Mapping[str, Column], patients: Ints, *, seed: int = 0, permutations: int = PERMUTATIONS
) -> list[Confounder]:
    """Look at each column.

    Args:
        vectors: (N, dim).
        columns: {name: (N,) categories or numbers}.
        patients: (N,) group of each row, from 0.
        seed: of the rows that are looked at, where they are many, of folds, permutations and resamples.
        permutations: of the values of each column.

    Returns:
        One a column, the most certain first; those that could not be looked at are the last.
    """
    rows = _rows(patients, seed)
    found = [
        _look(vectors[rows], name, taken(column, rows), patients[rows], seed, permutations)
        for name, column in watched(columns.items(), "explore: confounders", "column")
    ]
    return sorted(_corrected(found), key=lambda one: (bool(one.reason), one.p, -one.share))


def _rows(patients: Ints, seed: int) -> Ints:
    """A few rows of each patient, of as many patients as it takes."""
    order = np.random.default_rng([seed, 1]).permutation(len(patients))
    by_patient = order[np.argsort(patients[order], kind="stable")]
    sorted_ids = patients[by_patient]
    starts = np.flatnonzero(np.r_[True, sorted_ids[1:] != sorted_ids[:-1]])
    nth = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    few = by_patient[nth < ROWS_A_PATIENT]
    drawn = np.random.default_rng([seed, 2]).permutation(len(starts))
    rank = np.repeat(drawn, np.minimum(np.diff(np.r_[starts, len(order)]), ROWS_A_PATIENT))
    return np.sort(few[np.argsort(rank, kind="stable")][:ROWS])


def taken(column: Column, rows: Ints) -> Column:
    """Some rows of a column."""
    return Categories(column.codes[rows], column.names) if isinstance(column, Categories) else column[rows]


def _look(vectors: Vectors, name: str, column: Column, patients: Ints, seed: int, permutations: int) -> Confounder:
    labels, known = _labels(column, patients)
    classes = isinstance(column, Categories)
    number = len(np.unique(patients[known]))
    nan = float("nan")
    nothing = Confounder(name, "AUROC" if classes else "R2", nan, nan, nan, nan, nan, nan, number)
    if labels.shape[1] < (2 if classes else 1):
        needed = f"two classes of {PATIENTS} patients" if classes else f"{PATIENTS} patients with different numbers"
        return replace(nothing, reason=f"needs {needed}")
    x, groups = np.asarray(vectors[known], np.float64), np.unique(patients[known], return_inverse=True)[1].reshape(-1)
    probe, variance = RidgeProbes.of(x, groups, seed), _Variance.of(x)
    predicted = probe.predict(labels)
    score = _scores(labels[:, :, None], predicted[:, :, None], classes)[0]
    share = float(variance.shares(labels[:, :, None])[0])
    over = percentile_interval(_resampled(labels, predicted, classes, groups, seed))
    rng = np.random.default_rng([seed, 3])
    by_chance: list[float] = []
    shares: list[Floats] = []
    for start in range(0, permutations, _TOGETHER):
        exchanged = [labels[_exchanged(groups, rng)] for _ in range(min(_TOGETHER, permutations - start))]
        # At once, since a fold's weights are larger than the cache.
        told = np.split(probe.predict(np.concatenate(exchanged, axis=1)), len(exchanged), axis=1)
        together = np.stack(exchanged, axis=2)
        by_chance += _scores(together, np.stack(told, axis=2), classes)
        shares.append(variance.shares(together))
    expected = float(np.mean(np.concatenate(shares)))
    return replace(
        nothing,
        score=score,
        low=over.low,
        high=over.high,
        chance=float(np.nanmean(by_chance)),
        share=max(0.0, (share - expected) / (1 - expected)) if expected < 1 else float("nan"),
        p=float((1 + np.sum(~(np.array(by_chance) < score))) / (1 + permutations)),
    )


def _labels(column: Column, patients: Ints) -> tuple[Floats, NDArray[np.bool_]]:
    """(n, L) labels of the rows that have one, and (N,) which these are; L is 0 where there is nothing to tell."""
    if not isinstance(column, Categories):
        known = np.isfinite(column)
        values = np.asarray(column[known], dtype=np.float64)
        if len(np.unique(patients[known])) < PATIENTS or not np.ptp(values) > 0:
            return np.empty((len(values), 0)), known
        return ((values - values.mean()) / values.std())[:, None], known
    codes = np.asarray(column.codes, dtype=np.int64)
    pairs = np.unique(np.stack([codes, patients]), axis=1)[0]
    numbers = np.bincount(pairs[pairs >= 0], minlength=1)
    frequent = np.argsort(-numbers, kind="stable")[:_CLASSES]
    classes = np.sort(frequent[numbers[frequent] >= PATIENTS])
    known = np.isin(codes, classes)
    labels = np.equal(codes[known, None], classes).astype(np.float64)
    return labels - (labels.mean(axis=0) if len(labels) else 0.0), known


def _scored(labels: Floats) -> range:
    """The columns that are scored: of two classes each says what the other does."""
    return range(1 if labels.shape[1] == 2 else labels.shape[1])


def _resampled(labels: Floats, predicted: Floats, classes: bool, groups: Ints, seed: int) -> Floats:
    """The score in each resample of the patients, of (N, L) labels and predictions."""
    resamples = patient_weights(groups, n_boot=RESAMPLES, seed=[seed, 4])
    if not classes:
        return np.concatenate([explained_variance(labels[:, 0], predicted[:, 0], weights) for weights in resamples])
    ranks = [Ranks.of(labels[:, one] > 0, predicted[:, one]) for one in _scored(labels)]
    return np.concatenate([np.mean([one.auroc(weights) for one in ranks], axis=0) for weights in resamples])


def _scores(labels: Floats, predicted: Floats, classes: bool) -> list[float]:
    """The score of each of (N, L, P) permutations."""
    if not classes:
        once = np.ones((len(labels), 1))
        pairs = zip(labels[:, 0].T, predicted[:, 0].T, strict=True)
        return [float(explained_variance(one, told, once)[0]) for one, told in pairs]
    every = [
        [float(Ranks.of(labels[:, one, p] > 0, predicted[:, one, p]).auroc()[0]) for p in range(labels.shape[2])]
        for one in _scored(labels)
    ]
    return [float(one) for one in np.mean(every, axis=0)]


@dataclass(frozen=True)
class _Variance:
    """Embeddings about their mean, in the directions that hold nearly all of their variance."""

    centred: Floats
    total: float

    @classmethod
    def of(cls, x: Floats) -> "_Variance":
        centred = x - x.mean(axis=0)
        values, directions = np.linalg.eigh(centred.T @ centred)
        total = float(np.maximum(values, 0).sum())
        most = np.cumsum(values[::-1]) <= 0.999 * total
        return cls(centred @ directions[:, ::-1][:, : int(most.sum()) + 1], total)

    def shares(self, labels: Floats) -> Floats:
        """How much of it a linear regression on labels explains.

        Args:
            labels: (n, L, P) of P regressions.

        Returns:
            (P,) from 0 to 1.
        """
        if not self.total > 0:
            return np.zeros(labels.shape[2])
        y = labels - labels.mean(axis=0)
        inverse = np.linalg.pinv(np.einsum("nlp,nmp->plm", y, y, optimize=True), hermitian=True)
        onto = (y.reshape(len(y), -1).T @ self.centred).reshape(*labels.shape[1:], -1)
        return np.asarray(np.einsum("lpd,plm,mpd->p", onto, inverse, onto, optimize=True) / self.total)


def _exchanged(groups: Ints, rng: np.random.Generator) -> Ints:
    """Rows whose values each row gets: those of another patient, from the first again where there are more."""
    order = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups)
    starts = np.cumsum(sizes) - sizes
    giver = rng.permutation(len(sizes))
    place = np.arange(len(groups)) - np.repeat(starts, sizes)
    of = np.repeat(giver, sizes)
    rows = np.empty(len(groups), dtype=np.int64)
    rows[order] = order[starts[of] + place % sizes[of]]
    return rows


def _corrected(found: list[Confounder]) -> list[Confounder]:
    """Holm's correction for the number of columns that were looked at."""
    order = sorted((place for place, one in enumerate(found) if not one.reason), key=lambda place: found[place].p)
    corrected, least = list(found), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, found[place].p * (len(order) - rank)))
        corrected[place] = replace(found[place], p=least)
    return corrected
