"""Hashes of images, volumes and signals, beside those of ImageHash."""

from importlib.metadata import version

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageFilter

from medcl.modality.image_hashes import Method, hashes

REFERENCE = {"difference": imagehash.dhash, "average": imagehash.average_hash, "perceptual": imagehash.phash}
ROWS_FIRST = int(version("pillow").split(".")[0]) >= 13
SIZES = [(64, 64), (512, 512), (181, 217), (1, 1), (1, 9), (8, 9), (9, 8), (5, 3), (7, 640), (299, 150), (33, 32)]
TALL = [(423, 6), (10, 8), (640, 7), (602, 267)]


def images(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Noise, a smooth image, one of two values, a constant, a ramp: (5, rows, columns) uint8."""
    noise = rng.integers(0, 256, (rows, columns), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(3)))
    ramp = np.broadcast_to(np.linspace(0, 255, columns), (rows, columns)).astype(np.uint8)
    return np.stack([noise, smooth, np.where(smooth > 127, 255, 0).astype(np.uint8), np.full_like(noise, 90), ramp])


@pytest.mark.parametrize("size", [*SIZES, *(TALL if ROWS_FIRST else [])])
@pytest.mark.parametrize("method", REFERENCE)
def test_hashes_of_pictures_are_those_of_imagehash(method: Method, size: tuple[int, int]) -> None:
    several = images(np.random.default_rng(0), *size)
    expected = [np.packbits(REFERENCE[method](Image.fromarray(one)).hash.ravel()) for one in several]
    np.testing.assert_array_equal(hashes(several.astype(np.float32), method), expected)


@pytest.mark.parametrize("method", REFERENCE)
@pytest.mark.parametrize("shape", [(20, 24, 18), (500,), (3, 2, 1)])
def test_volumes_and_signals_have_hashes_that_stand_a_little_noise(method: Method, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    small = rng.uniform(20, 230, tuple(-(-side // 4) for side in shape))
    smooth = small
    for axis, side in enumerate(shape):
        smooth = smooth.repeat(4, axis=axis).take(np.arange(side), axis=axis)
    noisy, other = smooth + rng.normal(0, 0.5, shape), rng.uniform(0, 255, shape)
    several = np.rint(np.stack([smooth, smooth, noisy, other])).astype(np.float32)
    found = hashes(several, method)
    assert found.shape == (4, 8)
    assert (found[0] == found[1]).all()
    near, far = (int(np.bitwise_count(found[0] ^ found[row]).sum()) for row in (2, 3))
    assert near <= far
    if min(shape) > 8:
        assert near <= 12 < far


def test_the_number_of_pictures_at_a_time_changes_nothing() -> None:
    several = np.random.default_rng(3).integers(0, 256, (9, 40, 50)).astype(np.float32)
    one_by_one = np.concatenate([hashes(one[None], "difference") for one in several])
    np.testing.assert_array_equal(hashes(several, "difference"), one_by_one)
