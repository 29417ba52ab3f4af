"""A scan or its label map as a NIfTI file, on axes in whatever order the scanner likes."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray

from medcl.phantom.anatomy import Affine


def write_nifti(path: Path, voxels: NDArray[Any], affine: Affine, *, orientation: str = "RAS") -> None:
    """Write one file; the same numbers give the same bytes, compressed or not.

    The affine stands in it twice, as sform and as qform, both of scanner coordinates; a sheared one, of a tilted
    gantry, as sform alone, for a qform cannot hold it.

    Args:
        path: To `.nii` or `.nii.gz`; its folder is made if need be.
        voxels: (x, y, z); uint8 as it is, everything else as int16.
        affine: (4, 4) from voxel index to mm, RAS+.
        orientation: Of the axes in the file, such as `LPS`; the voxels stay where they are in the person.
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
