"""Which of many scores tell two sets of patients apart."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from medcl.errors import MedclError
from medcl.stats.intervals import Interval, patient_weights, percentile_interval
from medcl.stats.ranking import Bools, Floats, Ranks

LEAST = 2
"""Patients of a set: of fewer there is no variance."""


@dataclass(frozen=True)
class Separation:
    """How well one score tells the patients of a first set from those of a second.

    Args:
        auroc: probability that a patient of the first set has the higher score, ties counting half.
        interval: of the AUROC, 95%, by bootstrap of the patients.
        difference: mean score of the first set without that of the second.
        p: of Welch's t-test of equal means, two-sided; 1 where all scores are equal.
        q: p adjusted over all scores so that the expected share of false ones among those below a level keeps it
            (Benjamini and Hochberg 1995).
    """

    auroc: float
    interval: Interval
    difference: float
    p: float
    q: float


def aurocs(scores: Floats, is_first: Bools) -> Floats:
    """AUROC (scores,) of each column of scores (patients, scores), of the first set against the others."""
    return np.array([float(Ranks.of(is_first, column).auroc()[0]) for column in scores.T])


def separations(scores: Floats, is_first: Bools, *, n_boot: int = 1000, seed: int = 0) -> list[Separation]:
    """How well each of several scores tells two sets of patients apart.

    This is the ranking of VisDiff (Dunlap et al., CVPR 2024), which takes AUROC and Welch's t-test of the similarities
    of images with phrases. There the images are the unit and p-values are not adjusted; here the patients are, and they
    are.

    Args:
        scores: (patients, scores), one row a patient.
        is_first: (patients,) whether each is of the first set.
        n_boot: bootstrap samples of the patients.
        seed: of the bootstrap.

    Raises:
        MedclError: a set has fewer than two patients.
    """
    if min(is_first.sum(), (~is_first).sum()) < LEAST:
        raise MedclError(f"two sets are compared by {LEAST} patients each at least")
    first, second = scores[is_first], scores[~is_first]
    with np.errstate(all="ignore"):
        p = stats.ttest_ind(first, second, equal_var=False).pvalue
    p = np.where(np.isnan(p), 1.0, p)
    adjusted = stats.false_discovery_control(p)
    ranks = [Ranks.of(is_first, column) for column in scores.T]
    drawn = [
        np.stack([one.auroc(weights) for one in ranks])
        for weights in patient_weights(np.arange(len(scores)), n_boot=n_boot, seed=seed)
    ]
    intervals = [percentile_interval(values) for values in np.concatenate(drawn, axis=1)]
    gap = first.mean(axis=0) - second.mean(axis=0)
    return [
        Separation(float(one.auroc()[0]), interval, *map(float, numbers))
        for one, interval, *numbers in zip(ranks, intervals, gap, p, adjusted, strict=True)
    ]
