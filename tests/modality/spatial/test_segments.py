"""Segments and the foreground of images whose parts are known."""

import pytest
import torch
from torch import Tensor

from medcl.modality.spatial.segments import foreground, intensities, segments


def squares(dims: int) -> Tensor:
    """One image (1, 1, ...) of 16 voxels a side, of which one corner of 8 is bright."""
    edge = (torch.arange(16) < 8).float()
    plane = edge[:, None] * edge
    return (plane if dims == 2 else plane[..., None] * edge)[None, None]


@pytest.mark.parametrize("dims", [2, 3])
def test_no_segment_lies_on_both_sides_of_an_edge(dims: int) -> None:
    grid = (8,) * dims
    values = intensities(squares(dims), grid)
    label = segments(values, grid, 2**dims, compactness=0.5)[0]
    bright = values[0] > 0.5
    assert bright.sum() == 4**dims
    assert len(label.unique()) > 1
    assert not set(label[bright].tolist()) & set(label[~bright].tolist())


def test_the_foreground_is_the_brighter_group_of_intensities_of_each_image() -> None:
    values = torch.cat([intensities(squares(2), (8, 8)), torch.full((1, 64), 3.0)])
    values[0] = 40 * values[0] + torch.rand(64, generator=torch.Generator().manual_seed(0))
    front = foreground(values)
    assert torch.equal(front[0], values[0] > 20)
    assert not front[1].any()


def test_an_image_of_one_slice_has_segments_in_its_plane() -> None:
    values = torch.rand(2, 36, generator=torch.Generator().manual_seed(0))
    label = segments(values, (6, 1, 6), 9, compactness=5.0)
    assert label.shape == (2, 36)
    assert 5 <= len(label[0].unique()) <= 9
