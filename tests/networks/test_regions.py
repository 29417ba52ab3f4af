"""Where the regions of a map lie, and what is made of them."""

import pytest
import torch

from medcl.errors import UsageError
from medcl.networks.regions import RegionHead, cut, layout


def test_the_regions_are_those_of_the_paper_at_any_size() -> None:
    corners = layout((48, 48), 3)
    assert len(corners) == 13
    assert {(0, 0), (0, 45), (45, 0), (45, 45), (23, 23)} <= set(map(tuple, corners.tolist()))
    small = layout((8, 12), 3)
    assert len(set(map(tuple, small.tolist()))) == 13
    assert int(small.min()) == 0
    assert (small.amax(dim=0) == torch.tensor([5, 9])).all()
    assert len(layout((8, 8, 6), 3)) == 27


@pytest.mark.parametrize("shape", [(6, 6), (2, 2), (8, 8, 3)])
def test_a_map_that_is_too_small_for_its_regions_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="larger"):
        layout(shape, 3)


def test_a_region_is_its_features_in_a_row() -> None:
    features = torch.randn(2, 4, 9, 10)
    starts = layout((9, 10), 3)
    found = cut(features, starts, 3)
    assert found.shape == (2, 13, 36)
    x, y = starts[5].tolist()
    torch.testing.assert_close(found[1, 5], features[1, :, x : x + 3, y : y + 3].flatten())
    head = RegionHead(4, (9, 10), 3, 7)
    torch.testing.assert_close(head(features)[1, 5], head.output.weight @ found[1, 5])
