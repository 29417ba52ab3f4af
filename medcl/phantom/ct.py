"""A synthetic person in a CT scanner: Hounsfield units, the table, the kernel and its noise."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from medcl.phantom.anatomy import Affine, Anatomy, Ellipsoid, draw_lesion, draw_on, draw_pose, draw_waves, grid_affine
from medcl.phantom.person import draw_build
from medcl.phantom.sphere import Place, as_place

STRUCTURES = ("fat", "muscle", "right_lung", "left_lung", "heart", "liver", "spine", "lesion")
"""Labels 1 to 8; what is not 0 is the body."""
LESIONS = ("none", "smooth", "spiculated")
"""The classes of a mass in the lung."""


def draw_chest(lesion: str, rng: np.random.Generator) -> Anatomy:
    """A person with this mass in one of the lungs.

    Raises:
        ValueError: The lesion is not in `LESIONS`.
    """
    if lesion not in LESIONS:
        raise ValueError(f"unknown lesion {lesion!r} of a chest: one of {', '.join(LESIONS)}")
    sex, age, size = draw_build(rng, age=(60, 14), women=0.94, spread=0.04)
    size = min(size, 1.06)
    width, thickness, lungs, heart, liver = rng.lognormal(0, (0.05, 0.06, 0.06, 0.10, 0.08))
    width = min(width, 1.08)
    # No patient is wider than the field of view of 352 mm, moved a little to one side.
    fat = min(rng.uniform(8, 26), 164 - size * width * 138)

    def part(name: str, centre: Place, radii: Place, turn: float) -> Ellipsoid:
        middle = np.multiply(centre, (size * width, size * thickness, size)) + rng.normal(0, 3, 3)
        axes = np.multiply(radii, size) * rng.lognormal(0, 0.04, 3)
        return Ellipsoid(name, as_place(middle), as_place(axes), turn + rng.normal(0, 4))

    wall = size * width * 138, size * thickness * 92, 400.0
    side = "right_lung" if rng.random() < 0.5 else "left_lung"
    ellipsoids = (
        Ellipsoid("fat", (0, 0, 0), (wall[0] + fat, wall[1] + 0.8 * fat, wall[2])),
        Ellipsoid("muscle", (0, 0, 0), wall),
        part("right_lung", (66, 2, 35), (50 * lungs, 70 * lungs, 112 * lungs), 8),
        part("left_lung", (-66, 2, 35), (47 * lungs, 70 * lungs, 112 * lungs), -8),
        part("heart", (-22, 24, -8), (50 * heart, 38 * heart, 52 * heart), -30),
        part("liver", (52, 12, -92), (76 * liver, 62 * liver, 58 * liver), 0),
        part("spine", (0, -56, 0), (19, 19, 500), 0),
    )
    lung = next(ellipsoid for ellipsoid in ellipsoids if ellipsoid.structure == side)
    outwards = 8 if side == "right_lung" else -8
    centre = np.add(lung.centre, (outwards + rng.normal(0, 4), rng.uniform(-22, 12), rng.uniform(0, 35)))
    return Anatomy(
        structures=STRUCTURES,
        ellipsoids=ellipsoids,
        lesion=draw_lesion(lesion, side, centre, float(rng.uniform(17, 25)), rng),
        age=age,
        sex=sex,
        tone=tuple(float(value) for value in rng.standard_normal(len(STRUCTURES))),
        bend=draw_waves(5, (120, 260), 3.0, 3, rng),
        grain=draw_waves(24, (16, 50), 1.0, 1, rng),
    )


Floats = NDArray[np.float32]

KERNELS = {"soft": 0.75, "sharp": 0.35}
"""Blur of each, as a standard deviation in voxels of 5.5 mm."""
AIR, OUTSIDE, TABLE = -1000.0, -1024.0, -180.0
"""HU of air, of what lies outside the circle that was reconstructed, of the table."""
TISSUES = {
    "fat": (-95.0, 5.0, 8.0),
    "muscle": (45.0, 5.0, 10.0),
    "right_lung": (-830.0, 25.0, 45.0),
    "left_lung": (-830.0, 25.0, 45.0),
    "heart": (48.0, 4.0, 6.0),
    "liver": (60.0, 8.0, 9.0),
    "spine": (320.0, 60.0, 70.0),
    "lesion": (35.0, 8.0, 10.0),
}
"""HU: the mean over people, the standard deviation between people, that of the texture inside one."""


@dataclass(frozen=True)
class CtScanner:
    """What a CT scanner adds of its own.

    Attributes:
        model: Its name.
        kernel: One of `KERNELS`.
        noise: Standard deviation in water with the soft kernel, HU; the sharp one has twice as much.
        offset: Error of its calibration, HU.
        table: Height of the table top below the middle, mm.
    """

    model: str
    kernel: str
    noise: float
    offset: float
    table: float


@dataclass(frozen=True)
class Scan:
    """A volume as a scanner gives it, with its label map.

    Attributes:
        image: (x, y, z) to the right, to the front, upwards as far as the affine says; HU for CT, else any unit.
        labels: (x, y, z) uint8, see the anatomy's `structures`.
        affine: (4, 4) from voxel index to mm, RAS+.
    """

    image: Floats
    labels: NDArray[np.uint8]
    affine: Affine


def draw_scanner(rng: np.random.Generator) -> CtScanner:
    """One of a hospital's scanners, as it stands on one day."""
    model, noise, offset = (("Alpha 64", 11.0, 2.0), ("Beta 128", 8.0, -1.0), ("Gamma 16", 16.0, 4.0))[rng.integers(3)]
    kernel = "soft" if rng.random() < 0.6 else "sharp"
    return CtScanner(model, kernel, noise * rng.lognormal(0, 0.1), offset + rng.normal(), rng.uniform(125, 135))


def with_kernel(scanner: CtScanner, kernel: str) -> CtScanner:
    """The same scanner, reconstructing with another kernel.

    Raises:
        ValueError: There is no such kernel.
    """
    if kernel not in KERNELS:
        raise ValueError(f"unknown kernel {kernel!r}: one of {', '.join(KERNELS)}")
    return replace(scanner, kernel=kernel)


def scan_ct(
    anatomy: Anatomy,
    scanner: CtScanner,
    rng: np.random.Generator,
    *,
    shape: tuple[int, int, int] = (64, 64, 32),
    spacing: tuple[float, float, float] = (5.5, 5.5, 7.0),
    tilt: float = 0.0,
) -> Scan:
    """Scan a chest; the person lies a little differently each time.

    Two kernels of one acquisition: call twice with generators of the same seed. For shape (voxels), spacing (mm) and
    tilt (degrees) see `grid_affine`.

    Returns:
        The volume in HU, from -1024 to 3071, rounded to whole HU.
    """
    affine = grid_affine(shape, spacing, tilt)
    drawing = draw_on(anatomy, shape, affine, draw_pose(rng))
    mean, between, within = np.array([(AIR, 0, 0), *(TISSUES[name] for name in anatomy.structures)]).T
    level = (mean + between * np.array([0.0, *anatomy.tone])).astype(np.float32)
    image = level[drawing.labels] + within.astype(np.float32)[drawing.labels] * drawing.grain

    x = affine[0, 0] * np.arange(shape[0]) + affine[0, 3]
    y = affine[1, 1] * np.arange(shape[1]) + affine[1, 3]
    plate = (np.abs(x)[:, None] < 150) & (np.abs(y + scanner.table)[None] < 0.75 * spacing[1])
    image[plate[..., None] & (drawing.labels == 0)] = TABLE

    white = rng.standard_normal(shape, dtype=np.float32)
    blur = [KERNELS[scanner.kernel] * 5.5 / step for step in spacing[:2]] + [0.3]
    image = gaussian_filter(image, blur)
    noise = gaussian_filter(white, blur)
    if scanner.kernel == "sharp":
        # An edge-enhancing kernel overshoots at borders and lifts the noise of high frequency.
        image += 0.4 * (image - gaussian_filter(image, [2 * b for b in blur]))
        noise -= 0.5 * gaussian_filter(white, [3 * b for b in blur])
    noise *= scanner.noise * (2.0 if scanner.kernel == "sharp" else 1.0) / noise.std()
    image += noise + np.float32(scanner.offset)
    radius = min(shape[0] * spacing[0], shape[1] * spacing[1]) / 2
    image[np.hypot(x[:, None], y[None]) > radius] = OUTSIDE
    return Scan(np.rint(np.clip(image, OUTSIDE, 3071)), drawing.labels, affine)
