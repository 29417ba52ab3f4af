"""A synthetic person in an MR scanner: relative intensities, the coil's bias field, Rician noise, an arbitrary gain."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from medcl.phantom.anatomy import RIM, Anatomy, Ellipsoid, draw_lesion, draw_on, draw_pose, draw_waves, grid_affine
from medcl.phantom.ct import Scan
from medcl.phantom.person import draw_build
from medcl.phantom.sphere import Place, as_place

STRUCTURES = (
    "scalp",
    "skull",
    "grey_matter",
    "white_matter",
    "ventricles",
    "right_hippocampus",
    "left_hippocampus",
    "lesion",
)
"""Labels 1 to 8; what is not 0 is the head."""
LESIONS = ("none", "smooth", "ring")
"""The classes of a lesion in the white matter: of one brightness, or a bright rim around a dark centre."""


def draw_head(lesion: str, rng: np.random.Generator) -> Anatomy:
    """A person with this lesion in the white matter; the ventricles grow and the hippocampi shrink with age.

    Raises:
        ValueError: The lesion is not in `LESIONS`.
    """
    if lesion not in LESIONS:
        raise ValueError(f"unknown lesion {lesion!r} of a head: one of {', '.join(LESIONS)}")
    sex, age, size = draw_build(rng, age=(58, 17), women=0.95, spread=0.03)
    width, length = rng.lognormal(0, 0.04, 2)
    old = (age - 58) / 17
    horns = float(np.exp(0.13 * old + rng.normal(0, 0.10)))
    memory = float(np.exp(-0.06 * old + rng.normal(0, 0.07)))
    scale = np.array([size * width, size * length, size])

    def part(name: str, centre: Place, radii: Place, turn: float, curve: float = 0.0) -> Ellipsoid:
        middle = np.multiply(centre, scale) + rng.normal(0, 1, 3)
        axes = np.multiply(radii, scale) * rng.lognormal(0, 0.03, 3)
        return Ellipsoid(name, as_place(middle), as_place(axes), turn + rng.normal(0, 2), curve)

    a, b, c = (float(radius) for radius in scale * (66, 84, 74))
    skull, scalp = float(rng.uniform(5, 8)), float(rng.uniform(5, 8))
    slots = 9 * horns, 32 * horns, 13 * horns
    hippocampus = 8.5 * memory, 20 * memory, 9 * memory
    side = float(rng.choice([-1.0, 1.0]))
    centre = scale * (side * 27, rng.uniform(-14, 22), rng.uniform(24, 30))
    return Anatomy(
        structures=STRUCTURES,
        ellipsoids=(
            Ellipsoid("scalp", (0, 0, 0), (a + skull + scalp, b + skull + scalp, c + skull + scalp)),
            Ellipsoid("skull", (0, 0, 0), (a + skull, b + skull, c + skull)),
            Ellipsoid("grey_matter", (0, 0, 0), (a, b, c)),
            part("white_matter", (0, 0, 6), (52, 69, 55), 0),
            part("ventricles", (12, 0, 8), slots, -7),
            part("ventricles", (-12, 0, 8), slots, 7),
            part("right_hippocampus", (30, -12, -20), hippocampus, 15, -5),
            part("left_hippocampus", (-30, -12, -20), hippocampus, -15, 5),
        ),
        lesion=draw_lesion(lesion, "white_matter", centre, float(rng.uniform(10.5, 14.5)), rng),
        age=age,
        sex=sex,
        tone=tuple(float(value) for value in rng.standard_normal(len(STRUCTURES))),
        bend=draw_waves(5, (70, 180), 1.5, 3, rng),
        grain=draw_waves(24, (9, 30), 1.0, 1, rng),
    )


TISSUES = {
    "scalp": (0.90, 0.05, 0.05),
    "skull": (0.12, 0.02, 0.02),
    "grey_matter": (0.55, 0.015, 0.03),
    "white_matter": (0.78, 0.015, 0.02),
    "ventricles": (0.18, 0.01, 0.01),
    "right_hippocampus": (0.50, 0.02, 0.02),
    "left_hippocampus": (0.50, 0.02, 0.02),
    "lesion": (0.42, 0.03, 0.02),
}
"""T1-weighted, relative: the mean over people, the standard deviation between people, that of the texture inside."""
RING = 0.5
"""How far apart the rim and the centre of a ring are; its mean is that of a smooth lesion."""


@dataclass(frozen=True)
class MrScanner:
    """What an MR scanner adds of its own.

    Attributes:
        model: Its name.
        gain: Stored numbers for a relative intensity of 1; without a unit and another one each time.
        bias: Of the coil, the largest deviation from 1 over the grid.
        noise: Standard deviation of the real and the imaginary part, relative intensity.
        blur: Standard deviation, voxels.
        orientation: Of the axes of its files, such as `LAS`.
    """

    model: str
    gain: float
    bias: float
    noise: float
    blur: float
    orientation: str


def draw_scanner(rng: np.random.Generator) -> MrScanner:
    """One of a hospital's scanners, as it stands on one day."""
    model, gain, bias, noise, orientation = (
        ("Delta 1.5T", 600.0, 0.15, 0.035, "RAS"),
        ("Epsilon 3T", 1500.0, 0.30, 0.020, "LAS"),
        ("Zeta 1T", 250.0, 0.10, 0.050, "LPS"),
    )[rng.integers(3)]
    return MrScanner(
        model, gain * rng.lognormal(0, 0.25), bias * rng.uniform(0.6, 1.2), noise, rng.uniform(0.3, 0.5), orientation
    )


def scan_mr(
    anatomy: Anatomy,
    scanner: MrScanner,
    rng: np.random.Generator,
    *,
    shape: tuple[int, int, int] = (64, 64, 32),
    spacing: tuple[float, float, float] = (3.5, 3.5, 5.5),
    tissues: Mapping[str, tuple[float, float, float]] = TISSUES,
) -> Scan:
    """Scan a head; the person lies a little differently each time. For shape and spacing see `grid_affine`.

    Tissues are relative intensities of the structures of the anatomy, as in `TISSUES`.

    Returns:
        The volume in stored numbers, from 0 to 32767, rounded.
    """
    affine = grid_affine(shape, spacing)
    drawing = draw_on(anatomy, shape, affine, draw_pose(rng, 3.0, 3.0))
    mean, between, within = np.array([(0.0, 0, 0), *(tissues[name] for name in anatomy.structures)]).T
    level = (mean + between * np.array([0.0, *anatomy.tone])).astype(np.float32)
    image = level[drawing.labels] + within.astype(np.float32)[drawing.labels] * drawing.grain
    if anatomy.lesion_class == "ring":
        inside = RIM**3
        contrast = np.where(drawing.depth < RIM, RING * (inside - 1), RING * inside).astype(np.float32)
        region = drawing.labels == anatomy.label("lesion")
        image[region] += contrast[region]

    image = gaussian_filter(image, scanner.blur)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij", sparse=True)
    weights = rng.standard_normal(6).astype(np.float32)
    field = sum(w * term for w, term in zip(weights, (x, y, z, x * y, y * z, x * x + y * y + z * z - 1), strict=True))
    image *= np.exp(field * np.float32(scanner.bias / np.abs(field).max()))
    real, imaginary = rng.standard_normal((2, *shape), dtype=np.float32) * np.float32(scanner.noise)
    image = np.hypot(image + real, imaginary) * np.float32(scanner.gain)
    return Scan(np.rint(np.clip(image, 0, 32767)), drawing.labels, affine)
