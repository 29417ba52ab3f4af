"""A folder of synthetic abdomens as a hospital delivers it: MR of three scanners in two planes as NIfTI, label maps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medcl.phantom import organs
from medcl.phantom.person import Watch, write_csv
from medcl.phantom.scan_files import write_nifti
from medcl.phantom.volumes import write_card


@dataclass(frozen=True)
class OrganArchive:
    """What was written.

    Attributes:
        folder: Its root.
        patients: With one volume or two.
        volumes: NIfTI files.
    """

    folder: Path
    patients: int
    volumes: int

    def __str__(self) -> str:
        """What a person is told."""
        return (
            f"{self.folder}: {self.volumes} MR volumes of the abdomen of {self.patients} patients (organs/, NIfTI), "
            "label maps (masks/organs/)"
        )


def write_organs(
    folder: Path,
    patients: int = 40,
    seed: int = 0,
    *,
    shape: tuple[int, int, int] = (48, 40, 24),
    watch: Watch = iter,
) -> OrganArchive:
    """Write `organs/` with `labels.csv` and a card, and the label maps of `organs.ORGANS` below `masks/organs/`.

    A third of the patients come twice, perhaps to another scanner. The table's columns: `record` (path without suffix),
    `patient`, `scanner`, `plane` (of the slices), `age`, `sex`. The same seed gives the same bytes; a patient is the
    same whatever the number of patients. For the shape see `organs.scan_organs`.
    """
    rows: list[Sequence[str | int]] = []
    for number in watch(range(patients)):
        rng = np.random.default_rng([seed, 30, number])
        anatomy, code = organs.draw_abdomen(rng), f"P{number + 1:04d}"
        for visit in range(1, 2 + int(rng.random() < 1 / 3)):
            scanner, plane = organs.draw_scanner(rng)
            scan = organs.scan_organs(anatomy, scanner, plane, rng, shape=shape)
            name = f"{code}/{code}_v{visit}"
            for place, voxels in (("organs", scan.image), ("masks/organs", scan.labels)):
                path = folder / place / f"{name}.nii.gz"
                write_nifti(path, voxels, scan.affine, orientation=scanner.orientation)
            rows.append((name, code, scanner.model, plane, anatomy.age, anatomy.sex))
    write_csv(folder / "organs" / "labels.csv", ("record", "patient", "scanner", "plane", "age", "sex"), rows)
    masks = {"pattern": "../masks/organs/{folder}/{name}", "classes": ["background", *organs.ORGANS]}
    write_card(folder / "organs.yaml", "organs", {"scanner": tuple(organs.CONTRASTS)}, masks=masks)
    return OrganArchive(folder, patients, len(rows))
