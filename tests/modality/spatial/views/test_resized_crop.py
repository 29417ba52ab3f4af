"""Crops: what they show, where they may lie, and how a point is found again."""

import numpy as np
import torch

from medcl.modality.spatial.views.affine import ResizedCrop
from medcl.modality.spatial.views.space import centres, sample
from tests.modality.spatial.views.images import batch, both, read, same, seeded


def in_crop(points: torch.Tensor, params: dict[str, torch.Tensor]) -> torch.Tensor:
    """Points (B, N, D) of the image as shares of the crop: the way back of `ResizedCrop.source`."""
    return (points - params["start"].unsqueeze(1)) / params["size"].unsqueeze(1)


@both
def test_a_crop_is_the_part_of_the_image_that_its_coordinates_say(shape: tuple[int, ...]) -> None:
    x, view = batch(shape), ResizedCrop((0.4, 0.7), ratio=(0.8, 1.25), depth=(0.5, 0.9))
    params = view.draw(x, seeded())
    for index, (image, y) in enumerate(zip(x, view.apply(x, params), strict=True)):
        axes = [
            (float(start) + (np.arange(n) + 0.5) / n * float(size)) * n - 0.5
            for n, start, size in zip(shape[2:], params["start"][index], params["size"][index], strict=True)
        ]
        same(y, read(image, np.stack(np.meshgrid(*axes, indexing="ij"))))


def test_crops_stay_in_the_image_and_out_of_the_margin() -> None:
    x = torch.zeros(500, 1, 8, 8)
    params = ResizedCrop((0.2, 1), ratio=(0.5, 2)).draw(x, seeded())
    end = params["start"] + params["size"]
    assert params["start"].min() >= 0
    assert end.max() <= 1 + 1e-6
    stretch = params["size"][:, 0] / params["size"][:, 1]
    assert 0.45 < stretch.min() < 0.6
    assert 1.7 < stretch.max() < 2.2
    params = ResizedCrop((0.5, 0.5), margin=(0.1, 0.2)).draw(x, seeded())
    assert 0.1 <= params["start"].min() < 0.11
    assert 0.79 < (params["start"] + params["size"]).max() <= 0.8 + 1e-6


@both
def test_a_point_is_found_in_two_crops_of_an_image(shape: tuple[int, ...]) -> None:
    x, view = batch(shape), ResizedCrop((0.6, 0.8), depth=(0.6, 0.8))
    one, other = view.draw(x, seeded(0)), view.draw(x, seeded(1))
    points = torch.rand(shape[0], 50, x.ndim - 2, generator=seeded(2))
    same(in_crop(view.source(points, one, shape[2:]), one), points, 1e-5)
    there = in_crop(view.source(points, one, shape[2:]), other)
    # The image holds its own positions, so that a crop read at a point tells where in the image it is.
    place = centres(x).movedim(-1, 1)
    seen = [
        sample(view.apply(place, params), where.unflatten(1, (50, *(1,) * (x.ndim - 3)))).flatten(2)
        for params, where in ((one, points), (other, there))
    ]
    inner = ((points - 0.5).abs() < 0.45).all(dim=-1) & ((there - 0.5).abs() < 0.45).all(dim=-1)
    assert inner.sum() > 20
    same(seen[0].mT[inner], seen[1].mT[inner], 2e-3)
