"""Which patients carry which labels, and how to divide patients so that every part carries its share of each."""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Bools: TypeAlias = NDArray[np.bool_]
Ints: TypeAlias = NDArray[np.int64]


def first_appearance(ids: ArrayLike) -> tuple[Ints, int]:
    """Number distinct ids in the order in which they first appear.

    Whatever is random afterwards works on these numbers, so it does not change when ids are coded with another salt.

    Args:
        ids: (records,).

    Returns:
        The number of each record's id (records,), and how many distinct ids there are.
    """
    _, first, inverse = np.unique(np.asarray(ids), return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse], len(first)


def label_columns(
    labels: NDArray[np.generic],
    kind: Literal["binary", "multiclass", "multilabel", "regression"],
    n_classes: int,
    n_bins: int = 5,
) -> tuple[Bools, Bools]:
    """Turn labels into yes/no columns to stratify by.

    Args:
        labels: what `Manifest.labels` returns: (records, classes) with NaN rows, (records,) class numbers with -1, or
            (records,) values with NaN.
        kind: what the target is.
        n_classes: number of classes; not used for regression.
        n_bins: regression is stratified by this many bins between quantiles (fewer where values repeat).

    Returns:
        Columns (records, classes or bins), False throughout for an unlabelled record; and whether a record is
        labelled (records,).
    """
    if kind == "multilabel":
        table = np.asarray(labels, dtype=np.float64)
        known: Bools = np.isfinite(table.sum(axis=1))
        return np.equal(table, 1) & known[:, None], known
    if kind == "regression":
        values = labels.astype(np.float64)
        known = np.isfinite(values)
        if not known.any():
            return np.zeros((len(values), 1), dtype=bool), known
        edges = np.unique(np.quantile(values[known], np.linspace(0, 1, n_bins + 1)[1:-1]))
        numbers, n_classes = np.where(known, np.searchsorted(edges, values, side="left"), -1), len(edges) + 1
    else:
        numbers = labels.astype(np.int64)
        known = numbers >= 0
    columns = numbers[:, None] == np.arange(n_classes)
    # Repeated values can leave a bin empty, which would be a class that nobody has.
    return (columns[:, columns.any(axis=0)] if kind == "regression" else columns), known


def is_labelled(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """(records,) which of the labels that `Manifest.labels` gives are known: not -1 of a class, not NaN of a number."""
    known = ~np.isnan(labels) if labels.dtype.kind == "f" else labels >= 0
    return np.asarray(known.reshape(len(labels), -1).all(axis=1))


def any_of(columns: Bools, owner: Ints, n_owners: int) -> Bools:
    """Whether at least one record of an owner has a column: (records, columns) -> (owners, columns).

    Args:
        columns: (records, columns).
        owner: (records,) number of the patient that a record belongs to.
        n_owners: number of patients.
    """
    merged = np.zeros((n_owners, columns.shape[1]), dtype=bool)
    np.logical_or.at(merged, owner, columns)
    return merged


def divide(
    columns: Bools,
    shares: Sequence[float],
    rng: np.random.Generator,
    fixed: Ints | None = None,
    weights: Ints | None = None,
) -> Ints:
    """Divide patients into parts by iterative stratification.

    Sechidis, Tsoumakas and Vlahavas, On the stratification of multi-label data, ECML PKDD 2011, algorithm 1: the
    label with the fewest patients left is dealt out first, each of its patients to the part that still wants most of
    that label, then to the part that wants most patients, then at random. Patients without any label come last. It
    has the patients of `fixed` in place from the start.

    Args:
        columns: (patients, labels), True where a patient carries a label.
        shares: desired share of each part; they sum to 1. A part of share 0 stays empty.
        rng: breaks ties and orders the patients.
        fixed: (patients,) part that a patient has to stay in, -1 for one to be placed.
        weights: (patients,) records of each patient. With them shares are of the records, and a part is closed to a
            patient with more records than it still wants, whichever labels it wants.

    Returns:
        (patients,) number of the part of each patient.
    """
    n_patients, n_labels = columns.shape
    part = np.full(n_patients, -1, dtype=np.int64) if fixed is None else fixed.astype(np.int64)
    weigh = np.ones(n_patients, dtype=np.int64) if weights is None else weights
    placed = np.bincount(part[part >= 0], weigh[part >= 0], minlength=len(shares))
    open_parts = [j for j, share in enumerate(shares) if share > 0]
    # Plain lists: a patient touches a handful of numbers, for which an array operation costs more than the arithmetic.
    want = [share * int(weigh.sum()) - float(placed[j]) for j, share in enumerate(shares)]
    totals = columns.sum(axis=0)
    # One column more than there are labels: the patients without any, who only fill the parts up.
    want_label: list[list[float]] = [
        [*(share * totals - columns[part == j].sum(axis=0)).tolist(), 0.0] for j, share in enumerate(shares)
    ]
    rows, cols = np.nonzero(columns)
    starts = np.searchsorted(rows, np.arange(n_patients + 1))
    shuffled = rng.permutation(n_patients)
    # Some of those with the fewest records come last, to fill up what the others leave; among equals the order stays.
    light = np.argsort(weigh[shuffled], kind="stable")[: len(shares) * int(weigh.max(initial=1) - 1)]
    shuffled = np.concatenate([np.delete(shuffled, light), shuffled[light[::-1]]])
    tie = rng.random((n_patients,))
    while True:
        waiting = shuffled[part[shuffled] < 0]
        if not len(waiting):
            return part
        left = columns[waiting].sum(axis=0)
        label = int(np.argmin(np.where(left > 0, left, n_patients + 1))) if left.any() else n_labels
        members = waiting[columns[waiting, label]] if label < n_labels else waiting
        for patient in map(int, members):
            # A share of 200 in 260 wants 199.99999999999997 of them.
            weight = int(weigh[patient])
            free = open_parts if weights is None else [j for j in open_parts if want[j] > weight - 0.5] or open_parts
            best = max((want_label[j][label], want[j]) for j in free)
            level = [j for j in free if (want_label[j][label], want[j]) == best]
            chosen = level[int(tie[patient] * len(level))]
            part[patient] = chosen
            want[chosen] -= weight
            for k in cols[starts[patient] : starts[patient + 1]]:
                want_label[chosen][k] -= 1
