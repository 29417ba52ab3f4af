"""Images of faint stripes, whose direction is what an encoder should find."""

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]
SIDE, ANGLES = 24, 6


def striped(count: int, rng: np.random.Generator) -> tuple[Images, NDArray[np.int64]]:
    """Blobs (N, 1, x, y) of any place, size and brightness with faint stripes, and in which of six directions."""
    angle, at = rng.integers(ANGLES, size=count), np.mgrid[:SIDE, :SIDE].astype(float)
    x = np.empty((count, 1, SIDE, SIDE), np.float32)
    for number, own in enumerate(angle):
        turn, frequency = np.pi * own / ANGLES + rng.normal(0, 0.06), 2 * np.pi * rng.uniform(0.11, 0.16)
        stripes = np.sin(frequency * (at[0] * np.cos(turn) + at[1] * np.sin(turn)) + rng.uniform(0, 2 * np.pi))
        centre, radius = rng.uniform(8, SIDE - 8, 2), rng.uniform(6, 8)
        blob = np.exp(-((at[0] - centre[0]) ** 2 + (at[1] - centre[1]) ** 2) / (2 * radius**2))
        texture = blob * (rng.uniform(0.1, 0.4) + 0.14 * stripes)
        x[number, 0] = rng.uniform(0.2, 0.6) + texture + rng.normal(0, 0.05, (SIDE, SIDE))
    return x, angle
