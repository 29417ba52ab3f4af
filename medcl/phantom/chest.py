"""The chest and upper abdomen of a synthetic person, as CT sees them."""

import numpy as np

from medcl.phantom.anatomy import Anatomy, Ellipsoid, draw_waves
from medcl.phantom.lesion import draw_lesion
from medcl.phantom.person import draw_build

STRUCTURES = ("fat", "muscle", "right_lung", "left_lung", "heart", "liver", "spine", "lesion")
"""Labels 1 to 8; what is not 0 is the body."""
LESIONS = ("none", "smooth", "spiculated")
"""The classes of a mass in the lung."""


def draw_chest(lesion: str, rng: np.random.Generator) -> Anatomy:
    """A person with this mass in one of the lungs.

    Args:
        lesion: One of `LESIONS`.
        rng: Source of randomness.

    Returns:
        The person.

    Raises:
        ValueError: The lesion is none of `LESIONS`.
    """
    if lesion not in LESIONS:
        raise ValueError(f"unknown lesion {lesion!r} of a chest: one of {', '.join(LESIONS)}")
    sex, age, size = draw_build(rng, age=(60, 14), women=0.94, spread=0.04)
    size = min(size, 1.06)
    width, thickness, lungs, heart, liver = rng.lognormal(0, (0.05, 0.06, 0.06, 0.10, 0.08))
    width = min(width, 1.08)
    # Nobody is wider than the field of view of 352 mm, moved a little to one side.
    fat = min(rng.uniform(8, 26), 164 - size * width * 138)

    def part(
        name: str, centre: tuple[float, float, float], radii: tuple[float, float, float], turn: float
    ) -> Ellipsoid:
        x, y, z = np.multiply(centre, (size * width, size * thickness, size)) + rng.normal(0, 3, 3)
        a, b, c = np.multiply(radii, size) * rng.lognormal(0, 0.04, 3)
        return Ellipsoid(name, (float(x), float(y), float(z)), (float(a), float(b), float(c)), turn + rng.normal(0, 4))

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
