"""The head of a synthetic person, as MR sees it."""

import numpy as np

from medcl.phantom.anatomy import Anatomy, Ellipsoid, draw_waves
from medcl.phantom.lesion import draw_lesion
from medcl.phantom.person import draw_build

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

    Args:
        lesion: One of `LESIONS`.
        rng: Source of randomness.

    Returns:
        The person.

    Raises:
        ValueError: The lesion is none of `LESIONS`.
    """
    if lesion not in LESIONS:
        raise ValueError(f"unknown lesion {lesion!r} of a head: one of {', '.join(LESIONS)}")
    sex, age, size = draw_build(rng, age=(58, 17), women=0.95, spread=0.03)
    width, length = rng.lognormal(0, 0.04, 2)
    old = (age - 58) / 17
    horns = float(np.exp(0.13 * old + rng.normal(0, 0.10)))
    memory = float(np.exp(-0.06 * old + rng.normal(0, 0.07)))
    scale = np.array([size * width, size * length, size])

    def part(
        name: str,
        centre: tuple[float, float, float],
        radii: tuple[float, float, float],
        turn: float,
        curve: float = 0.0,
    ) -> Ellipsoid:
        x, y, z = np.multiply(centre, scale) + rng.normal(0, 1, 3)
        a, b, c = np.multiply(radii, scale) * rng.lognormal(0, 0.03, 3)
        return Ellipsoid(
            name, (float(x), float(y), float(z)), (float(a), float(b), float(c)), turn + rng.normal(0, 2), curve
        )

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
