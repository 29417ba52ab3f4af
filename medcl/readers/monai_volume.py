"""NRRD and MetaImage (.mha, or .mhd with its data beside it) through monai's reader of them, which needs ITK."""

import re
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from medcl.errors import UnreadableError
from medcl.readers.scaling import scaled
from medcl.readers.volume import Grid, Volume, VolumeHeader

_NRRD = b"NRRD000"
_HEAD = 1 << 16  # bytes within which the text of a header ends
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_COLOURS = ("rgb", "rgba")
_KINDS = {"unsigned_char": "uint8", "short": "int16", "unsigned_short": "uint16"}
_KINDS |= {"int": "int32", "unsigned_int": "uint32", "long": "int64", "unsigned_long": "uint64"}
_KINDS |= {"long_long": "int64", "unsigned_long_long": "uint64", "float": "float32", "double": "float64"}


def read_header(path: Path) -> VolumeHeader:
    """Read the header of an NRRD or MetaImage file.

    Args:
        path: of the file; of a MetaImage in two files, of the one that holds the text.

    Returns:
        The header, in mm; modality `mr` and unit `stored`, for neither format states them.

    Raises:
        UnreadableError: ITK is not installed, the file is damaged, has other than 3 axes, no spacing, voxels that are
            colours, vectors or complex, or data in a file that is not beside it.
    """
    return _parsed(path)[0]


def read_volume(path: Path, unit: str = "stored") -> Volume:
    """Read a volume.

    Args:
        path: as for `read_header`.
        unit: of its numbers: `HU` for CT.

    Returns:
        int16 where the numbers are whole and fit, else float32; a MetaImage's ElementToIntensityFunction is applied,
        which ITK leaves out.

    Raises:
        UnreadableError: as `read_header`; the data end early, are damaged or not a number.
    """
    header, itk_file, fields = _parsed(path)
    from monai.data import ITKReader

    try:
        reader = ITKReader(imageio=itk_file)
        data: Any = reader.get_data(reader.read(str(path)))[0]
    except Exception as error:
        raise UnreadableError("damaged or truncated file: its voxels cannot be read") from error
    if data.shape != header.grid.shape:
        raise UnreadableError(f"damaged file: voxels {data.shape}, its header promises {header.grid.shape}")
    slope, inter = (
        _number(fields, f"elementtointensityfunction{name}", default) for name, default in (("slope", 1), ("offset", 0))
    )
    order: Any = "F" if data.flags.f_contiguous else "C"
    values = scaled(data.reshape(-1, order=order), slope, inter).reshape(data.shape, order=order)
    return Volume.of(values[None], header.grid, unit)


def _parsed(path: Path) -> tuple[VolumeHeader, Any, dict[str, str]]:
    """The header, ITK's reader of the file, and the fields of its text by their names in lower case."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}") from error
    is_nrrd = head.startswith(_NRRD)
    fields = _fields(head, is_nrrd)
    files = (path.name, *_beside(path, fields, is_nrrd))
    itk_file = _itk(is_nrrd)
    try:
        itk_file.SetFileName(str(path))
        itk_file.ReadImageInformation()
        n_axes = int(itk_file.GetNumberOfDimensions())
        shape = tuple(int(itk_file.GetDimensions(axis)) for axis in range(n_axes))
        spacing = np.array([itk_file.GetSpacing(axis) for axis in range(n_axes)])
        directions = np.array([itk_file.GetDirection(axis) for axis in range(n_axes)])
        origin = np.array([itk_file.GetOrigin(axis) for axis in range(n_axes)])
        pixel = itk_file.GetPixelTypeAsString(itk_file.GetPixelType())
        component = itk_file.GetComponentTypeAsString(itk_file.GetComponentType())
        n_channels = int(itk_file.GetNumberOfComponents())
    except Exception as error:
        raise UnreadableError("damaged header, or not a file of its format: ITK cannot read it") from error
    if n_axes != 3:
        raise UnreadableError(f"{n_axes} axes, shape {shape}: a volume has 3")
    if pixel in _COLOURS or "complex" in pixel or component not in _KINDS:
        raise UnreadableError(
            f"voxels of type {pixel} {component}: only integers (no signed bytes) and floats are read"
        )
    if n_channels > 1:
        raise UnreadableError(f"{n_channels} values a voxel: write each channel as a file, or all as NIfTI")
    affine = np.eye(4)
    affine[:3, :3] = _LPS_TO_RAS @ (directions * spacing[:, None]).T
    affine[:3, 3] = _LPS_TO_RAS @ origin
    flags = ("no space: axes taken as LPS",) if is_nrrd and "space" not in fields else ()
    header = VolumeHeader(
        modality="mr",
        format="nrrd" if is_nrrd else "metaimage",
        grid=Grid((shape[0], shape[1], shape[2]), affine),
        n_channels=1,
        dtype=_KINDS[component],
        unit="stored",
        files=files,
        flags=flags,
    )
    return header, itk_file, fields


def _itk(is_nrrd: bool) -> Any:
    name = "NRRD" if is_nrrd else "MetaImage"
    try:
        import itk

        made = itk.NrrdImageIO.New() if is_nrrd else itk.MetaImageIO.New()
    except (ImportError, AttributeError) as error:
        raise UnreadableError(f"{name} needs ITK, which is not installed: pip install 'medcl[formats]'") from error
    return made


def _fields(head: bytes, is_nrrd: bool) -> dict[str, str]:
    mark = ":" if is_nrrd else "="
    text = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0] if is_nrrd else head
    fields = {}
    for line in text.decode("latin-1").splitlines():
        name, found, value = line.partition(mark)
        if not found or (line.startswith("#") and is_nrrd):
            continue
        fields[name.strip().lower()] = value.strip()
        if name.strip() == "ElementDataFile":  # the last line; what follows are voxels
            break
    return fields


def _beside(path: Path, fields: dict[str, str], is_nrrd: bool) -> tuple[str, ...]:
    """The file of the voxels, where the header is one of its own."""
    name = fields.get("data file", fields.get("datafile", "")) if is_nrrd else fields.get("elementdatafile", "")
    if not name or (not is_nrrd and name.upper() == "LOCAL"):
        return ()
    if PurePath(name).name != name or "%" in name or name.upper().startswith("LIST"):
        raise UnreadableError("its voxels are in several files or in another folder: write it as one file")
    if not (path.parent / name).is_file():
        raise UnreadableError("the file of its voxels is not beside it")
    return (name,)


def _number(fields: dict[str, str], name: str, default: float) -> float:
    try:
        number = float(fields.get(name, default))
    except ValueError as error:
        raise UnreadableError(f"damaged header: {name} is not a number") from error
    if not np.isfinite(number) or (number == 0 and default == 1):
        raise UnreadableError(f"damaged header: {name} of {number:g}")
    return number
