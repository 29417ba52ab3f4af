"""Cross-validated linear probes of many labels at once: ridge regressions that share everything but the label."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.stats.ranking import Floats, Ints

FOLDS = 5


@dataclass(frozen=True)
class RidgeProbes:
    """Turns labels into their predictions from the embeddings of other patients.

    A ridge regression predicts linearly in its labels, so that one matrix a fold serves every column and every
    permutation of it.

    Args:
        folds: of each fold, the rows that are predicted, those that are learned from, and (predicted, learned) weights.
    """

    folds: tuple[tuple[Ints, Ints, Floats], ...]

    @classmethod
    def of(cls, vectors: NDArray[np.floating[Any]], patients: Ints, seed: int = 0) -> "RidgeProbes":
        """Prepare the probes.

        The penalty leaves one degree of freedom to five patients learned from: it is known
        without a look at any label, so that a permuted one meets the same probe.

        Args:
            vectors: (N, dim).
            patients: (N,) groups that are never divided.
            seed: of the folds.

        Returns:
            The probes; without a fold where there is one patient.
        """
        x = np.asarray(vectors, dtype=np.float64)
        groups = np.unique(patients, return_inverse=True)[1].reshape(-1)
        count = int(groups.max()) + 1
        number = np.random.default_rng(seed).permutation(count) % min(FOLDS, count)
        fold = number[groups]
        return cls(tuple(_fold(x, groups, fold == one) for one in range(int(fold.max()) + 1) if count > 1))

    def predict(self, labels: Floats) -> Floats:
        """Predict labels.

        What is learned of the mean of a fold's labels is left out: it is low exactly where the labels to be predicted
        are high, which puts chance below a half.

        Args:
            labels: (N, L), each column a label on its own, of mean 0.

        Returns:
            (N, L), each row predicted by a probe that saw none of its patient.
        """
        found = np.zeros_like(labels)
        for predicted, learned, weights in self.folds:
            y = labels[learned]
            found[predicted] = weights @ (y - y.mean(axis=0))
        return found


def _fold(x: Floats, groups: Ints, held_out: NDArray[np.bool_]) -> tuple[Ints, Ints, Floats]:
    predicted, learned = np.flatnonzero(held_out), np.flatnonzero(~held_out)
    a, b = x[learned], x[predicted]
    mean, scale = a.mean(axis=0), a.std(axis=0)
    # A feature that hardly varies is rounding error, which standardising would blow up.
    used = scale > 1e-6 * max(float(np.abs(a).max(initial=0)), 1e-30)
    a, b = ((part[:, used] - mean[used]) / scale[used] for part in (a, b))
    if not used.any():
        return predicted, learned, np.zeros((len(predicted), len(learned)))
    left, values, right = np.linalg.svd(a, full_matrices=False)
    freedom = max(1.0, min(len(np.unique(groups[learned])) / 5, len(values) / 2))
    penalty = _penalty(values**2, freedom)
    return predicted, learned, ((b @ right.T) * (values / (values**2 + penalty))) @ left.T


def _penalty(squares: Floats, freedom: float) -> float:
    """The penalty at which sum s^2 / (s^2 + penalty) is `freedom`, by bisection of its logarithm."""
    low, high = np.log(squares.max()) - 40, np.log(squares.max()) + 40
    for _ in range(80):
        middle = (low + high) / 2
        if (squares / (squares + np.exp(middle))).sum() > freedom:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))
