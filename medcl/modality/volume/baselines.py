"""What an encoder of volumes has to beat: how the values of voxels are distributed, wherever they lie."""

import numpy as np
from torch import Tensor

from medcl.modality.baselines import Baseline, Fixed, Floats
from medcl.modality.volume.config import VolumeConfig

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
BINS = 16
"""Of equal width from 0 to 1; what lies beyond counts in the first and the last."""


def voxels(x: Tensor) -> Floats:
    """Statistics of the scaled values of each channel of patches (B, C, ...).

    Zeros around a volume that is smaller than its patch count as values.

    Returns:
        (B, C * 25): mean, standard deviation, percentiles, share of the voxels in each bin.
    """
    values = np.sort(x.flatten(2).numpy(), axis=2)
    n_voxels = values.shape[2]
    mean, spread = values.mean(axis=2, dtype=np.float64), values.std(axis=2, dtype=np.float64)
    # Linear interpolation between the sorted values, as numpy does it, without another sort.
    place = np.array(PERCENTILES) / 100 * (n_voxels - 1)
    below = np.floor(place).astype(np.int64)
    low, high = values[:, :, below], values[:, :, np.minimum(below + 1, n_voxels - 1)]
    percentiles = low + (high - low) * (place - below)
    bins = np.minimum(np.clip(values, 0, 1) * BINS, BINS - 1).astype(np.int64)
    shares = np.stack([(bins == number).mean(axis=2) for number in range(BINS)], axis=2)
    parts = np.concatenate([mean[:, :, None], spread[:, :, None], percentiles, shares], axis=2)
    return np.asarray(parts.reshape(len(parts), -1), dtype=np.float64)


def baselines(config: VolumeConfig) -> dict[str, Baseline]:
    """See `Wing.baselines`."""
    return {"voxels": Fixed("statistics of voxel values", voxels)}
