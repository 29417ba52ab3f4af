"""Which measured values differ between two sets of records: what an edited query finds, beside what it found before."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from medcl.errors import MedclError
from medcl.stats.ranking import Floats


@dataclass(frozen=True)
class Shift:
    """Differences of several values between two sets of records.

    Args:
        difference: (values,) mean of the second set without that of the first, weighted where there are weights.
        p: (values,) of the Mann-Whitney test that neither set has higher values; two-sided.
        q: (values,) the same, adjusted by the method of Benjamini and Hochberg for all values that were tested.
    """

    difference: Floats
    p: Floats
    q: Floats


def shift(before: ArrayLike, after: ArrayLike, weights: tuple[ArrayLike, ArrayLike] | None = None) -> Shift:
    """Compare the values of what two queries found, as Haiku's counterfactual retrieval does (2026).

    An image is kept, its report or metadata edited, and records of a third modality are searched by both together,
    before and after. What they measure and the edit drives differs, all else should not. A difference says what goes
    together in the archive, not what would happen to a patient.

    Args:
        before: (n, values) of the records that were found first; NaN where a value was not measured.
        after: (m, values) of those that were found with the edited query.
        weights: (n,) and (m,) of the means, from 0 on; default: 1 each.

    Returns:
        One number a value; p and q are NaN for a value that one of the sets lacks.

    Raises:
        MedclError: shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from medcl.stats.shift import shift
        >>> before = np.stack([np.arange(20.0), np.arange(20.0)], axis=1)
        >>> found = shift(before, before + [15, 0])
        >>> found.difference.tolist(), (found.q < 0.05).tolist()
        ([15.0, 0.0], [True, False])
    """
    from scipy.stats import false_discovery_control, mannwhitneyu

    first, second = (np.asarray(one, dtype=np.float64) for one in (before, after))
    shares = [np.ones(len(one)) for one in (first, second)] if weights is None else [np.asarray(one) for one in weights]
    fits = first.ndim == 2 and first.shape[1:] == second.shape[1:]
    if not fits or [one.shape for one in shares] != [first.shape[:1], second.shape[:1]]:
        raise MedclError(
            f"values {first.shape} and {second.shape} with weights {[one.shape for one in shares]}: two sets of "
            "records, the same values of both, and a weight a record"
        )
    means = [_mean(own, share[:, None]) for own, share in zip((first, second), shares, strict=True)]
    columns = [(a[~np.isnan(a)], b[~np.isnan(b)]) for a, b in zip(first.T, second.T, strict=True)]
    p = np.array([float(mannwhitneyu(a, b).pvalue) if len(a) and len(b) else np.nan for a, b in columns])
    q, known = np.full(len(p), np.nan), ~np.isnan(p)
    if known.any():
        q[known] = false_discovery_control(p[known])
    return Shift(means[1] - means[0], p, q)


def _mean(values: Floats, weights: Floats) -> Floats:
    """Of each column of (n, values), where it is known."""
    held, total = (~np.isnan(values) * weights).sum(axis=0), np.nansum(values * weights, axis=0)
    return np.asarray(np.divide(total, held, out=np.full(len(held), np.nan), where=held > 0))
