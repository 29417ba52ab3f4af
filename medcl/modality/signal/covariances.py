"""Covariance matrices of the channels of recordings, as features of records."""

import numpy as np

from medcl.modality.baselines import Floats

_LEAST = 1e-9  # variance (unit squared) that a record without any signal is given


def products(x: Floats) -> Floats:
    """Windows (B, C, T) -> their covariance (B, C * C)."""
    x = x - x.mean(axis=2, keepdims=True)
    found: Floats = (x @ x.transpose(0, 2, 1)).astype(np.float64) / x.shape[2]
    return found.reshape(len(x), -1)


def shrunk(flat: Floats, share: float) -> Floats:
    """Covariances (R, C * C) as matrices (R, C, C), shrunk by a share to a multiple of the identity."""
    channels = round(np.sqrt(flat.shape[1]))
    raw = flat.reshape(-1, channels, channels)
    scale = np.maximum(np.trace(raw, axis1=1, axis2=2) / channels, _LEAST)
    matrices: Floats = (1 - share) * raw + share * scale[:, None, None] * np.eye(channels)
    return matrices
