"""Volumes in memory as NIfTI files, with the numbers, the scaling and the geometry that they have."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from medcl.errors import UsageError
from medcl.modality.objects import Given

TAKES = "arrays (x, y, z) or (channels, x, y, z) in RAS+ with spacing=, nibabel images"


def write(x: Any, place: Path, given: Given) -> bool:
    """Write a volume.

    Args:
        x: nibabel image; or (x, y, z) or (channels, x, y, z), in HU for CT, x to the right, y to the front, z upwards.
        place: folder.
        given: spacing of an array.

    Returns:
        Whether it is one.

    Raises:
        UsageError: the spacing of an array is not given, or does not fit.
    """
    if hasattr(x, "dataobj") and hasattr(x, "affine"):
        _write_image(x, place / "volume.nii")
        return True
    if not isinstance(x, np.ndarray) or x.ndim not in (3, 4) or x.dtype.kind not in "fiub":
        return False
    if given.spacing is None or len(given.spacing) != 3 or not min(given.spacing) > 0:
        raise UsageError(f"an array of shape {x.shape}: a volume needs spacing=, three numbers of mm above 0")
    voxels = x if x.ndim == 3 else np.moveaxis(x, 0, -1)
    _write(voxels, np.diag([*given.spacing, 1.0]), nib.Nifti2Header(), place / "volume.nii")
    return True


def _write_image(image: Any, path: Path) -> None:
    """Write the numbers as they are stored, where they are: their type decides how they are scaled."""
    proxy = image.dataobj
    stored = hasattr(proxy, "get_unscaled") and np.isscalar(proxy.slope) and np.isscalar(proxy.inter)
    voxels = proxy.get_unscaled() if stored else np.asanyarray(proxy)
    scale = (float(proxy.slope), float(proxy.inter)) if stored else (1.0, 0.0)
    is_nifti = isinstance(image.header, nib.Nifti1Header)
    # Of another format only the geometry: NIfTI states it as sform.
    header = nib.Nifti2Header.from_header(image.header, check=False) if is_nifti else nib.Nifti2Header()
    _write(voxels, None if is_nifti else image.affine, header, path, scale)


def _write(voxels: Any, affine: Any, header: Any, path: Path, scale: tuple[float, float] = (1.0, 0.0)) -> None:
    voxels = voxels.astype(np.uint8) if voxels.dtype == bool else voxels
    voxels = voxels.astype(np.float32) if voxels.dtype == np.float16 else voxels
    header.set_data_dtype(voxels.dtype.newbyteorder("="))
    header.set_data_shape(voxels.shape)
    # nibabel takes the length of the other version's header over.
    header["sizeof_hdr"], header["magic"], header["vox_offset"] = 540, b"n+2", header.single_vox_offset
    header.set_slope_inter(*scale)
    if affine is not None:
        header.set_sform(affine, "aligned")
        header.set_xyzt_units("mm")
    with path.open("wb") as file:
        file.write(header.binaryblock + bytes(int(header["vox_offset"]) - len(header.binaryblock)))
        file.write(voxels.astype(header.get_data_dtype()).tobytes(order="F"))
