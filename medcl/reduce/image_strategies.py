"""Strategies for grey values: structural similarity, mutual information, entropy; and every n-th place."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UsageError
from medcl.modality.small_images import small_images, stacks, unflat
from medcl.reduce.strategy import Pieces, Range, Signatures, Strategy
from medcl.stats.similarity import entropies, mutual_information, structural_similarity

_SSIM_SIDES = {2: 64, 3: 24}
"""Side of what is compared: a slice of 64 x 64, a volume of 24 x 24 x 24."""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Ssim(Strategy):
    """Mean structural similarity over all windows of side 7 (uniform weights, population variances)."""

    name = "ssim"
    kinds = ("volume", "image")
    thresholds = Range(0.8, -1, 1, (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1))

    def signatures(self, pieces: Pieces) -> Signatures:
        """Return small images, (n, 4096) uint8, or volumes, (n, 13824)."""
        return small_images(pieces, _SSIM_SIDES)

    def compare(self, a: Signatures, b: Signatures) -> Floats:
        """Compute the similarity of each pair, (n, m)."""
        first, second = (unflat(each, _SSIM_SIDES).astype(np.float32) / np.float32(255) for each in (a, b))
        return structural_similarity(first, second)

    def vectors(self, signatures: Signatures) -> Floats:
        """Return the grey values: nearness in them stands for similarity of structure."""
        return signatures.astype(np.float32)


_GREY_LEVELS = 256


@dataclass(frozen=True)
class Entropy(Strategy):
    """Entropy of the histogram of 256 grey values, in bits: a score, of each piece alone.

    Of signals, the mean of the channels' entropies.
    """

    name = "entropy"
    kinds = ("volume", "image", "signal")
    measure = "score"
    thresholds = Range(1, 0, 8, (0, 0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 7, 8))

    def signatures(self, pieces: Pieces) -> Signatures:
        """Return the entropies as (n, 1) float32."""
        result = np.empty((len(pieces), 1), dtype=np.float32)
        flat = len(pieces) > 0 and pieces[0].ndim == 2
        for rows, values in stacks(pieces, joined=not flat):
            levels = values.astype(np.int64).reshape(len(rows), values.shape[1] if flat else 1, -1)
            result[rows, 0] = (
                entropies(levels.reshape(-1, levels.shape[-1]), _GREY_LEVELS).reshape(len(rows), -1).mean(1)
            )
        return result

    def compare(self, a: Signatures, b: Signatures) -> NDArray[np.float32]:
        """Refuse: a score compares nothing, a `UsageError`."""
        raise UsageError("entropy is a score of each piece alone: it finds no duplicates; choose another strategy")


@dataclass(frozen=True)
class EveryN(Strategy):
    """Distance of places, counted from 1: two units within a run of n are duplicates, so greedy keeps every n-th."""

    name = "every-n"
    kinds = ("volume", "image", "signal", "report")
    source = "number"
    measure = "distance"
    thresholds = Range(2, 1, 10_000, (1, 2, 3, 4, 5, 6, 8, 10, 12, 16))

    def signatures(self, pieces: Pieces) -> Signatures:
        """Return the places as (n, 1)."""
        return np.asarray(pieces, dtype=np.int64).reshape(-1, 1)

    def compare(self, a: Signatures, b: Signatures) -> NDArray[np.float32]:
        """Count the units from one to the other, both included."""
        return np.asarray(np.abs(a - b.T) + 1, dtype=np.float32)

    def vectors(self, signatures: Signatures) -> NDArray[np.float32]:
        """Return the places."""
        return np.asarray(signatures, dtype=np.float32)


_INFORMATION_SIDES = {2: 64, 3: 16}
"""Side of what is compared: a slice of 64 x 64, a volume of 16 x 16 x 16."""
_INFORMATION_LEVELS = 16
"""Number of grey values that are distinguished: 4 bits at most."""


@dataclass(frozen=True)
class MutualInformation(Strategy):
    """Mutual information of 16 grey values, in bits, or as a share of the mean of both entropies (normalised).

    In bits a piece of little content shares little even with its own copy, so that plain slices are kept. Normalised,
    a piece and its copy have 1; two constant pieces too, and a constant piece and another 0.

    Args:
        normalised: from 0 to 1, by 2 I(a, b) / (H(a) + H(b)).
    """

    normalised: bool = False
    kinds = ("volume", "image")

    @property
    def name(self) -> str:
        """The name on the command line."""
        return "normalised-mutual-information" if self.normalised else "mutual-information"

    @property
    def thresholds(self) -> Range:
        """Shares, or bits."""
        if self.normalised:
            return Range(0.5, 0, 1, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1))
        return Range(0.5, 0, float(np.log2(_INFORMATION_LEVELS)), (0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 1, 1.25, 1.5, 2, 3))

    @property
    def key(self) -> str:
        """What signatures are kept under: one for both measures."""
        return "mutual-information-1"

    def signatures(self, pieces: Pieces) -> Signatures:
        """Return small pieces of 16 grey values, (n, 4096) uint8."""
        return small_images(pieces, _INFORMATION_SIDES) // (256 // _INFORMATION_LEVELS)

    def compare(self, a: Signatures, b: Signatures) -> Floats:
        """Compute the information of each pair, (n, m)."""
        return mutual_information(a, b, _INFORMATION_LEVELS, normalised=self.normalised)
