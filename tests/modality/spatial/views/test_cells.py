"""Where the cells of a view lie in the image that it was made from."""

import math

import torch

from medcl.modality.spatial import views as image
from medcl.modality.spatial.config import ImageEncoderConfig, ImageViewsConfig
from medcl.modality.spatial.encoders import build
from medcl.modality.spatial.views.cells import cell_places


def test_cells_of_a_crop_lie_where_the_crop_was_cut() -> None:
    encoder = build(ImageEncoderConfig(widths=(2, 2, 2), stride=4, dim=2), 1)
    views = image.build(ImageViewsConfig(crop_side=(0.5, 0.5), brightness=0.1))
    params = views.draw(torch.zeros(2, 1, 16, 8), torch.Generator().manual_seed(0))
    places, diagonals = cell_places(views, params, encoder, (16, 8), 2, torch.device("cpu"))
    start = params["geometry.resized_crop.start"] * torch.tensor([16.0, 8.0])
    assert places.shape == (2, 4 * 2, 2)
    for n in range(2):
        for cell in range(8):
            row, column = divmod(cell, 2)
            expected = start[n] + torch.tensor([4 * row + 2.0, 4 * column + 2.0]) / 2
            torch.testing.assert_close(places[n, cell], expected)
        assert math.isclose(float(diagonals[n]), math.hypot(2, 2), rel_tol=1e-5)


def test_without_a_crop_cells_stay_where_they_are_and_a_flip_mirrors_them() -> None:
    encoder = build(ImageEncoderConfig(widths=(2, 2), stride=2, dim=2, dims=3), 1)
    x, generator = torch.zeros(1, 1, 4, 4, 4), torch.Generator().manual_seed(0)
    plain = image.build(ImageViewsConfig())
    places, _ = cell_places(plain, plain.draw(x, generator), encoder, (4, 4, 4), 1, x.device)
    assert places[0, 0].tolist() == [1.0, 1.0, 1.0]
    assert places[0, -1].tolist() == [3.0, 3.0, 3.0]
    mirror = image.build(ImageViewsConfig(flip=1.0, flip_axes=(2,)))
    mirrored, _ = cell_places(mirror, mirror.draw(x, generator), encoder, (4, 4, 4), 1, x.device)
    torch.testing.assert_close(mirrored, torch.stack([places[..., 0], places[..., 1], 4 - places[..., 2]], dim=-1))
