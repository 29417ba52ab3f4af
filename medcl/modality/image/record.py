"""An image: radiograph, ultrasound or photograph, with what is to be shown black and white, and no place in space."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError


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
