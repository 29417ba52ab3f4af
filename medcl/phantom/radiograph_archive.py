"""A folder of radiographs of synthetic chests: DICOM as a hospital has it, PNG as public collections have it."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medcl.phantom import ct
from medcl.phantom.chest_patient import draw_chest_patient
from medcl.phantom.radiograph import project, write_dicom, write_png

DICOM, PNG = "xray", "xray_png"
"""Folders of the same pictures: whoever scans one of them meets none twice."""
_SERIES = 50  # of the radiograph in its study: the CTs of the same visit come before


@dataclass(frozen=True)
class Radiographs:
    """What was written.

    Attributes:
        folder: Its root.
        patients: With at least one radiograph.
        pictures: Radiographs, each as DICOM and as PNG.
    """

    folder: Path
    patients: int
    pictures: int

    def __str__(self) -> str:
        """What a person is told."""
        root = self.folder
        held = f"{self.pictures} radiographs of {self.patients} patients ({DICOM}/, DICOM, and the same in {PNG}/)"
        table = f"--labels {root / PNG / 'labels.csv'} --record-column record --patient-column patient"
        scan = f"medcl scan {root / PNG} --modality xray {table} --target-columns lesion side -o xray.parquet"
        return f"{root}: {held}\nto scan them: {scan}"


def write_radiographs(
    folder: Path, patients: int, seed: int = 0, *, shape: tuple[int, int, int] = (64, 64, 32)
) -> Radiographs:
    """Write a radiograph a study of the patients whom `volumes.write_volumes` scans, whether it is called or not.

    The table `labels.csv` in either folder has the columns `record` (path without suffix, relative to the table),
    `patient`, `study`, `lesion` (one of `chest.LESIONS`), `side` (right, left or none), `age` (at the study), `sex`.

    Args:
        folder: Where to; made if need be.
        patients: How many.
        seed: Of everything random.
        shape: Voxels of the chest that the rays pass, to the right, to the front, upwards.

    Returns:
        What was written.
    """
    spacing = 352 / shape[0], 352 / shape[1], 224 / shape[2]
    rows: list[tuple[str | int, ...]] = []
    for number in range(patients):
        patient = draw_chest_patient(number, seed)
        lesion = patient.anatomy.lesion
        side = "none" if lesion is None else lesion.host.removesuffix("_lung")
        for visit, study in enumerate(patient.studies, start=1):
            rng = np.random.default_rng([seed, 13, number, visit])
            chest = ct.scan_ct(patient.anatomy, ct.draw_scanner(rng), rng, shape=shape, spacing=spacing)
            picture = project(chest, rng)
            name = f"{patient.code}/E{visit}"
            # Each second detector stores what is white as 0.
            write_dicom(folder / DICOM / f"{name}.dcm", picture, study, number=_SERIES, dark=number % 2 == 1)
            write_png(folder / PNG / f"{name}.png", picture)
            facts = (patient.code, f"{patient.code}_E{visit}", patient.finding, side, study.age, patient.anatomy.sex)
            rows.append((name, *facts))
    for place in (DICOM, PNG):
        with (folder / place / "labels.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("record", "patient", "study", "lesion", "side", "age", "sex"))
            writer.writerows(rows)
    return Radiographs(folder, patients, len(rows))
