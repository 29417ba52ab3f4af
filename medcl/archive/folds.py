"""Folds of the patients, each of whom is tested once; models are chosen by a quarter of the others."""

import numpy as np

from medcl.archive.stratify import Bools, Ints, first_appearance

HELD_OUT = 0.25
"""Share of the patients who are not tested by whom models are chosen."""


def fold_of(patients: Ints, count: int) -> Ints:
    """The fold in which each row is tested, (rows,); the same for every call.

    Args:
        patients: (rows,), at least as many different ones as there are folds.
        count: of folds.

    Example:
        >>> import numpy as np
        >>> from medcl.archive.folds import fold_of
        >>> folds = fold_of(np.array([5, 5, 6, 7, 8]), count=2)
        >>> bool(folds[0] == folds[1]), sorted(set(folds.tolist()))
        (True, [0, 1])
    """
    number, n_patients = first_appearance(patients)
    fold = np.empty(n_patients, dtype=np.int64)
    for k, part in enumerate(np.array_split(np.random.default_rng(0).permutation(n_patients), count)):
        fold[part] = k
    return fold[number]


def held_out(patients: Ints, fold: int) -> Bools:
    """Whether models are chosen by a row, (rows,), of the patients (rows,) who are not tested in a fold."""
    number, n_patients = first_appearance(patients)
    order = np.random.default_rng([1, fold]).permutation(n_patients)
    return np.isin(number, order[: max(1, round(HELD_OUT * n_patients))])
