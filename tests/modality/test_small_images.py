"""Small grey images: scaled as in the paper, and resized as Pillow does."""

import numpy as np
import pytest
from PIL import Image

from medcl.modality.small_images import resize, stacks


def test_slices_become_grey_as_in_the_paper() -> None:
    """Least value 0, greatest 255, no window; and an image of 8 bits that has both stays as it is."""
    piece = np.random.default_rng(1).normal(200, 400, (1, 30, 40)).astype(np.float32)
    low, high = piece.min(), piece.max()
    for dtype in (np.int16, np.float64, np.float32):
        (_, found), *_ = stacks([piece.astype(dtype)])
        assert np.abs(found[0] - (piece[0] - low) / (high - low) * 255).max() < 1
    eight = np.random.default_rng(0).integers(0, 256, (1, 30, 40), dtype=np.uint8)
    (_, found), *_ = stacks([eight])
    np.testing.assert_array_equal(found, eight)


@pytest.mark.parametrize("size", [(3000, 2500), (17, 31), (40, 4), (2, 2), (7000, 4000)])
def test_resizing_is_pillows_to_the_bit(size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8)
    expected = np.asarray(Image.fromarray(image).resize((9, 8), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(resize(image[None].astype(np.float32), (8, 9))[0], expected)
