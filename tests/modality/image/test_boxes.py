"""Boxes of a file in the array that an encoder takes: margins, shape and scale are followed."""

import numpy as np
import pytest

from medcl.modality.image.boxes import region_of
from medcl.modality.image.config import ImageConfig


@pytest.mark.parametrize(
    ("config", "rows", "columns"),
    [
        (ImageConfig(size=(20, 20), fit="pad"), slice(10, 15), slice(5, 10)),
        (ImageConfig(size=(20, 20), fit="stretch"), slice(10, 20), slice(5, 10)),
        (ImageConfig(size=(20, 20), fit="crop"), slice(10, 20), slice(0, 10)),
        (ImageConfig(size=(40, 40), fit="pad", percentiles=(1.0, 99.0), colour=True), slice(20, 30), slice(10, 20)),
    ],
)
def test_a_box_of_an_image_twice_as_wide_as_high(config: ImageConfig, rows: slice, columns: slice) -> None:
    expected = np.zeros(config.size, dtype=bool)
    expected[rows, columns] = True
    found = region_of([(10, 10, 10, 10)], (20, 40), config)
    assert (found == expected).mean() > 0.97
    assert found[expected].mean() > 0.9


def test_margins_are_cut_and_boxes_united() -> None:
    config = ImageConfig(size=(30, 30), border=0.25)
    found = region_of([(0, 0, 10, 60), (30, 30, 2, 2), (50, 50, 99, 99)], (60, 60), config)
    assert found.sum() == 4
    assert found[15:17, 15:17].all()
