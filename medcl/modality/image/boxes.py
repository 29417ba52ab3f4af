"""Boxes of an image's file in the array that an encoder takes."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medcl.modality.image.config import ImageConfig
from medcl.modality.image.prepare import prepared
from medcl.modality.image.record import Image

Box = tuple[float, float, float, float]
"""x and y of the upper left corner, to the right and downwards, width and height, in pixels of the file."""


def region_of(boxes: Iterable[Box], shape: tuple[int, int], config: ImageConfig) -> NDArray[np.bool_]:
    """Where boxes lie in a prepared image: prepared as the image itself, so that margins and shape are followed.

    Args:
        boxes: of a file of a shape.
        shape: rows and columns of the file.
        config: how the image is prepared.

    Returns:
        (rows, columns) of `config.size`; a pixel is in a box where half of it or more is.
    """
    drawn = np.zeros((1, *shape), dtype=np.uint8)
    for x, y, width, height in boxes:
        top, left = max(0, round(y)), max(0, round(x))
        drawn[0, top : max(top, round(y + height)), left : max(left, round(x + width))] = 255
    plain = replace(config, colour=False, window=(0.0, 255.0), percentiles=None)
    return np.asarray(prepared(Image(drawn, (0.0, 255.0)), plain)[0] > 127)
