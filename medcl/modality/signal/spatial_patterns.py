"""Common spatial patterns: the directions in which the power of two classes differs most, and LDA of their power."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from medcl.modality.baselines import Floats, State, mean_of_records
from medcl.modality.rows import Ints
from medcl.modality.sampling import SampleSet
from medcl.modality.signal.covariances import products, shrunk
from medcl.modality.signal.samples import SignalWindows

PATTERNS = 6
"""Of a class against all others: half of them have the most of its power, half the least."""
_SHRINKAGE = 0.01  # of a covariance to a multiple of the identity, so that dependent channels do no harm
_LEAST = 1e-12


@dataclass(frozen=True)
class CommonSpatialPatterns:
    """Common spatial patterns, the logarithm of their power, and linear discriminant analysis with shrinkage.

    Ramoser, Mueller-Gerking and Pfurtscheller, Optimal Spatial Filtering of Single Trial EEG during Imagined Hand
    Movement, IEEE TRE 2000: with A the mean covariance of a class and B that of the others, A w = l (A + B) w; the
    patterns of the largest and of the smallest l are kept. With more than two classes each is held against all others.
    The covariance of a recording is over its windows as the encoder takes them where they are aligned, else in physical
    units; it has the band that was prepared. Patterns and LDA are fitted to the labelled records alone.
    """

    title: str = "common spatial patterns and LDA"

    def fit(self, samples: SampleSet, rows: Ints) -> State:
        """Nothing, without labels."""
        return {}

    def transform(self, samples: SampleSet, rows: Ints, state: State) -> Floats:
        """The covariance of each record, (R, C * C)."""
        return mean_of_records(samples, rows, products, cast(SignalWindows, samples).aligned)

    def learn(self, z: Floats, classes: Ints) -> State:
        """Patterns (P, C), and the discriminant's `coef` (K, P) and `intercept` (K,).

        Args:
            z: (R, C * C) covariances.
            classes: (R,) numbers of the classes, two or more of them.
        """
        from scipy.linalg import eigh

        matrices, found = shrunk(z, _SHRINKAGE), []
        known = np.unique(classes)
        for one in known if len(known) > 2 else known[:1]:
            own, others = matrices[classes == one].mean(axis=0), matrices[classes != one].mean(axis=0)
            vectors = eigh(own, own + others)[1].T
            half = min(PATTERNS, len(vectors)) // 2
            found.append(np.concatenate([vectors[:half], vectors[len(vectors) - half :]]))
        patterns = np.concatenate(found)
        power = _power(z, patterns)
        if len(z) <= len(known):  # LDA needs a spread within classes: the powers are left to the probe
            return {"patterns": patterns, "coef": np.eye(len(patterns)), "intercept": np.zeros(len(patterns))}
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        fitted = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(power, classes)
        return {"patterns": patterns, "coef": fitted.coef_, "intercept": fitted.intercept_}

    def apply(self, z: Floats, state: State) -> Floats:
        """The discriminant's scores (R, K) of covariances (R, C * C); of two classes one, higher for the second."""
        scores: Floats = _power(z, state["patterns"]) @ state["coef"].T + state["intercept"]
        return scores


def _power(z: Floats, patterns: Floats) -> Floats:
    """The logarithm of the power of patterns (P, C) in records of covariances (R, C * C), (R, P)."""
    power = np.einsum("pc,rcd,pd->rp", patterns, shrunk(z, _SHRINKAGE), patterns, optimize=True)
    logarithm: Floats = np.log(np.maximum(power, _LEAST))
    return logarithm
