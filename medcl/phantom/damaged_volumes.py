"""Volumes as real archives also hold them: each must be refused, and none may stop a run."""

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray
from pydicom import dcmread

from medcl.phantom import ct, mr
from medcl.phantom.anatomy import Affine
from medcl.phantom.dicom_files import DicomSeries, write_series
from medcl.phantom.person import draw_person, draw_studies


def write_nifti(path: Path, voxels: NDArray[Any], affine: Affine, *, orientation: str = "RAS") -> None:
    """Write one file; the same numbers give the same bytes, compressed or not.

    The affine stands in it twice, as sform and as qform, both of scanner coordinates; a sheared one, of a tilted
    gantry, as sform alone, for a qform cannot hold it. Voxels (x, y, z) are uint8 as they are, everything else int16;
    the affine (4, 4) is from voxel index to mm, RAS+. Axes in the file have an orientation, such as `LPS`: the voxels
    stay where they are in the person.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = voxels if voxels.dtype == np.uint8 else voxels.astype(np.int16)
    image = nib.Nifti1Image(stored, affine)
    image = image.as_reoriented(ornt_transform(io_orientation(affine), axcodes2ornt(orientation)))
    image.set_sform(image.affine, code="scanner")
    angles = image.affine[:3, :3].T @ image.affine[:3, :3]
    sheared = not np.allclose(angles, np.diag(np.diag(angles)))
    image.set_qform(None if sheared else image.affine, code="unknown" if sheared else "scanner")
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"Synthetic volume of no real person"
    nib.save(image, path)


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
