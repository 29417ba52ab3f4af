"""Views that take content away: each against a loop over samples and boxes."""

import itertools

import pytest
import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.spatial.views.erasing import Cutout, Inpainting, LocalShuffle, in_boxes

both = pytest.mark.parametrize("shape", [(8, 2, 20, 25), (8, 2, 9, 10, 12)], ids=["image", "volume"])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(shape: tuple[int, ...]) -> Tensor:
    return torch.rand(shape, generator=seeded(1)) + 2


def boxes_by_loop(x: Tensor, params: dict[str, Tensor]) -> Tensor:
    """Mark the voxels in boxes, one after the other: (B, 1, *space)."""
    inside = torch.zeros(x.shape[0], 1, *x.shape[2:], dtype=torch.bool)
    for sample, starts, sizes in zip(inside, params["start"].tolist(), params["size"].tolist(), strict=True):
        for start, size in zip(starts, sizes, strict=True):
            for voxel in itertools.product(*map(range, x.shape[2:])):
                place = [(index + 0.5) / length for index, length in zip(voxel, x.shape[2:], strict=True)]
                if all(low <= p < low + side for p, low, side in zip(place, start, size, strict=True)):
                    sample[(0, *voxel)] = True
    return inside


@both
def test_cutout_fills_boxes_with_the_value(shape: tuple[int, ...]) -> None:
    x, view = batch(shape), Cutout(3, (0.1, 0.4), value=-7)
    params = view.draw(x, seeded())
    expected = boxes_by_loop(x, params)
    assert expected.flatten(1).any(dim=1).all()
    assert torch.equal(in_boxes(x, params), expected)
    assert torch.equal(view.apply(x, params), torch.where(expected, -7.0, x))
    assert params["start"].min() >= 0
    assert (params["start"] + params["size"]).max() <= 1
    assert 0.1 <= params["size"].min() < 0.2
    assert 0.3 < params["size"].max() <= 0.4


@both
def test_inpainting_fills_boxes_with_noise_in_the_window(shape: tuple[int, ...]) -> None:
    x, view = batch(shape), Inpainting(2, (0.2, 0.5), window=(-1, 0.5))
    params = view.draw(x, seeded())
    y, inside = view.apply(x, params), boxes_by_loop(x, params).expand_as(x)
    assert torch.equal(y[~inside], x[~inside])
    assert -1 <= y[inside].min() < -0.9
    assert 0.4 < y[inside].max() <= 0.5
    assert len(y[inside].unique()) > 0.9 * inside.sum(), "noise, not a constant"


def test_each_box_comes_with_its_probability() -> None:
    x = torch.ones(500, 1, 4, 4)
    size = Cutout(2, (0.5, 0.5), probability=0.3).draw(x, seeded())["size"]
    assert (size[..., 0] > 0).float().mean() == pytest.approx(0.3, abs=0.05)
    assert torch.equal(x, Cutout(2, probability=0).apply(x, Cutout(2, probability=0).draw(x, seeded())))


@both
def test_shuffling_moves_voxels_within_their_block_and_channels_together(shape: tuple[int, ...]) -> None:
    x, view = batch(shape), LocalShuffle(0.3, share=1)
    order = view.draw(x, seeded())["order"]
    block = view.tiles(x, seeded())
    assert torch.equal(block.gather(1, order), block), "each voxel comes from its own block"
    y = view.apply(x, {"order": order})
    for image, places, shuffled in zip(x, order, y, strict=True):
        assert torch.equal(places.sort().values, torch.arange(len(places))), "and none is lost"
        for voxel, place in enumerate(places.tolist()):
            assert torch.equal(shuffled.flatten(1)[:, voxel], image.flatten(1)[:, place])
    for sample in block:
        grid = sample.reshape(x.shape[2:])
        for number in grid.unique():
            where = (grid == number).nonzero()
            sides = where.max(dim=0).values - where.min(dim=0).values + 1
            assert sides.prod() == len(where), "a block is a box"
            assert all(side <= 0.3 * length for side, length in zip(sides, x.shape[2:], strict=True))


def test_a_share_of_the_blocks_is_shuffled() -> None:
    x = torch.zeros(64, 1, 40, 40)
    orders = [LocalShuffle(0.2, share).draw(x, seeded())["order"] for share in (0.0, 0.3, 1.0)]
    moved = [(order != torch.arange(1600)).float().mean().item() for order in orders]
    assert moved[0] == 0
    assert moved[2] > 0.7
    assert moved[1] / moved[2] == pytest.approx(0.3, abs=0.06)
    assert LocalShuffle(0.2, 1, probability=0).draw(x, seeded())["order"].diff(dim=1).eq(1).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cutout(0), "cutout needs at least one box, got 0"),
        (lambda: Cutout(1, (0.5, 1.2)), "cutout side lies between 0 and 1, got 1.2"),
        (lambda: Inpainting(window=(1, 0)), "inpainting window is a range from low to high"),
        (lambda: LocalShuffle(share=2), "local_shuffle share"),
        (lambda: Cutout().draw(torch.rand(2, 3, 4), seeded()), r"shape \(2, 3, 4\)"),
    ],
)
def test_what_cannot_be_done_is_refused(make: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()  # type: ignore[operator]
