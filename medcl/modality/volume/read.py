"""Read a volume of a manifest from its original files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medcl.errors import UnreadableError
from medcl.modality.formats import read_volume
from medcl.modality.volume.record import Nan, Volume
from medcl.modality.volume.stack import stack_of

if TYPE_CHECKING:
    from medcl.modality.volume.formats.dicom_geometry import Stack


def read_original(
    root: Path,
    path: str,
    files: Sequence[str],
    part: int,
    format: str,
    modality: str,
    resample: bool = False,
    nan: Nan = "refuse",
) -> tuple[Volume, "Stack | None"]:
    """Read a volume on axes of RAS+, CT in HU.

    Args:
        root: of the archive.
        path: of the volume, relative to the root.
        files: of the volume, relative to the folder of `path`.
        part: which volume of its files it is.
        format: as the manifest has it.
        modality: `ct` is in HU.
        resample: put tilted or uneven slices onto a regular grid; only DICOM says where each lies.
        nan: what becomes of voxels that are not a number.

    Returns:
        The volume, and its slices where they were resampled.

    Raises:
        UnreadableError: with what is wrong.
        OSError: a file is gone.
    """
    if format != "dicom":
        if resample:
            raise UnreadableError("an irregular grid: only DICOM says where each of its slices lies")
        return read_volume(root / path, format, "HU" if modality == "ct" else "stored", nan), None
    stack = stack_of(root, path, files, part)
    if resample:
        from medcl.modality.volume.formats.dicom_resample import read_regular

        return read_regular(stack, root, nan), stack
    from medcl.modality.volume.formats import dicom

    return dicom.read_volume(stack, root, nan), None
