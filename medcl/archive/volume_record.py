"""A volume as a row of the manifest: what its header says, and the codes of its study and series."""

from typing import Any

from medcl.archive.identity import code
from medcl.modality.volume.record import VolumeHeader


def volume_row(header: VolumeHeader) -> dict[str, Any]:
    """The columns that a header fills.

    Args:
        header: of a volume; its clear ids are not used.

    Returns:
        Modality, format, channels, shape and spacing (mm) along the axes of RAS+, orientation as stored, type of the
        numbers, flags.
    """
    turned = header.grid.to_ras()
    return {
        "modality": header.modality,
        "format": header.format,
        "n_channels": header.n_channels,
        "shape": list(turned.shape),
        # To a millionth of a mm: what lies behind is rounding of the direction cosines.
        "spacing": [round(float(length), 6) for length in turned.spacing],
        "orientation": header.grid.orientation,
        "dtype": header.dtype,
        "flags": list(header.flags),
    }


def file_levels(path: str, ids: dict[str, str], salt: bytes) -> dict[str, int]:
    """The study and the series of a volume that is one file.

    Args:
        path: of the file, relative to the archive.
        ids: clear ids; a session is a study by another name.
        salt: of the codes.

    Returns:
        The codes; where the ids do not tell, the file is a study and a series of its own.
    """
    owner = ids.get("patient")
    visit = ids.get("study", ids.get("session"))
    study = f"\0{path}" if visit is None else f"{owner}\0{visit}"
    series = f"\0{path}" if "series" not in ids else f"{owner}\0{visit or ''}\0{ids['series']}"
    return {"study": code("study", study, salt), "series": code("series", series, salt)}
