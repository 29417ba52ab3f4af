"""Volumes behind a header of text, each format of which has a module of its own."""

from pathlib import Path

from medcl.modality.volume.formats import metaimage, nrrd
from medcl.modality.volume.formats.voxels import volume
from medcl.modality.volume.record import Nan, Volume, VolumeHeader

_STORED = {"metaimage": metaimage.stored_volume, "nrrd": nrrd.stored_volume}


def read_header(path: Path, format: str) -> VolumeHeader:
    """Read the header of a volume.

    Args:
        path: of the file; of one in several files, of the one that holds the text.
        format: of the file.

    Returns:
        The header, in mm.

    Raises:
        UnreadableError: as the module of the format says.
    """
    return _STORED[format](path).header


def read_volume(path: Path, unit: str = "stored", nan: Nan = "refuse", *, format: str) -> Volume:
    """Read a volume.

    Args:
        path: as for `read_header`, like `format`.
        unit: of its numbers: `HU` for CT.
        nan: what becomes of voxels that are not a number.
        format: of the file.

    Returns:
        int16 where the numbers are whole and fit, else float32.

    Raises:
        UnreadableError: as `read_header`; the voxels end early, are damaged or not a number.
    """
    return volume(_STORED[format](path), unit, nan)
