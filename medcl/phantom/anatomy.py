"""A person's inside as ellipsoids, bent and grained as no other person's, with a lesion, on any grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medcl.phantom.sphere import as_place, rotation, unit

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
        """How far out each of the points (3, ...) in mm lies: 0 in the centre, 1 on the surface, more outside."""
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
    kind: str, host: str, centre: NDArray[np.float64], radius: float, rng: np.random.Generator
) -> Lesion | None:
    """A lesion of this class in its host, or None for `none`; the same numbers are drawn whatever the class.

    The centre (3,) and the radius are in mm.

    Raises:
        ValueError: The class is not in `KINDS`.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown lesion {kind!r}: one of {', '.join(KINDS)}")
    spikes = unit(rng.standard_normal((SPIKES, 3)))
    if kind == "none":
        return None
    return Lesion(kind, host, as_place(centre), radius, tuple(as_place(spike) for spike in spikes))


Affine = NDArray[np.float64]


@dataclass(frozen=True)
class Ellipsoid:
    """A part of the body.

    Attributes:
        structure: What it belongs to; several may share one.
        centre: mm to the patient's right, to the front, upwards.
        radii: mm along its own axes.
        turn: About the vertical axis, degrees, anticlockwise when seen from above.
        curve: Sideways, mm, at its front and back ends: a banana when not 0.
    """

    structure: str
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    turn: float = 0.0
    curve: float = 0.0

    def holds(self, points: Floats) -> NDArray[np.bool_]:
        """Which of the points (3, ...) in mm lie inside."""
        x, y, z = (points[axis] - np.float32(self.centre[axis]) for axis in range(3))
        cosine, sine = np.float32(np.cos(np.deg2rad(self.turn))), np.float32(np.sin(np.deg2rad(self.turn)))
        across, along = (cosine * x + sine * y), (cosine * y - sine * x) / np.float32(self.radii[1])
        across = (across - np.float32(self.curve) * along * along) / np.float32(self.radii[0])
        up = z / np.float32(self.radii[2])
        inside: NDArray[np.bool_] = across * across + along * along + up * up < 1
        return inside


@dataclass(frozen=True)
class Waves:
    """A smooth random field in mm: the same at the same place in the person, whatever grid it is seen on.

    Attributes:
        vectors: (waves, 3) rad/mm.
        phases: (waves,) rad.
        weights: (waves, components).
    """

    vectors: Floats
    phases: Floats
    weights: Floats

    def at(self, points: Floats) -> Floats:
        """(components, ...) at the points (3, ...)."""
        flat = points.reshape(3, -1)
        field = self.weights.T @ np.cos(self.vectors @ flat + self.phases[:, None])
        return np.asarray(field.reshape(-1, *points.shape[1:]), dtype=np.float32)


@dataclass(frozen=True)
class Anatomy:
    """Everything that stays the same in one person's scans.

    Attributes:
        structures: Names; the label of one is its place in here, counted from 1, and 0 is outside.
        ellipsoids: Painted in this order, the later over the earlier.
        lesion: Painted last, or None.
        age: Years.
        sex: 'F' or 'M'.
        tone: (structures,) how bright each of this person's structures is among other people's, standard deviations.
        bend: How the ellipsoids are deformed, mm (three components).
        grain: The texture of all tissue, of mean 0 and variance 1.
    """

    structures: tuple[str, ...]
    ellipsoids: tuple[Ellipsoid, ...]
    lesion: Lesion | None
    age: int
    sex: str
    tone: tuple[float, ...]
    bend: Waves
    grain: Waves

    @property
    def lesion_class(self) -> str:
        """The class of the lesion, 'none' without one."""
        return self.lesion.kind if self.lesion else "none"

    def label(self, structure: str) -> int:
        """The number of a structure in label maps."""
        return self.structures.index(structure) + 1


@dataclass(frozen=True)
class Drawing:
    """A person seen on a grid, without any scanner.

    Attributes:
        labels: (x, y, z) uint8, see `Anatomy.structures`.
        grain: (x, y, z) texture of mean 0 and variance 1.
        depth: (x, y, z) 0 in the centre of the lesion, 1 at its surface; infinite without a lesion.
    """

    labels: NDArray[np.uint8]
    grain: Floats
    depth: Floats


def draw_waves(
    count: int, wavelength: tuple[float, float], size: float, components: int, rng: np.random.Generator
) -> Waves:
    """A random field of waves between two wavelengths in mm, with components of a root mean square of `size`."""
    direction = rng.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    vectors = direction * (2 * np.pi / rng.uniform(*wavelength, (count, 1)))
    weights = rng.standard_normal((count, components))
    weights *= size * np.sqrt(2) / np.linalg.norm(weights, axis=0)
    phases = rng.uniform(0, 2 * np.pi, count)
    return Waves(vectors.astype(np.float32), phases.astype(np.float32), weights.astype(np.float32))


def grid_affine(shape: tuple[int, int, int], spacing: tuple[float, float, float], tilt: float = 0.0) -> Affine:
    """A grid around the middle of the scanner, on axes of RAS+: (4, 4) from voxel index to mm.

    The shape is in voxels to the right, to the front, upwards, the spacing in mm. By the tilt of the gantry, in
    degrees, the slices lean but are still stacked along the table, so that the grid is sheared.
    """
    lean = np.deg2rad(tilt)
    affine = np.eye(4)
    affine[:3, 0] = spacing[0], 0, 0
    affine[:3, 1] = 0, spacing[1] * np.cos(lean), spacing[1] * np.sin(lean)
    affine[:3, 2] = 0, 0, spacing[2]
    affine[:3, 3] = -affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return affine


def draw_pose(rng: np.random.Generator, shift: float = 4.0, turn: float = 2.5) -> Affine:
    """How a person happens to lie this time: (4, 4) from mm in the scanner to mm in the person.

    Shift (mm) and turn (degrees) are standard deviations along and about each axis.
    """
    pose = np.eye(4)
    pose[:3, :3] = rotation(np.deg2rad(rng.normal(0, turn, 3)))
    pose[:3, 3] = rng.normal(0, shift, 3)
    return pose


def draw_on(anatomy: Anatomy, shape: tuple[int, int, int], affine: Affine, pose: Affine) -> Drawing:
    """Lay a grid over a person: what lies at the centre of each voxel.

    The affine (4, 4) is from voxel index to mm in the scanner, the pose (4, 4) from there to mm in the person.
    """
    matrix = (pose @ affine).astype(np.float32)
    index = np.indices(shape, dtype=np.float32).reshape(3, -1)
    points = matrix[:3, :3] @ index + matrix[:3, 3:]
    bent = points + anatomy.bend.at(points)
    labels = np.zeros(points.shape[1], dtype=np.uint8)
    for ellipsoid in anatomy.ellipsoids:
        labels[ellipsoid.holds(bent)] = anatomy.label(ellipsoid.structure)
    depth = np.full(labels.shape, np.inf, dtype=np.float32)
    if anatomy.lesion:
        depth = anatomy.lesion.depth(points)
        labels[(depth < 1) & (labels == anatomy.label(anatomy.lesion.host))] = anatomy.label("lesion")
    return Drawing(labels.reshape(shape), anatomy.grain.at(points)[0].reshape(shape), depth.reshape(shape))
