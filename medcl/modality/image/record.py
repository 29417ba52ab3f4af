"""An image: radiograph, ultrasound or photograph, what is shown black and white; and what a scan keeps of it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.spatial import MODALITIES as MODALITIES
from medcl.wording import counted, line, unusual, usable_rows


@dataclass(frozen=True)
class ImageHeader:
    """What a file of an image says of itself.

    Args:
        format: `jpeg`, `png`, `tiff` or `dicom-image`.
        rows: of pixels, as the image is to be looked at.
        columns: of pixels.
        n_channels: 1 of a grey image, 3 of one in red, green and blue.
        dtype: of the numbers of the file: `uint8`, `uint16`, ...
        frames: images in the file.
        modality: as the file states it (`xray`, `mg`, `us`, ...), empty where it states none.
        ids: clear ids that the file states: `patient`, `study`, `series`.
        flags: what is unusual, in words.
        files: none beside the one.
    """

    format: str
    rows: int
    columns: int
    n_channels: int
    dtype: str
    frames: int = 1
    modality: str = ""
    ids: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Image:
    """A decoded image. The more, the brighter.

    Args:
        data: (channels, rows, columns) uint8, uint16, int16 or float32; 1 channel, or red, green, blue.
        window: the numbers that are shown black and white, as the header says, or those that its bits allow.
    """

    data: NDArray[Any]
    window: tuple[float, float]

    def __post_init__(self) -> None:
        shape, dtype = self.data.shape, self.data.dtype
        if len(shape) != 3 or shape[0] not in (1, 3) or not min(shape):
            raise UnreadableError(f"no image: its pixels are {shape}, not 1 or 3 channels, rows and columns")
        if dtype not in (np.uint8, np.uint16, np.int16, np.float32):
            raise UnreadableError(f"pixels of type {dtype}")


DAMAGED = ()
OWN_STUDY = True


def columns(header: ImageHeader) -> dict[str, Any]:
    """The columns of the manifest that a header fills.

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
        "part": 0,
    }


def summary(records: pa.Table) -> str | None:
    """See `WingScan.summary`."""
    usable = usable_rows(records)
    if not len(usable) or "shape" not in usable.column_names:
        return None
    shapes = [tuple(shape or (0, 0)) for shape in usable["shape"].to_pylist()]
    channels = usable["n_channels"].to_numpy()
    grey, colour = int((channels == 1).sum()), int((channels == 3).sum())
    kinds = Counter(" x ".join(map(str, shape)) for shape in shapes)
    several = f"; sides of {min(map(min, shapes))} to {max(map(max, shapes))}" if len(kinds) > 1 else ""
    flags = Counter(flag.split(":")[0] for own in usable["flags"].to_pylist() for flag in own or ())
    found = f"{len(usable)} ({grey} grey, {colour} colour) in {len(usable['path'].unique())} files, "
    lines = [
        line("images", found) + f"{len(usable['study'].unique())} studies",
        line("pixels", counted(dict(kinds.most_common()), shown=3) + several),
    ]
    return "\n".join([*lines, *unusual(dict(flags.most_common()), "images")])
