"""A lesion of the phantom: smooth or spiculated in its outline, solid or a ring in its inside."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medcl.phantom.sphere import unit

Floats = NDArray[np.float32]

KINDS = ("none", "smooth", "spiculated", "ring")
SPIKES = 14
RIM = 0.75
"""Where the rim of a ring begins, as a fraction of the radius: 42% of a sphere lie inside of it."""


@dataclass(frozen=True)
class Lesion:
    """One lesion; where it is and how large say nothing about its class.

    Attributes:
        kind: One of `KINDS`: `spiculated` differs from `smooth` in its outline alone, `ring` in its inside alone.
        host: The structure that it grows in and never leaves.
        centre: In the patient, mm (right, front, up).
        radius: Of a sphere of about its volume, mm.
        spikes: (SPIKES) unit vectors along which a spiculated one grows.
    """

    kind: str
    host: str
    centre: tuple[float, float, float]
    radius: float
    spikes: tuple[tuple[float, float, float], ...]

    def depth(self, points: Floats) -> Floats:
        """How far out each point lies: 0 in the centre, 1 on the surface, more outside.

        Args:
            points: (3, ...) mm.

        Returns:
            (...).
        """
        way = points - np.asarray(self.centre, dtype=np.float32).reshape(3, *[1] * (points.ndim - 1))
        distance = np.sqrt(np.sum(way * way, axis=0))
        if self.kind != "spiculated":
            return np.asarray(distance / self.radius, dtype=np.float32)
        # Only the neighbourhood needs the directions of the spikes.
        near = distance < 2 * self.radius
        reach = np.full(distance.shape, self.radius, dtype=np.float32)
        direction = way[:, near] / np.maximum(distance[near], 1e-6)
        cosine = np.asarray(self.spikes, dtype=np.float32) @ direction
        reach[near] = self.radius * (0.68 + 0.85 * np.exp(18 * (cosine - 1)).max(axis=0))
        return np.asarray(distance / reach, dtype=np.float32)


def draw_lesion(
    kind: str,
    host: str,
    centre: NDArray[np.float64],
    radius: float,
    rng: np.random.Generator,
) -> Lesion | None:
    """A lesion of this class, or None for `none`; the same numbers are drawn whatever the class.

    Args:
        kind: One of `KINDS`.
        host: The structure that it grows in.
        centre: (3,) mm.
        radius: mm.
        rng: Random number generator.

    Raises:
        ValueError: The class is not in `KINDS`.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown lesion {kind!r}: one of {', '.join(KINDS)}")
    spikes = unit(rng.standard_normal((SPIKES, 3)))
    if kind == "none":
        return None
    x, y, z = (float(value) for value in centre)
    return Lesion(kind, host, (x, y, z), radius, tuple((float(a), float(b), float(c)) for a, b, c in spikes))
