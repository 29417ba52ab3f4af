"""Small images of shapes with reports: kind, place and severity of every finding are known, so that methods are tested.

An image has no finding or up to three, each in a quadrant of its own; its report says one sentence a finding, in random
order, and denies kinds that are not there. As in a real archive a patient has several studies, and many reports are the
same words: those without a finding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from medcl.phantom.person import Watch, write_csv

KINDS = ("nodule", "opacity", "cavity", "scar")
"""Findings: a disc, a square, a ring and a cross."""
SIDES, ZONES = ("right", "left"), ("upper", "lower")
SEVERITIES = {"mild": 0.45, "severe": 0.9}
"""Severity -> brightness above that of the background, which is 0.1 of white."""
NORMAL = 0.4
"""Share of the studies without a finding, whose reports are the same words."""
PLACE, REPORTS = "shapes", "reports/shapes"
"""Folders of images and of reports."""
_NOISE, _DENIED = 0.05, 2
_FOUND, _ABSENT = "A {severity} {kind} is seen in the {side} {zone} zone.", "No {kind} is seen."


@dataclass(frozen=True)
class ShapeSite:
    """A hospital that can be told by its mark in the corner of an image, and by how its reports are worded.

    Attributes:
        name: In label tables.
        found: Sentence of a finding.
        absent: Sentence of a kind that is not there.
        mark: (3, 3) of 0 and 1, white in the upper left corner; None leaves the corner as it is.
    """

    name: str
    found: str = _FOUND
    absent: str = _ABSENT
    mark: tuple[str, str, str] | None = None


SITES = (
    ShapeSite("North", mark=("111", "100", "100")),
    ShapeSite(
        "South",
        "There is a {severity} {kind} in the {side} {zone} zone.",
        "There is no {kind}.",
        ("010", "111", "010"),
    ),
    ShapeSite(
        "West",
        "The {side} {zone} zone shows a {severity} {kind}.",
        "Absence of a {kind}.",
        ("101", "000", "101"),
    ),
)
"""Three hospitals with a mark and a dialect of their own; each reports the same findings."""


@dataclass(frozen=True)
class Shape:
    """A finding.

    Attributes:
        kind: One of `KINDS`.
        side: Of the patient, who faces the reader: the right side is on the left of the image.
        zone: One of `ZONES`.
        severity: One of `SEVERITIES`.
    """

    kind: str
    side: str
    zone: str
    severity: str

    def sentence(self, template: str) -> str:
        """What the report says of it."""
        return template.format(kind=self.kind, side=self.side, zone=self.zone, severity=self.severity)


Box = tuple[int, int, int, int]
"""Column and row of the upper left corner, width and height, pixels."""


@dataclass(frozen=True)
class WrittenShapes:
    """What was written.

    Attributes:
        folder: Its root.
        patients: With at least one study.
        images: Each with a report.
    """

    folder: Path
    patients: int
    images: int

    def __str__(self) -> str:
        """What a person is told."""
        return f"{self.folder}: {self.images} images of {self.patients} patients ({PLACE}/, PNG) with {REPORTS}.csv"


def write_shapes(
    folder: Path,
    patients: int,
    seed: int = 0,
    *,
    size: int = 32,
    sites: Sequence[ShapeSite] = (),
    watch: Watch = iter,
) -> WrittenShapes:
    """Write one to three studies a patient, an image and a report each.

    The same seed gives the same bytes; a patient is the same whatever the number of patients. In `shapes/` there are
    images (8 bits, grey, PNG) and two tables. `labels.csv` has the columns `record` (path without suffix, relative to
    the table), `patient`, `study`, one a kind of finding (`present` or `absent`), and `site` where there are sites.
    `boxes.csv` has a row a finding: `record`, `finding`, `side`, `zone`, `severity`, `sentence` (as it stands in the
    report), and the box in pixels: `x` and `y` of its upper left corner, to the right and downwards, `width`, `height`.
    `reports/shapes/reports.csv` has the columns `record`, `study`, `patient`, `findings`.

    Args:
        folder: Where to; made if need be.
        patients: Number of patients.
        seed: Random seed.
        size: Side of an image, pixels, at least 24.
        sites: Hospitals, one of which each patient goes to, whatever is found there; findings are the same without.
        watch: Iterates over the numbers of the patients.

    Raises:
        ValueError: The images are too small for four shapes.
    """
    if size < 24:
        raise ValueError(f"size of an image: 24 pixels or more, got {size}")
    labels: list[Sequence[object]] = []
    boxes: list[Sequence[object]] = []
    reports: list[Sequence[object]] = []
    for number in watch(range(patients)):
        rng = np.random.default_rng([seed, 30, number])
        code = f"P{number + 1:04d}"
        site = sites[int(np.random.default_rng([seed, 31, number]).integers(len(sites)))] if sites else ShapeSite("")
        likely = _draw_likely(rng)
        for visit in range(1, 1 + int(rng.integers(1, 4))):
            record, study = f"{code}/E{visit}", f"{code}_E{visit}"
            found = _draw_findings(likely, rng)
            image, places = _drawn(found, size, rng)
            if site.mark is not None:
                image[1:4, 1:4] = np.array([[int(one) for one in row] for row in site.mark])
            _write_png(folder / PLACE / f"{record}.png", image)
            there = {one.kind for one in found}
            present = ("present" if kind in there else "absent" for kind in KINDS)
            labels.append((record, code, study, *present, *((site.name,) if sites else ())))
            for one, box in zip(found, places, strict=True):
                boxes.append((record, one.kind, one.side, one.zone, one.severity, one.sentence(site.found), *box))
            reports.append((record, study, code, _reported(found, site, rng)))
    columns = ("record", "patient", "study", *KINDS, *(("site",) if sites else ()))
    write_csv(folder / PLACE / "labels.csv", columns, labels)
    about = ("record", "finding", "side", "zone", "severity", "sentence", "x", "y", "width", "height")
    write_csv(folder / PLACE / "boxes.csv", about, boxes)
    write_csv(folder / REPORTS / "reports.csv", ("record", "study", "patient", "findings"), reports)
    return WrittenShapes(folder, patients, len(labels))


def _draw_likely(rng: np.random.Generator) -> list[tuple[str, str, str]]:
    """Kind, side and zone of the three findings that a patient may have."""
    quadrants = [(side, zone) for side in SIDES for zone in ZONES]
    chosen = rng.permutation(len(quadrants))[:3]
    return [(KINDS[int(rng.integers(len(KINDS)))], *quadrants[int(one)]) for one in chosen]


def _draw_findings(likely: Sequence[tuple[str, str, str]], rng: np.random.Generator) -> list[Shape]:
    """The findings of a study; as many are drawn whether it is normal or not."""
    normal, count = rng.random() < NORMAL, int(rng.integers(1, 4))
    severities = rng.choice(list(SEVERITIES), len(likely))
    order = rng.permutation(len(likely))[: 0 if normal else count]
    return [Shape(*likely[one], str(severities[one])) for one in map(int, order)]


def _drawn(found: Sequence[Shape], size: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], list[Box]]:
    """The image (size, size) from 0 to 1, and the box of each finding."""
    image = 0.1 + _NOISE * rng.standard_normal((size, size))
    rows, columns = np.mgrid[:size, :size]
    places: list[Box] = []
    for one in found:
        radius = size * rng.uniform(0.11, 0.15)
        row, column = size * (np.array([_far(ZONES, one.zone), _far(SIDES, one.side)]) + rng.uniform(-0.06, 0.06, 2))
        inside = _inside(one.kind, (rows - row) / radius, (columns - column) / radius)
        image += inside * (SEVERITIES[one.severity] + rng.uniform(-0.05, 0.05))
        covered = [np.flatnonzero(inside.any(axis=axis)) for axis in (0, 1)]
        (left, right), (top, bottom) = ((int(one[0]), int(one[-1])) for one in covered)
        places.append((left, top, right - left + 1, bottom - top + 1))
    return np.clip(image, 0, 1), places


def _far(names: tuple[str, str], name: str) -> float:
    """Share of the side of an image at which a quadrant has its centre."""
    return 0.28 + 0.44 * names.index(name)


def _inside(kind: str, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which pixels a shape covers; rows and columns from its centre, in radii."""
    distance, far, near = (
        np.hypot(rows, columns),
        np.maximum(abs(rows), abs(columns)),
        np.minimum(abs(rows), abs(columns)),
    )
    return {
        "nodule": distance <= 1,
        "opacity": far <= 0.9,
        "cavity": (distance <= 1.1) & (distance >= 0.6),
        "scar": (far <= 1.1) & (near <= 0.3),
    }[kind]


def _reported(found: Sequence[Shape], site: ShapeSite, rng: np.random.Generator) -> str:
    """The sentences of the findings in random order, then what is not there: of a normal study, all kinds."""
    absent = [kind for kind in KINDS if kind not in {one.kind for one in found}]
    chosen = rng.permutation(absent)[:_DENIED] if found else absent
    told = [found[int(n)].sentence(site.found) for n in rng.permutation(len(found))]
    return " ".join([*told, *(site.absent.format(kind=kind) for kind in chosen)])


def _write_png(path: Path, image: NDArray[np.float64]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.fromarray(np.rint(255 * image).astype(np.uint8)).save(path, "PNG")
