"""What an image is: importable without torch, so that the command line stays quick."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ImageConfig:
    """How images (JPEG, PNG, DICOM radiographs) become arrays of one size.

    Args:
        size: of the array in pixels: rows, columns.
        fit: how an image of another shape is brought to that size: `pad` keeps its shape and puts black around it,
            `crop` keeps its shape and cuts off what is over on both sides, `stretch` changes its shape.
        border: share of each side that is cut off first, for text that is burned into margins; from 0 to below 0.5.
        colour: keep red, green and blue; else images are made grey.
        window: lowest and highest stored value (after DICOM's rescaling), which become 0 and 1; None takes the window
            that a DICOM header states, and else the range of the file's bit depth.
        percentiles: of each image's pixels, which become 0 and 1, in the place of a window.
        largest: of the store, in GB, at most; 0 is no limit but the disk.
    """

    size: tuple[int, int] = (224, 224)
    fit: Literal["pad", "crop", "stretch"] = "pad"
    border: float = 0.0
    colour: bool = False
    window: tuple[float, float] | None = None
    percentiles: tuple[float, float] | None = None
    largest: float = 0.0
