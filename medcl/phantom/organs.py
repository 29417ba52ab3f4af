"""A synthetic abdomen in an MR scanner: seven organs of varying shape, on three scanners with their own contrast."""

import numpy as np

from medcl.phantom.anatomy import Anatomy, Ellipsoid, draw_waves
from medcl.phantom.ct import Scan
from medcl.phantom.mr import MrScanner, scan_mr
from medcl.phantom.person import draw_build
from medcl.phantom.sphere import Place, as_place

ORGANS = ("liver", "spleen", "right_kidney", "left_kidney", "stomach", "aorta", "spine")
"""Labels 1 to 7 of a label map; everything else in the body is background."""
STRUCTURES = (*ORGANS, "fat", "muscle")
FIELD = (360.0, 300.0, 216.0)
"""Field of view to the right, to the front, upwards, mm."""


def draw_abdomen(rng: np.random.Generator) -> Anatomy:
    """A person between diaphragm and lower poles of the kidneys, whose organs vary in place, size, turn and bend."""
    sex, age, size = draw_build(rng, age=(60, 14), women=0.94, spread=0.04)
    size = min(size, 1.06)
    width, thickness = np.minimum(rng.lognormal(0, 0.05, 2), 1.06)
    fat = float(min(rng.uniform(8, 28), 168 - size * width * 140))

    def part(name: str, centre: Place, radii: Place, turn: float, curve: float = 0.0) -> Ellipsoid:
        middle = np.multiply(centre, (size * width, size * thickness, size)) + rng.normal(0, (5, 4, 7))
        axes = np.multiply(radii, size) * rng.lognormal(0, 0.10, 3)
        return Ellipsoid(
            name, as_place(middle), as_place(axes), turn + rng.normal(0, 10), curve * rng.uniform(0.3, 1.7)
        )

    wall = size * width * 140, size * thickness * 95, 400.0
    lobe = float(rng.uniform(0.7, 1.3))
    full = float(rng.uniform(0.6, 1.35))
    ellipsoids = (
        Ellipsoid("fat", (0, 0, 0), (wall[0] + fat, wall[1] + 0.8 * fat, wall[2])),
        Ellipsoid("muscle", (0, 0, 0), wall),
        Ellipsoid("fat", (0, 14, 0), (wall[0] - 16, wall[1] - 22, wall[2])),
        part("liver", (66, 14, 34), (58, 62, 66), 0),
        part("liver", (14, 38, 50), (48 * lobe, 30, 30 * lobe), 0),
        part("stomach", (-44, 30, 28), (34 * full, 30 * full, 40 * full), 25, 10),
        part("spleen", (-90, -18, 48), (22, 38, 42), 20, -10),
        part("right_kidney", (58, -38, -38), (23, 25, 46), 20, 5),
        part("left_kidney", (-58, -38, -22), (23, 25, 46), -20, -5),
        part("spine", (0, -60, 0), (21, 21, 500), 0),
        part("aorta", (-10, -28, 0), (11, 11, 500), 0),
    )
    return Anatomy(
        structures=STRUCTURES,
        ellipsoids=ellipsoids,
        lesion=None,
        age=age,
        sex=sex,
        tone=tuple(float(value) for value in rng.standard_normal(len(STRUCTURES))),
        bend=draw_waves(8, (70, 200), 4.0, 3, rng),
        grain=draw_waves(24, (16, 50), 1.0, 1, rng),
    )


def _tissues(*means: float) -> dict[str, tuple[float, float, float]]:
    """Of one contrast, in the order of `STRUCTURES`: mean, spread between people, texture inside."""
    return {name: (mean, 0.05, 0.04) for name, mean in zip(STRUCTURES, means, strict=True)}


CONTRASTS = {
    "Eta 1.5T": _tissues(0.62, 0.45, 0.48, 0.48, 0.32, 0.20, 0.52, 0.92, 0.46),
    "Theta 3T": _tissues(0.34, 0.62, 0.76, 0.76, 0.90, 0.14, 0.38, 0.22, 0.24),
    "Iota 3T": _tissues(0.66, 0.78, 0.94, 0.94, 0.24, 1.00, 0.44, 0.30, 0.40),
}
"""Relative intensities of three scanners: T1-weighted, T2-weighted with suppressed fat, T1-weighted with contrast."""
PLANES = {"axial": "RAS", "coronal": "LIP"}
"""In which slices a volume is acquired, and the order of the axes of its file."""


def draw_scanner(rng: np.random.Generator) -> tuple[MrScanner, str]:
    """One of a hospital's three scanners as it stands on one day, and one of the two `PLANES`."""
    model = list(CONTRASTS)[rng.integers(len(CONTRASTS))]
    plane = list(PLANES)[rng.integers(len(PLANES))]
    gain, bias, noise = {
        "Eta 1.5T": (600.0, 0.15, 0.045),
        "Theta 3T": (1500.0, 0.3, 0.03),
        "Iota 3T": (900.0, 0.3, 0.03),
    }[model]
    gain, bias = gain * rng.lognormal(0, 0.25), bias * rng.uniform(0.6, 1.2)
    return MrScanner(model, gain, bias, noise, rng.uniform(0.3, 0.5), PLANES[plane]), plane


def scan_organs(
    anatomy: Anatomy, scanner: MrScanner, plane: str, rng: np.random.Generator, *, shape: tuple[int, int, int]
) -> Scan:
    """Scan an abdomen; the shape is that of an axial volume to the right, to the front, upwards.

    A coronal one has two thirds of the slices to the front and half as many more upwards.

    Returns:
        The volume in stored numbers, with the label map of `ORGANS`.
    """
    if plane == "coronal":
        shape = shape[0], round(shape[1] / 1.5), round(shape[2] * 1.5)
    x, y, z = (length / count for length, count in zip(FIELD, shape, strict=True))
    tissues = CONTRASTS[scanner.model]
    scan = scan_mr(anatomy, scanner, rng, shape=shape, spacing=(x, y, z), tissues=tissues)
    labels = np.where(scan.labels > len(ORGANS), 0, scan.labels).astype(np.uint8)
    return Scan(scan.image, labels, scan.affine)
