"""Foreground segments: blobs in noise, and the segments of two views of them."""

from typing import Any

import pytest
import torch
from torch import Tensor

from medcl.contrast import info_nce, same
from medcl.errors import UsageError
from medcl.modality.spatial.config import ImageEncoderConfig, ImageViewsConfig
from medcl.modality.spatial.segments import foreground, intensities, segments
from medcl.pretrain.check import check
from medcl.pretrain.objectives.base import HeadConfig
from medcl.pretrain.objectives.segments import SegmentsConfig
from medcl.pretrain.reading import read

from .trained import trained

SIDE = 16


def blobs(count: int, generator: torch.Generator) -> Tensor:
    """Images (N, 1, 16, 16) of noise with a bright disc."""
    axis = torch.arange(SIDE, dtype=torch.float32)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"))
    centre = torch.randint(5, 11, (count, 2, 1, 1), generator=generator)
    inside = ((grid - centre).square().sum(dim=1) < 16).float()
    return (2 * inside + 0.5 * torch.randn(count, SIDE, SIDE, generator=generator))[:, None]


def test_with_views_that_move_nothing_it_is_info_nce_of_the_means_of_segments() -> None:
    def watch(objective: Any, step: Any) -> None:
        seen = step.see("image", objective.wanted["image"])
        cells = seen.project(objective.head, 2, "dense")
        values = intensities(seen.drawn.source, (8, 8))
        label, front = segments(values, (8, 8), 6), foreground(values)
        rows, anchors, ids = ([], []), [], []
        for image in range(seen.n):
            for segment in label[image].unique().tolist():
                own = label[image] == segment
                for view in (0, 1):
                    rows[view].append(cells[view * seen.n + image][own].mean(dim=0))
                anchors.append(bool(front[image][own].float().mean() > 0.5))
                ids.append(image * 100 + segment)
        first, second, number = torch.stack(rows[0]), torch.stack(rows[1]), torch.tensor(ids)
        some = torch.tensor(anchors)
        assert some.any()
        assert not some.all()
        there = info_nce(first[some], second, same(number[some], number))
        back = info_nce(second[some], first, same(number[some], number))
        torch.testing.assert_close(objective(step)[""], (there + back) / 2)

    trained(
        SegmentsConfig(of="image", count=6, head=HeadConfig(hidden=0, dim=4)),
        lambda count, generator: (blobs(count, generator), {}),
        encoder=ImageEncoderConfig(name="unet", widths=(4, 8), stride=2, dim=8),
        changes=ImageViewsConfig(contrast=(0.8, 1.2)),
        steps=1,
        batch=3,
        each=watch,
    )


def test_one_segment_is_refused() -> None:
    recipe = {"inputs": {"image": {}}, "objectives": {"own": {"kind": "segments", "of": "image", "count": 1}}}
    with pytest.raises(UsageError, match="two segments or more"):
        check(read(recipe))
