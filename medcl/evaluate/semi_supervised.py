"""Segmentation that also learns from slices without labels: consistency from weak to strong views (DSSN)."""

import copy
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.core.momentum import momentum_update
from medcl.modality.spatial import views as spatial_views
from medcl.modality.spatial.config import ImageViewsConfig

STRONG = ImageViewsConfig(contrast=(0.5, 1.5), brightness=0.2, gamma=(0.7, 1.4), blur=(0.0, 1.0), noise=0.05)
"""Intensities of a strong view; no voxel moves."""


class Consistency(ABC):
    """A slowly following copy of a network, and strong views of slices, by which pseudo labels are learned.

    Args:
        network: that segments, with `encode`, `decode` and `classify`.
        n_classes: classes with background.
        seed: of strong views and boxes.
        momentum: of the copy.
    """

    def __init__(self, network: Any, n_classes: int, seed: int, momentum: float = 0.996) -> None:
        self.n_classes, self.momentum = n_classes, momentum
        self.teacher = copy.deepcopy(network).requires_grad_(False).eval()
        self.views = spatial_views.build(STRONG)
        self.generator = torch.Generator().manual_seed(seed)
        self.rng = np.random.default_rng([seed, 4])

    def parameters(self) -> list[nn.Parameter]:
        """What is trained beside the network."""
        return []

    def follow(self, network: nn.Module) -> None:
        """Move the copy towards the network after a step."""
        momentum_update(network, self.teacher, self.momentum)

    def strong(self, x: Tensor) -> Tensor:
        """A strong view of images (B, C, *space)."""
        return self.views.apply(x, self.views.draw(x, self.generator))

    def box(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """A box of half of the sides (*space), and the image (B,) from which each takes it: CutMix."""
        inside = torch.zeros(x.shape[2:], dtype=torch.bool, device=x.device)
        sides = [max(1, length // 2) for length in x.shape[2:]]
        starts = [int(self.rng.integers(0, length - side + 1)) for length, side in zip(x.shape[2:], sides, strict=True)]
        inside[tuple(slice(start, start + side) for start, side in zip(starts, sides, strict=True))] = True
        return inside, torch.from_numpy(self.rng.permutation(len(x))).to(x.device)

    @abstractmethod
    def loss(self, network: Any, maps: Tensor, target: Tensor, x: Tensor, done: float) -> Tensor:
        """What is added to the loss of the labelled patches.

        Args:
            network: that is trained.
            maps: (A, width, *space) the last maps of labelled patches, padded.
            target: (A, n_classes, *space) their labels.
            x: (B, C, *space) patches without labels.
            done: share of the iterations that are done.
        """


def cut_mix(values: Tensor, box: tuple[Tensor, Tensor]) -> Tensor:
    """Values (B, ..., *space) with those of another sample inside a box, see `Consistency.box`."""
    inside, other = box
    return torch.where(inside, values[other], values)


def selected(confidence: Tensor, labels: Tensor, n_classes: int, share: float = 0.96, sure: float = 0.92) -> Tensor:
    """Which pixels keep their pseudo label: the most confident of each class in each image, so that none is lost.

    With m_c the highest confidence of class c in an image, those of at least share * m_c where m_c is above `sure`,
    else those of m_c alone (Zhang et al., DSSN, class-aware pseudo-label selection, as released).

    Args:
        confidence: (B, *space) of the likeliest class.
        labels: (B, *space) int64, that class.
        n_classes: number of classes.
        share: of the highest confidence.
        sure: above which it is taken to be right.

    Returns:
        (B, *space) bool.
    """
    kept = torch.zeros_like(labels, dtype=torch.bool)
    space = tuple(range(1, labels.ndim))
    for number in range(n_classes):
        own = labels == number
        highest = torch.where(own, confidence, 0.0).amax(dim=space, keepdim=True)
        kept |= own & (confidence >= torch.where(highest > sure, share * highest, highest))
    return kept


def certain(logits: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
    """Pseudo labels (B, *space) of logits (B, n_classes, *space), and which of them are kept, see `selected`."""
    confidence, labels = logits.detach().softmax(dim=1).max(dim=1)
    return labels, selected(confidence, labels, n_classes)


def entropy_of(logits: Tensor, labels: Tensor, kept: Tensor) -> Tensor:
    """Cross-entropy of kept pseudo labels, over all pixels."""
    each = F.cross_entropy(logits.float(), labels, reduction="none")
    return (each * kept).mean()


def _standardised(logits: Tensor) -> Tensor:
    """Logits without mean and spread over the classes."""
    spread, mean = torch.std_mean(logits.float(), dim=1, keepdim=True, correction=0)
    return (logits - mean) / (spread + 1e-6)


class Dssn(Consistency):
    """Consistency on the level of images and of features (Zhang et al., DSSN, 2023).

        1/4 ( CE(s1, y~) + CE(s2, y~) ) + 1/4 ( CE(f1, y) + CE(f2, y) ) + 1/100 ( MSE(s1, s2) + MSE(f1, f2) )

    with s1 and s2 logits of two strong views, f1 and f2 of two copies of the encoder's features of which half of the
    channels are dropped, y~ pseudo labels of the slowly following copy, y of the network itself, both of the weak view,
    and the mean squared error of logits standardised over the classes. Pixels are chosen by `selected`. Both strong
    views share one box of CutMix, so that their pixels correspond.
    """

    def loss(self, network: Any, maps: Tensor, target: Tensor, x: Tensor, done: float) -> Tensor:
        """See `Consistency`."""
        space = x.shape[2:]
        with torch.no_grad():
            taught, kept = certain(self.teacher(x), self.n_classes)
        box = self.box(x)
        strong = torch.cat([cut_mix(self.strong(x), box) for _ in range(2)])
        features = network.encode(x)
        with torch.no_grad():
            own, sure = certain(network.classify(network.decode(features), space), self.n_classes)
        dropped = [
            F.dropout1d(torch.cat([one, one]).flatten(2)).reshape(2 * len(x), *one.shape[1:]) for one in features
        ]
        found = []
        for logits, labels, chosen in (
            (network(strong), cut_mix(taught, box), cut_mix(kept, box)),
            (network.classify(network.decode(dropped), space), own, sure),
        ):
            first, second = logits.chunk(2)
            cross = entropy_of(first, labels, chosen) + entropy_of(second, labels, chosen)
            found.append(cross / 4 + F.mse_loss(_standardised(first), _standardised(second)) / 100)
        return found[0] + found[1]


def semi_supervised(name: str, network: nn.Module, n_classes: int, seed: int) -> Consistency | None:
    """What learns from slices without labels, by name; None for `none`."""
    if name == "none":
        return None
    if name == "dssn":
        return Dssn(network, n_classes, seed)
    from medcl.evaluate.space_engage import SpaceEngage

    return SpaceEngage(network, n_classes, seed)
