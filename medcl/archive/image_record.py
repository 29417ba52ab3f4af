"""A picture as a row of the manifest; which slices of a DICOM series are pictures and no part of a volume."""

import re
from typing import Any

from medcl.errors import UnreadableError
from medcl.modality.dicom.claims import MODALITIES
from medcl.modality.dicom.slice import Slice
from medcl.modality.dicom.stacks import Stack
from medcl.modality.image.formats.dicom import check_picture
from medcl.modality.image.record import ImageHeader

_OF_VOLUMES = ("CT", "MR", "PT", "")
_FLAGS = ("burned-in annotation", "duplicate SOP instances", "one SOP instance UID")
_FLAGS_OF_VOLUMES = ("localizer", "derived image")
"""Kept of CT, MR and PET; of radiographs, `derived` only says that they were made ready to be looked at."""

_NO_PLACES = "frames without places: each is a picture"


def image_row(header: ImageHeader) -> dict[str, Any]:
    """The columns that the header of a picture fills.

    Args:
        header: its clear ids are not used.

    Returns:
        Modality (`image` where the file states none), format, channels, shape (rows, columns), type of the numbers,
        flags.
    """
    return {
        "modality": header.modality or "image",
        "format": header.format,
        "n_channels": header.n_channels,
        "shape": [header.rows, header.columns],
        "dtype": header.dtype,
        "flags": list(header.flags),
    }


def are_pictures(stack: Stack) -> bool:
    """Whether slices that are no volume are pictures, each by itself.

    Of CT, MR and PET, and where no modality is stated, these are coloured pictures, one alone without a place, and the
    frames of one file that states no places: several grey files are a volume whose places were lost.

    Args:
        stack: that `dicom.read_header` refuses.
    """
    first = stack.slices[0]
    try:
        check_picture(first.modality, first.photometric, _bits(first), first.rows, first.columns)
    except UnreadableError:
        return False
    if first.modality not in _OF_VOLUMES:
        return True
    coloured = not first.photometric.startswith("MONOCHROME")
    one_file = len({one.file for one in stack.slices}) == 1
    return coloured or (one_file and first.position is None and "MOSAIC" not in first.image_type)


def slice_header(one: Slice, flags: tuple[str, ...]) -> ImageHeader:
    """What a slice says of itself as a picture.

    Args:
        one: of a stack of pictures.
        flags: of the stack.
    """
    of_volumes = one.modality in _OF_VOLUMES
    kept = _FLAGS + (_FLAGS_OF_VOLUMES if of_volumes else ())
    own = (_NO_PLACES,) if of_volumes and one.frames > 1 and one.position is None else ()
    return ImageHeader(
        format="dicom-image",
        rows=one.rows,
        columns=one.columns,
        n_channels=1 if one.photometric.startswith("MONOCHROME") else 3,
        dtype=one.dtype,
        frames=one.frames,
        modality=MODALITIES[one.modality],
        flags=own + tuple(flag for flag in flags if flag.startswith(kept)),
    )


def _bits(one: Slice) -> int:
    return int(re.sub("[a-z]", "", one.dtype))
