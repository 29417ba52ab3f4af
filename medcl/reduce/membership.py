"""Whether synthetic images give away whom they were made of: nearness to those, beside that to other patients."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu

Floats = NDArray[np.float32]
Numbers = NDArray[np.float64]
_AT_A_TIME = 1024
_RARE = 0.01


@dataclass(frozen=True)
class Membership:
    """What the nearness of real images to synthetic ones tells.

    Args:
        ratios: (K,) of each synthetic image, its distance to the nearest image that was used by that to the nearest
            one of other patients; 0 is a copy, about 1 no nearer to those who were used.
        limit: that the ratios of one in a hundred patients who were not used are below.
        copies: synthetic images whose ratio is below the limit.
        auroc: how well nearness to the synthetic images tells patients who were used from others; 0.5 is chance.
        p: of the one-sided test that it is chance (Mann-Whitney over patients).
    """

    ratios: tuple[float, ...]
    limit: float
    copies: int
    auroc: float
    p: float

    def __str__(self) -> str:
        """Both checks, a line each."""
        return (
            f"copies: {self.copies} of {len(self.ratios)} synthetic images are nearer to an image that was used, "
            f"beside those of other patients, than 99% of patients who were not (ratio of distances at least "
            f"{min(self.ratios):.2f}, limit {self.limit:.2f})\n"
            f"membership: nearness to them tells patients who were used from others with AUROC {self.auroc:.3f} "
            f"(p = {self.p:.2g}; 0.5 is chance)"
        )


def membership(
    synthetic: Floats, used: Floats, used_patient: NDArray[np.int64], others: Floats, other_patient: NDArray[np.int64]
) -> Membership:
    """Check synthetic images against the patients who were used and others who were not.

    Two attacks. A copy of an image that was used lies much nearer to it than to any image of other patients; how much
    nearer happens by chance, images of patients tell who were not used either. And if the synthetic images carry traces
    of many, those who were used lie nearer to them than others. A patient counts once, by the nearest of their images.

    Args:
        synthetic: (K, D) pixels.
        used: (N, D) images that they were made of.
        used_patient: (N,) ids.
        others: (M, D) images of at least two other patients, drawn at random from the same archive.
        other_patient: (M,) ids.
    """
    ratios = _least(synthetic, used) / _least(synthetic, others)
    unrelated = _least(others, used) / _least(others, others, other_patient)
    limit = float(np.quantile(_of_patients(unrelated, other_patient), _RARE))
    members = _of_patients(_least(used, synthetic), used_patient)
    outside = _of_patients(_least(others, synthetic), other_patient)
    test = mannwhitneyu(-members, -outside, alternative="greater")
    auroc = float(test.statistic) / (len(members) * len(outside))
    return Membership(tuple(ratios.tolist()), limit, int((ratios < limit).sum()), auroc, float(test.pvalue))


def _least(one: Floats, other: Floats, patient: NDArray[np.int64] | None = None) -> Numbers:
    """(len(one),) Euclidean distance of each to the nearest other; with `patient`, of both, that of other patients."""
    found = []
    for first in range(0, len(one), _AT_A_TIME):
        part = slice(first, first + _AT_A_TIME)
        apart = cdist(one[part], other)
        if patient is not None:
            apart[patient[part, None] == patient[None]] = np.inf
        found.append(apart.min(axis=1))
    # Two equal images of constant pixels are no reason to divide by 0.
    return np.asarray(np.maximum(np.concatenate(found), np.finfo(np.float32).tiny))


def _of_patients(values: Numbers, patient: NDArray[np.int64]) -> Numbers:
    """The least value of each patient."""
    numbers = np.unique(patient, return_inverse=True)[1]
    least = np.full(int(numbers.max()) + 1, np.inf)
    np.minimum.at(least, numbers, values)
    return least
