"""Coarse pixels of images."""

from pathlib import Path

import numpy as np
import pytest
import torch

from medcl.data.prepare import prepare
from medcl.modality import wing
from medcl.modality.image.baselines import SIDE, pixels
from medcl.modality.image.config import ImageConfig
from medcl.modality.image.samples import ImageSamples
from tests.data.image_archive import pixels_of, write_archive

CONFIG = ImageConfig(size=(40, 40))


@pytest.fixture
def images(tmp_path: Path) -> ImageSamples:
    manifest = write_archive(tmp_path / "a", {f"{i}": pixels_of(i) for i in range(4)})
    return ImageSamples(prepare(manifest, CONFIG, tmp_path / "s", jobs=1), manifest, CONFIG)


def cell(image: np.ndarray, number: int) -> float:
    """The mean over one of 16 x 16 cells, which overlap where 16 does not divide the image."""
    edges = [(n * 40 // SIDE, -(-(n + 1) * 40 // SIDE)) for n in divmod(number, SIDE)]
    (top, bottom), (left, right) = edges
    return float(image[top:bottom, left:right].mean())


def test_a_cell_is_the_mean_of_its_pixels(images: ImageSamples) -> None:
    own = wing("image").baselines(CONFIG)["pixels"]
    rows = np.unique(images.rows)[[2, 0]]
    found = own.transform(images, rows, own.fit(images, rows))
    assert found.shape == (2, SIDE * SIDE)
    assert own.title == "16 x 16 pixels"
    for number in (0, 17, 255):
        assert found[0, number] == pytest.approx(cell(pixels_of(2) / 255, number), abs=1e-5)
        assert found[1, number] == pytest.approx(cell(pixels_of(0) / 255, number), abs=1e-5)


def test_images_may_be_smaller_than_the_grid_or_coloured(images: ImageSamples) -> None:
    small = pixels(torch.rand(2, 3, 5, 7))
    assert small.shape == (2, 3 * SIDE * SIDE)
    assert np.isfinite(small).all()
