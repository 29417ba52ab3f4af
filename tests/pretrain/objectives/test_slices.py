"""The global losses of slices against loops over every pair of images, as the papers write them."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from medcl.modality.spatial.views.intensity import Noise
from medcl.modality.views import Compose

from .steps import Flat, Trained

TEMPERATURE = 0.2
COMMON = {"of": "volume", "temperature": TEMPERATURE, "head": {"dim": 0}, "parts": 2}
OWN = {"settings": {"denominator": "own"}, "original": True}
VARIANTS: dict[str, dict[str, Any]] = {
    "random": {},
    "partition-negatives": {**OWN, "exclude": ["partition"]},
    "partition-positives": {**OWN, "positives": "partition", "copies": 1},
    "positional": {"positives": "position", "width": 0.25},
}


@dataclass(frozen=True)
class Image:
    """One image of the batch as the loss sees it: an augmentation is view 1 or 2, the image itself view 0."""

    z: Tensor
    slice: int
    volume: int
    partition: int
    position: float
    view: int
    place: int


class Watched(Flat):
    """An encoder that remembers what it got."""

    def forward(self, x: Tensor) -> Tensor:
        self.got = x.flatten(1).double()
        return self.got[:, None]


def batch() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    return {
        "inputs": {"volume": torch.randn(6, 1, 2, 3, generator=generator)},
        "present": {"volume": torch.ones(6, dtype=torch.bool)},
        "position": torch.tensor([0.1, 0.6, 0.2, 0.9, 0.3, 0.7]),
        "ids": {
            # The first volume is there with one slice twice.
            "slice": torch.tensor([5, 5, 21, 22, 31, 32]),
            "volume": torch.tensor([1, 1, 2, 2, 3, 3]),
        },
    }


def seen(variant: str) -> tuple[float, list[Image]]:
    """The loss of the batch, and the images that it was taken of."""
    own, encoder = batch(), Watched(6)
    trained = Trained({"global": {**COMMON, **VARIANTS[variant]}}, {"volume": encoder}, Compose([Noise(0.5)]))
    loss = trained(own, torch.Generator().manual_seed(1))["global"]
    images = []
    for row, z in enumerate(encoder.got):
        place = row % 6
        position = float(own["position"][place])
        ids = {level: int(of[place]) for level, of in own["ids"].items()}
        first = 0 if variant.startswith("partition") else 1
        images.append(Image(z, ids["slice"], ids["volume"], int(position * 2), position, first + row // 6, place))
    return float(loss), images


def similarity(a: Image, b: Image) -> float:
    return math.exp(float(a.z @ b.z / (a.z.norm() * b.z.norm())) / TEMPERATURE)


def mean_over_anchors(images: list[Image], positive: object, negative: object) -> float:
    """-log s(a, p) / (s(a, p) + sum over negatives), the mean over positives, then over anchors."""
    losses = []
    for a in images:
        positives = [b for b in images if b is not a and positive(a, b)]
        against = sum(similarity(a, b) for b in images if b is not a and negative(a, b))
        pairs = [-math.log(similarity(a, p) / (similarity(a, p) + against)) for p in positives]
        if pairs:
            losses.append(sum(pairs) / len(pairs))
    return sum(losses) / len(losses)


def test_two_views_against_all_others() -> None:
    loss, images = seen("random")
    assert len(images) == 12
    assert {image.view for image in images} == {1, 2}
    expected = mean_over_anchors(images, lambda a, b: a.place == b.place, lambda a, b: a.slice != b.slice)
    assert loss == pytest.approx(expected, rel=1e-6)


def test_slices_of_one_partition_are_no_negatives() -> None:
    loss, images = seen("partition-negatives")
    assert len(images) == 18
    torch.testing.assert_close(torch.stack([i.z for i in images[:6]]), batch()["inputs"]["volume"].flatten(1).double())
    expected = mean_over_anchors(
        images, lambda a, b: a.place == b.place, lambda a, b: a.partition != b.partition and a.slice != b.slice
    )
    assert loss == pytest.approx(expected, rel=1e-6)


def test_slices_of_one_partition_of_two_volumes_attract_each_other() -> None:
    loss, images = seen("partition-positives")
    assert len(images) == 12

    def positive(a: Image, b: Image) -> bool:
        across = a.partition == b.partition and a.volume != b.volume and a.view == b.view
        return a.place == b.place or across

    expected = mean_over_anchors(images, positive, lambda a, b: a.partition != b.partition)
    assert loss == pytest.approx(expected, rel=1e-6)


def test_slices_at_near_positions_attract_each_other() -> None:
    loss, images = seen("positional")
    losses = []
    for a in images:
        others = [b for b in images if b is not a]
        positives = [b for b in others if abs(a.position - b.position) < 0.25]
        total = sum(similarity(a, b) for b in others)
        losses.append(sum(-math.log(similarity(a, p) / total) for p in positives) / len(positives))
    assert loss == pytest.approx(sum(losses) / len(losses), rel=1e-6)
