"""The body as a conducting sphere: what an electrode on it sees of a current dipole inside; places and turns in it."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Place = tuple[float, float, float]


def as_place(vector: ArrayLike) -> Place:
    """A vector (3,) as plain numbers."""
    x, y, z = (float(component) for component in np.asarray(vector))
    return x, y, z


def rotation(angles: Floats) -> Floats:
    """(3, 3) of turns (3,) in rad about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    turn: Floats = about_z @ about_y @ about_x
    return turn


def unit(vectors: ArrayLike) -> Floats:
    """Scale vectors (..., 3), none of length 0, to length 1."""
    array = np.asarray(vectors, dtype=np.float64)
    scaled: Floats = array / np.linalg.norm(array, axis=-1, keepdims=True)
    return scaled


def lead_field(electrodes: ArrayLike, sources: ArrayLike) -> Floats:
    """Potential at each electrode per unit of dipole moment along x, y and z.

    The sphere has radius 1, is homogeneous and insulated outside; a dipole in its centre gives an electrode the cosine
    of the angle between them, and one nearer to the surface is seen more strongly and more locally by what lies over
    it. It is the gradient, with respect to the source, of the interior Neumann function of the sphere on its surface,
    2/d - ln(1 - r.s + d), with d = |r - s| (Frank 1952, "Electric potential produced by two point current sources in a
    homogeneous conducting sphere").

    Args:
        electrodes: (E, 3) unit vectors.
        sources: (S, 3) positions inside the sphere.

    Returns:
        (S, E, 3).

    Raises:
        ValueError: A source lies on or outside the sphere.
    """
    r = np.asarray(electrodes, dtype=np.float64)[None]
    s = np.asarray(sources, dtype=np.float64)[:, None]
    if np.any(np.linalg.norm(s, axis=-1) >= 1):
        raise ValueError("a source lies on or outside the unit sphere: its distance from the centre must be below 1")
    way = r - s
    d = np.linalg.norm(way, axis=-1, keepdims=True)
    along = np.sum(r * s, axis=-1, keepdims=True)
    field: Floats = (2 * way / d**3 + (r + way / d) / (1 - along + d)) / 3
    return field
