"""Times to an event, some of them censored: Kaplan-Meier, Breslow, concordance and Brier score under weights.

An event is True where it was observed at `time`, and False where the record was censored then. A higher risk means an
earlier event.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from medcl.errors import MedclError
from medcl.stats.ranking import Bools, Floats, ratio

OF_SURVIVAL = ("harrell_c", "uno_c", "ibs")
"""Metrics of `SurvivalPredictions`."""
_BLOCK = 512  # records with an event that are compared with all others at a time


@dataclass(frozen=True)
class Steps:
    """A right-continuous step function.

    Args:
        times: (steps,) ascending.
        values: (steps, ...) from each time on.
        start: the value before the first.
    """

    times: Floats
    values: Floats
    start: float

    def __call__(self, at: ArrayLike) -> Floats:
        """The values at times (T,), (T, ...)."""
        start = np.full((1, *self.values.shape[1:]), self.start)
        every = np.concatenate([start, self.values])
        return np.asarray(every[np.searchsorted(self.times, np.asarray(at, dtype=np.float64), "right")])


def kaplan_meier(time: ArrayLike, event: ArrayLike, weights: Floats | None = None) -> Steps:
    """Probability of no event until each time (Kaplan and Meier 1958).

    Args:
        time: (records,).
        event: (records,).
        weights: (records, resamples) gives the curve of each resample; None counts each record once.

    Example:
        >>> from medcl.stats.survival import kaplan_meier
        >>> curve = kaplan_meier([1, 2, 3, 4], [1, 0, 1, 1])
        >>> curve.times.tolist(), curve.values.round(3).tolist()
        ([1.0, 2.0, 3.0, 4.0], [0.75, 0.75, 0.375, 0.0])
    """
    times, followed = _checked(time, event)
    return _product_limit(times, followed, weights, delayed=None)


def log_rank(one: tuple[ArrayLike, ArrayLike], other: tuple[ArrayLike, ArrayLike]) -> float:
    """P of the log-rank test that two groups, (times, events) each, have the same hazard; two-sided (Mantel 1966).

    Example:
        >>> from medcl.stats.survival import log_rank
        >>> round(log_rank(([1, 2, 3, 4], [1, 1, 1, 1]), ([3, 5, 6, 7], [1, 1, 0, 1])), 3)
        0.034
    """
    from scipy.stats import CensoredData, logrank

    groups = []
    for time, event in (one, other):
        times, followed = _checked(time, event)
        groups.append(CensoredData.right_censored(times, ~followed))
    return float(logrank(*groups).pvalue)


def censoring_distribution(time: ArrayLike, event: ArrayLike) -> Steps:
    """G(t), the probability of not being censored until t: Kaplan-Meier with the roles of (records,) exchanged.

    At equal times events come before censoring, so that who has an event is not at risk of being censored then.
    """
    times, followed = _checked(time, event)
    return _product_limit(times, ~followed, None, delayed=followed)


def breslow(time: ArrayLike, event: ArrayLike, risk: ArrayLike) -> Steps:
    """Cumulative baseline hazard of a Cox model with log hazard ratios `risk` (records,) (Breslow 1972).

    H0(t) is the sum over the events until t of 1 / sum of exp(risk) of the records at risk then.

    Example:
        >>> from medcl.stats.survival import breslow
        >>> breslow([1, 2, 3], [1, 1, 0], risk=[0.0, 0.0, 0.0]).values.round(3).tolist()
        [0.333, 0.833, 0.833]
    """
    times, followed = _checked(time, event)
    hazard = np.exp(np.asarray(risk, dtype=np.float64))
    unique, place = np.unique(times, return_inverse=True)
    at_risk = np.bincount(place, hazard)[::-1].cumsum()[::-1]
    return Steps(unique, (np.bincount(place, followed) / at_risk).cumsum(), 0.0)


def survival_at(baseline: Steps, risk: ArrayLike, times: ArrayLike) -> Floats:
    """Probability of no event until times (T,) of a Cox model, (records, T): exp(-H0(t) exp(risk))."""
    return np.asarray(np.exp(-np.exp(np.asarray(risk, dtype=np.float64))[:, None] * baseline(times)))


@dataclass(frozen=True)
class SurvivalPredictions:
    """Times, events and predictions of test records, judged as `medcl.stats.metrics.Predictions` are.

    Args:
        time: (records,).
        event: (records,).
        risk: (records,), higher for an earlier event.
        censoring: G of the training records, from `censoring_distribution`.
        tau: time before which an event has to lie to count for Uno's C.
        times: (T,) times of the survival probabilities, ascending; empty where there are none.
        survival: (records, T) predicted probability of no event until each of the times.
    """

    time: Floats
    event: Bools
    risk: Floats
    censoring: Steps
    tau: float
    times: Floats
    survival: Floats

    @classmethod
    def of(
        cls,
        time: ArrayLike,
        event: ArrayLike,
        risk: ArrayLike,
        censoring: Steps,
        *,
        tau: float = np.inf,
        times: ArrayLike = (),
        survival: ArrayLike | None = None,
    ) -> "SurvivalPredictions":
        """Check and arrange test records and their predictions; arguments as above.

        Raises:
            MedclError: lengths differ, a number is not finite, or there are fewer than two times of probabilities.
        """
        follow_up, followed = _checked(time, event)
        risks, grid = np.asarray(risk, dtype=np.float64), np.asarray(times, dtype=np.float64)
        empty = np.zeros((len(follow_up), len(grid)))
        probability = empty if survival is None else np.asarray(survival, dtype=np.float64)
        if risks.shape != follow_up.shape or probability.shape != empty.shape:
            raise MedclError(
                f"survival: {len(follow_up)} times, risks {risks.shape} and probabilities {probability.shape} at "
                f"{len(grid)} times: all have to cover the same records"
            )
        if not (np.isfinite(risks).all() and np.isfinite(probability).all()):
            raise MedclError("survival: a prediction is not finite: the model has diverged")
        if survival is not None and (len(grid) < 2 or not (np.diff(grid) > 0).all()):
            raise MedclError("survival: the integrated Brier score needs two or more ascending times")
        return cls(follow_up, followed, risks, censoring, tau, grid, probability)

    @property
    def n_items(self) -> int:
        """Number of records."""
        return len(self.time)

    def metrics(self, weights: Floats) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """The metrics under weights (records, resamples), {metric: (resamples,)}, and an empty dict of classes.

        `ibs` is left out where there are no survival probabilities.
        """
        harrell, uno = self._concordance(weights)
        found = {"harrell_c": harrell, "uno_c": uno}
        if len(self.times):
            found["ibs"] = self._integrated() @ weights / weights.sum(0)
        return found, {}

    def brier(self) -> Floats:
        """Squared errors of the survival probabilities, weighted for censoring, (records, T) (Graf et al. 1999).

        Their mean over records is the Brier score at each time. A record that was censored before counts 0, its share
        is carried by those that were not: weights 1 / G.
        """
        before = self.time[:, None] <= self.times
        own, at = _inverse(self.censoring(self.time)), _inverse(self.censoring(self.times))
        events = self.survival**2 * (before & self.event[:, None]) * own[:, None]
        return np.asarray(events + (1 - self.survival) ** 2 * ~before * at)

    def _integrated(self) -> Floats:
        """Mean over time of the squared errors of each record, (records,)."""
        return np.asarray(np.trapezoid(self.brier(), self.times, axis=1) / (self.times[-1] - self.times[0]))

    def _concordance(self, weights: Floats) -> tuple[Floats, Floats]:
        """Harrell's and Uno's C, (resamples,) each; NaN without a pair of which the order is known.

        Share of the pairs, one with an event before the other's time, in which that one has the higher risk; equal
        risks count half. Uno et al. (2011) weight a pair by G^-2 at the time of the event and leave out those from tau
        on, which makes C independent of the censoring; where G is 0 there is no such weight, and the pair is left out.
        """
        inverse = np.where(self.time < self.tau, _inverse(self.censoring(self.time)) ** 2, 0)
        sums = np.zeros((2, 2, weights.shape[1]))
        events = np.flatnonzero(self.event)
        for start in range(0, len(events), _BLOCK):
            rows = events[start : start + _BLOCK]
            time, risk = self.time[rows, None], self.risk[rows, None]
            known = (self.time > time) | ((self.time == time) & ~self.event)
            right = (risk > self.risk) + 0.5 * (risk == self.risk)
            pairs = np.stack([(known * right) @ weights, known.astype(np.float64) @ weights])
            for kind, own in enumerate((weights[rows], weights[rows] * inverse[rows, None])):
                sums[kind] += (own * pairs).sum(1)
        harrell, uno = (ratio(one[0], one[1], one[1] > 0) for one in sums)
        return harrell, uno


def _product_limit(time: Floats, ends: Bools, weights: Floats | None, *, delayed: Bools | None) -> Steps:
    """Product over times of 1 - ended / at risk; those `delayed` at a time are not at risk then."""
    counts = np.ones((len(time), 1)) if weights is None else weights
    unique, place = np.unique(time, return_inverse=True)

    def summed(rows: Floats) -> Floats:
        found = np.zeros((len(unique), rows.shape[1]))
        np.add.at(found, place, rows)
        return found

    at_risk = summed(counts)[::-1].cumsum(0)[::-1]
    if delayed is not None:
        at_risk = at_risk - summed(counts * delayed[:, None])
    ended = summed(counts * ends[:, None])
    kept = 1 - np.divide(ended, at_risk, out=np.zeros_like(ended), where=at_risk > 0)
    curve = kept.cumprod(0)
    return Steps(unique, curve[:, 0] if weights is None else curve, 1.0)


def _inverse(values: Floats) -> Floats:
    return np.divide(1, values, out=np.zeros_like(values), where=values > 0)


def _checked(time: ArrayLike, event: ArrayLike) -> tuple[Floats, Bools]:
    times, followed = np.asarray(time, dtype=np.float64), np.asarray(event).astype(bool)
    if times.shape != followed.shape or times.ndim != 1 or not len(times):
        raise MedclError(f"survival: times {times.shape} and events {followed.shape} have to cover the same records")
    if not (np.isfinite(times).all() and (times >= 0).all()):
        raise MedclError("survival: a time is negative or not finite: leave records without a time out")
    return times, followed
