"""How far apart two modalities lie in the space that they share."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medcl.contrast.losses.uniformity import alignment, uniformity
from medcl.contrast.pairings.pairs import itself
from medcl.errors import MedclError

_FOLDS = 5
_MOST = 5000  # records of a side for the probe, which needs no more


@dataclass(frozen=True)
class Gap:
    """Two modalities on the unit sphere.

    Args:
        distance: between the centroids (Liang et al., Mind the gap, 2022), from 0 to 2.
        variance: share of the total variance that lies between the centroids: 0 without a gap, 1 for two points.
        alignment: mean squared distance of pairs, from 0 to 4 (Wang and Isola 2020).
        alignment_all: the same over each with each: what `alignment` has to undercut.
        uniformity: of each side: 0 where all embeddings are one, about -4 where they cover the sphere.
        separable: balanced accuracy with which a linear probe tells the modalities apart, patients left out; 0.5 where
            it cannot. NaN for fewer than two patients.
        records: of each side.
    """

    distance: float
    variance: float
    alignment: float
    alignment_all: float
    uniformity: tuple[float, float]
    separable: float
    records: tuple[int, int]


def measure_gap(
    a: Tensor, b: Tensor, pairs: NDArray[np.int64], patients_a: ArrayLike, patients_b: ArrayLike, *, seed: int = 0
) -> Gap:
    """Measure the gap between two modalities.

    Args:
        a: (N, D) embeddings of one modality; need not be of unit length.
        b: (M, D) of the other.
        pairs: (pairs, 2) numbers of the records of both sides that belong together.
        patients_a: (N,) id of the patient of each record: the probe is tested on patients that it was not fitted on.
        patients_b: (M,).
        seed: of the records that the probe sees, where there are many.

    Returns:
        The gap.

    Raises:
        MedclError: there is no pair.
    """
    if not len(pairs):
        raise MedclError("modality gap: no two test records of both modalities belong together")
    first, second = (F.normalize(z.double(), dim=1) for z in (a, b))
    centres = [z.mean(0) for z in (first, second)]
    both = torch.cat([first, second])
    total = float((both - both.mean(0)).square().sum())
    between = sum(
        len(z) * float((c - both.mean(0)).square().sum()) for z, c in zip((first, second), centres, strict=True)
    )
    of_a, of_b = (torch.from_numpy(np.ascontiguousarray(column)).to(a.device) for column in pairs.T)
    together = first[of_a]
    return Gap(
        distance=float((centres[0] - centres[1]).norm()),
        variance=between / total if total else 0.0,
        alignment=float(alignment(together, second[of_b], itself(together))),
        alignment_all=2 - 2 * float(centres[0] @ centres[1]),
        uniformity=(float(uniformity(first)), float(uniformity(second))),
        separable=_separable(first, second, np.asarray(patients_a), np.asarray(patients_b), seed),
        records=(len(a), len(b)),
    )


def _separable(a: Tensor, b: Tensor, patients_a: NDArray[np.int64], patients_b: NDArray[np.int64], seed: int) -> float:
    """Cross-validated balanced accuracy of a logistic regression between two modalities."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import GroupKFold, cross_val_predict

    rng = np.random.default_rng(seed)
    chosen = [np.sort(rng.permutation(len(z))[:_MOST]) for z in (a, b)]
    x = np.concatenate([z.cpu().numpy()[rows] for z, rows in zip((a, b), chosen, strict=True)])
    y = np.repeat([0, 1], [len(rows) for rows in chosen])
    groups = np.concatenate([ids[rows] for ids, rows in zip((patients_a, patients_b), chosen, strict=True)])
    folds = min(_FOLDS, len(np.unique(groups)))
    if folds < 2:
        return float("nan")
    try:
        said = cross_val_predict(
            LogisticRegression(class_weight="balanced", max_iter=1000), x, y, groups=groups, cv=GroupKFold(folds)
        )
    except ValueError:  # a fold whose other patients have one modality only
        return float("nan")
    return float(balanced_accuracy_score(y, said))
