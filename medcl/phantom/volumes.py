"""A folder of synthetic volumes as a hospital delivers it: CT as DICOM, MR as NIfTI, label tables, broken files."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from pydicom import dcmread

from medcl.phantom import ct, mr
from medcl.phantom.person import Watch, draw_person, draw_studies, write_csv
from medcl.phantom.radiograph import draw_chest_patient, draw_finding
from medcl.phantom.scan_files import DicomSeries, write_localizer, write_nifti, write_series

LETTER = "Dear colleague,\nplease find the images on the other disk.\n"


def write_damaged_ct(folder: Path, seed: int = 0) -> list[Path]:
    """Write broken DICOM series of four small slices.

    Returns:
        Their folders: files without a byte, text named .dcm, files without pixels, without a position, slices of two
        sizes, files that end early.
    """
    rng = np.random.default_rng([seed, 11])
    anatomy = ct.draw_chest("none", rng)
    scan = ct.scan_ct(anatomy, ct.draw_scanner(rng), rng, shape=(16, 16, 4), spacing=(22.0, 22.0, 20.0))
    names = ("empty", "letter", "no_pixels", "no_position", "truncated", "two_sizes")
    for number, name in enumerate(names):
        person = draw_person("F", 50, rng)
        study = draw_studies(person, 1, f"{seed}/ct/damaged/{number}", rng)[0]
        paths = write_series(folder / name, scan, study, DicomSeries("CT", 1, "Thorax soft", "Alpha 64", "soft"))
        for path in paths:
            whole = path.read_bytes()
            if name == "empty":
                path.write_bytes(b"")
            elif name == "letter":
                path.write_text(LETTER)
            elif name == "truncated":
                path.write_bytes(whole[: len(whole) - 300])
            elif name != "two_sizes" or path == paths[-1]:
                _spoil(path, name)
    return [folder / name for name in names]


def _spoil(path: Path, name: str) -> None:
    header = dcmread(path)
    if name == "no_pixels":
        del header.PixelData
    elif name == "no_position":
        del header.ImagePositionPatient
    else:
        header.Rows = header.Rows // 2
        header.PixelData = header.PixelData[: len(header.PixelData) // 2]
    header.save_as(path)


def write_damaged_mr(folder: Path, seed: int = 0) -> list[Path]:
    """Write broken NIfTI files.

    Returns:
        The files: one without a byte, a geometry whose axes lie in one plane, text named .nii, one whose voxels end
        early, a gzip stream that was cut.
    """
    rng = np.random.default_rng([seed, 12])
    scan = mr.scan_mr(
        mr.draw_head("none", rng), mr.draw_scanner(rng), rng, shape=(16, 16, 8), spacing=(14.0, 14.0, 22.0)
    )
    for name in ("short.nii", "truncated.nii.gz", "flat.nii"):
        write_nifti(folder / name, scan.image, scan.affine)
    (folder / "empty.nii").write_bytes(b"")
    (folder / "letter.nii").write_text(LETTER)
    whole = (folder / "short.nii").read_bytes()
    (folder / "short.nii").write_bytes(whole[: len(whole) // 2])
    stream = gzip.compress(whole, mtime=0)
    (folder / "truncated.nii.gz").write_bytes(stream[: len(stream) // 2])
    flat = bytearray((folder / "flat.nii").read_bytes())
    # The second row of the sform at byte 296 becomes the first one; without a qform (byte 252) nothing else counts.
    flat[296:312] = flat[280:296]
    flat[252:254] = b"\0\0"
    (folder / "flat.nii").write_bytes(flat)
    return sorted(folder.glob("*.nii*"))


NOTES = "Synthetic: no person was scanned. What is learned from it says nothing about patients."


def write_ct_card(path: Path) -> None:
    """Write the card of `ct/`, next to it, with its label maps in `masks/ct/`."""
    # A study is a folder below its patient's; both kernels of a study share its label map.
    masks = {"pattern": "../masks/ct/{patient}/{study}.nii.gz", "classes": ["background", *ct.STRUCTURES]}
    write_card(
        path,
        "ct",
        {"lesion": ct.LESIONS},
        modality="ct",
        id_pattern="^(?P<patient>[^/]+)/(?P<study>[^/]+)/",
        masks=masks,
    )


def write_mr_card(path: Path) -> None:
    """Write the card of `mr/`, next to it, with its label maps in `masks/mr/`."""
    masks = {"pattern": "../masks/mr/{folder}/{name}", "classes": ["background", *mr.STRUCTURES]}
    write_card(path, "mr", {"lesion": mr.LESIONS}, masks=masks)


def write_card(path: Path, name: str, targets: dict[str, Sequence[str]], modality: str = "mr", **found: object) -> None:
    """Write the card of a folder with `labels.csv`, whose columns `targets` have these classes."""
    card = {
        "name": f"phantom_{name}",
        "version": "synthetic",
        "source": "medcl phantom",
        "licence": "none needed",
        "citation": "none needed",
        "modality": modality,
        **found,
        "table": {"file": "labels.csv", "key": "record", "patient": "patient"},
        "targets": {
            column: {"column": column, "kind": "multiclass", "classes": list(classes)}
            for column, classes in targets.items()
        },
        "notes": NOTES,
    }
    path.write_text(yaml.safe_dump(card, sort_keys=False, width=120), encoding="utf-8")


ODDITIES = ("", "rle", "gantry tilt", "missing slice", "", "")
"""What is unusual about the first study of each six CT patients, in this order."""


@dataclass(frozen=True)
class Volumes:
    """What was written.

    Attributes:
        folder: Its root.
        ct_patients: With at least one CT.
        ct_series: CT volumes that can be read, localizers not counted.
        mr_patients: With at least one MR.
        mr_volumes: MR files that can be read.
        damaged: What no reader should accept, relative to the root: NIfTI files and, for DICOM, folders of a series.
    """

    folder: Path
    ct_patients: int
    ct_series: int
    mr_patients: int
    mr_volumes: int
    damaged: tuple[str, ...]

    def __str__(self) -> str:
        """What a person is told."""
        kinds = (
            (self.ct_patients, f"{self.ct_series} CT series of {self.ct_patients} patients (ct/, DICOM)", "ct"),
            (self.mr_patients, f"{self.mr_volumes} MR volumes of {self.mr_patients} patients (mr/, NIfTI)", "mr"),
        )
        written = [(words, name) for patients, words, name in kinds if patients]
        if not written:
            return f"{self.folder}: no volumes"
        names = [name for _, name in written]
        masks = ", ".join(f"masks/{name}/" for name in names)
        damaged = ", ".join(f"{name}/damaged/" for name in names)
        told = ", ".join(words for words, _ in written)
        return f"{self.folder}: {told}, label maps ({masks}), {len(self.damaged)} damaged volumes ({damaged})"


def write_volumes(
    folder: Path, *, ct_patients: int = 12, mr_patients: int = 12, seed: int = 0, watch: Watch = iter
) -> Volumes:
    """Write `ct/` and `mr/`, each with `labels.csv`, `damaged/` and a card, and the label maps of both below `masks/`.

    The label maps lie apart, so that a scan of `ct/` or `mr/` meets none of them. The same seed gives the same bytes; a
    patient is the same whatever the number of patients. Without patients with CTs there is no `ct/`, likewise `mr/`.
    The numbers of patients are iterated over by `watch`, which may tell how many are done.
    """
    ct_series = mr_volumes = 0
    damaged: list[Path] = []
    if ct_patients:
        ct_series = write_ct(folder / "ct", folder / "masks" / "ct", ct_patients, seed, watch=watch)
        damaged += write_damaged_ct(folder / "ct" / "damaged", seed)
        write_ct_card(folder / "ct.yaml")
    if mr_patients:
        mr_volumes = write_mr(folder / "mr", folder / "masks" / "mr", mr_patients, seed, watch=watch)
        damaged += write_damaged_mr(folder / "mr" / "damaged", seed)
        write_mr_card(folder / "mr.yaml")
    return Volumes(
        folder=folder,
        ct_patients=ct_patients,
        ct_series=ct_series,
        mr_patients=mr_patients,
        mr_volumes=mr_volumes,
        damaged=tuple(path.relative_to(folder).as_posix() for path in damaged),
    )


def write_ct(
    folder: Path,
    masks: Path,
    patients: int = 12,
    seed: int = 0,
    *,
    shape: tuple[int, int, int] = (64, 64, 32),
    watch: Watch = iter,
) -> int:
    """Write one to three studies a patient as DICOM: a localizer and the chest with one or both kernels.

    The table's columns: `record` (folder of the series, relative to the table), `patient`, `study`, `lesion` (one of
    `ct.LESIONS`), `age` (at the study), `sex`, `kernel`, `oddity` (one of `ODDITIES`), `mask` (relative to `masks`;
    labels are those of `ct.STRUCTURES`, on the grid of the whole series, lost slices included). The shape is that of
    the voxels to the right, to the front, upwards. Returns the number of volumes.
    """
    spacing = 352 / shape[0], 352 / shape[1], 224 / shape[2]
    rows: list[Sequence[str | int]] = []
    for number in watch(range(patients)):
        patient = draw_chest_patient(number, seed)
        anatomy, code, rng = patient.anatomy, patient.code, patient.rng
        for visit, study in enumerate(patient.studies, start=1):
            scanner = ct.draw_scanner(rng)
            oddity = ODDITIES[number % len(ODDITIES)] if visit == 1 else ""
            tilt = float(rng.uniform(8, 18) * rng.choice([-1, 1]))
            lost = int(rng.integers(shape[2] // 4, max(3 * shape[2] // 4, 1)))
            kernels = tuple(ct.KERNELS) if rng.random() < 0.3 else (scanner.kernel,)
            name = f"{code}/E{visit}"
            for position, kernel in enumerate(kernels, start=2):
                scan = ct.scan_ct(
                    anatomy,
                    ct.with_kernel(scanner, kernel),
                    np.random.default_rng([seed, 8, number, visit]),
                    shape=shape,
                    spacing=spacing,
                    tilt=tilt if oddity == "gantry tilt" else 0.0,
                )
                series = DicomSeries(
                    modality="CT",
                    number=position,
                    description=f"Thorax {kernel}",
                    model=scanner.model,
                    kernel=kernel,
                    signed=scanner.model == "Gamma 16",
                    compressed=oddity == "rle",
                    missing=(lost,) if oddity == "missing slice" else (),
                )
                write_series(folder / name / kernel, scan, study, series)
                facts = (code, f"{code}_E{visit}", patient.finding, study.age, anatomy.sex, kernel, oddity)
                rows.append((f"{name}/{kernel}", *facts, f"{name}.nii.gz"))
            write_nifti(masks / f"{name}.nii.gz", scan.labels, scan.affine)
            scout = DicomSeries("CT", 1, "Scout", scanner.model, signed=scanner.model == "Gamma 16")
            write_localizer(folder / name / "localizer", scan, study, scout)
    columns = ("record", "patient", "study", "lesion", "age", "sex", "kernel", "oddity", "mask")
    write_csv(folder / "labels.csv", columns, rows)
    return len(rows)


def write_mr(
    folder: Path,
    masks: Path,
    patients: int = 12,
    seed: int = 0,
    *,
    shape: tuple[int, int, int] = (64, 64, 32),
    watch: Watch = iter,
) -> int:
    """Write one to three visits a patient as NIfTI (int16, without a unit), each with a label map on the same axes.

    The table's columns: `record` (path without suffix, relative to the table), `patient`, `study`, `lesion` (one of
    `mr.LESIONS`), `age`, `sex`, `hippocampi` (true volume of both, mL), `mask` (relative to `masks`; labels are those
    of `mr.STRUCTURES`). The shape is that of the voxels to the right, to the front, upwards. Returns the number of
    volumes.
    """
    spacing = 224 / shape[0], 224 / shape[1], 176 / shape[2]
    rows: list[Sequence[str | int]] = []
    for number in watch(range(patients)):
        lesion = draw_finding(mr.LESIONS, number, [seed, 9])
        rng = np.random.default_rng([seed, 10, number])
        anatomy = mr.draw_head(lesion, rng)
        radii = [part.radii for part in anatomy.ellipsoids if part.structure.endswith("hippocampus")]
        hippocampi = 4 / 3 * np.pi * np.prod(radii, axis=1).sum() / 1000
        code = f"P{number + 1:04d}"
        for visit in range(1, 1 + int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))):
            scanner = mr.draw_scanner(rng)
            scan = mr.scan_mr(anatomy, scanner, rng, shape=shape, spacing=spacing)
            name = f"{code}/{code}_v{visit}"
            write_nifti(folder / f"{name}.nii.gz", scan.image, scan.affine, orientation=scanner.orientation)
            write_nifti(masks / f"{name}.nii.gz", scan.labels, scan.affine, orientation=scanner.orientation)
            facts = (code, f"{code}_v{visit}", lesion, anatomy.age, anatomy.sex, f"{hippocampi:.2f}")
            rows.append((name, *facts, f"{name}.nii.gz"))
    columns = ("record", "patient", "study", "lesion", "age", "sex", "hippocampi", "mask")
    write_csv(folder / "labels.csv", columns, rows)
    return len(rows)
