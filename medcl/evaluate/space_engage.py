"""Segmentation with pseudo labels from two spaces, and contrast of pixels with a memory of classes (Space Engage)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import matrix
from medcl.evaluate.semi_supervised import Consistency, cut_mix, entropy_of
from medcl.modality.spatial.encoders.base import convolution

DIM, QUERIES, NEGATIVES = 64, 256, 512
"""Width of a representation; anchors of a class; negatives of an anchor."""
VALID, LEARNED, CERTAIN = 0.7, 0.8, 0.97
"""Confidence from which a pixel is used; probability of its prototype from which it is learned; a certain pixel."""


def of_prototypes(z: Tensor, prototypes: Tensor, temperature: float = 0.25) -> Tensor:
    """Probabilities (N, classes) of representations (N, dim): the softmax of their cosine with each prototype."""
    cosine = F.normalize(z, dim=1) @ F.normalize(prototypes, dim=1).T
    return (cosine / temperature).softmax(dim=1)


def agreed(of_classifier: Tensor, of_space: Tensor) -> Tensor:
    """Which pixels have one label in both spaces: probabilities (N, classes) twice to (N,) bool."""
    return of_classifier.argmax(dim=1) == of_space.argmax(dim=1)


def pixel_contrast(
    z: Tensor,
    labels: Tensor,
    keys: Tensor,
    prototypes: Tensor,
    generator: torch.Generator,
    *,
    temperature: float = 0.5,
) -> Tensor:
    """Draw pixels towards the prototype of their class, away from pixels of classes that are like it.

    InfoNCE with one positive, the prototype of the class, and `NEGATIVES` pixels of other classes; the class of a
    negative is drawn with the probability softmax over c of cos(prototype of the anchor, prototype of c) / 0.5. Only
    pixels whose prototype has a probability below `LEARNED` are anchors, at most `QUERIES` of a class.

    Args:
        z: (N, dim) representations of valid pixels.
        labels: (N,) int64 their classes.
        keys: (N, dim) the same pixels by the slowly following copy.
        prototypes: (classes, dim).
        generator: draws anchors and negatives.
        temperature: of the softmax.

    Returns:
        Scalar; 0 without an anchor or without a pixel of another class.
    """
    hard = of_prototypes(z.detach(), prototypes, 0.1).gather(1, labels[:, None])[:, 0] < LEARNED
    order = torch.randperm(len(z), generator=generator).to(z.device)
    anchors = torch.cat([order[(hard & (labels == c))[order]][:QUERIES] for c in range(len(prototypes))])
    pools = [order[(labels == c)[order]][:NEGATIVES] for c in range(len(prototypes))]
    pool = torch.cat(pools)
    counts = torch.bincount(labels[pool], minlength=len(prototypes))
    like = F.normalize(prototypes, dim=1)
    wanted = (like @ like.T / 0.5)[labels[anchors]]
    others = (counts[None] > 0) & (torch.arange(len(prototypes), device=z.device) != labels[anchors, None])
    usable = others.any(dim=1)
    anchors, wanted, others = anchors[usable], wanted[usable], others[usable]
    if not len(anchors):
        return z.sum() * 0
    share = wanted.masked_fill(~others, -torch.inf).softmax(dim=1)
    classes = torch.multinomial(share.cpu(), NEGATIVES, replacement=True, generator=generator).to(z.device)
    # Of the pixels of a drawn class, which begin at this place of the pool, any.
    first = counts.cumsum(0) - counts
    place = torch.rand(classes.shape, generator=generator).to(z.device)
    columns = first[classes] + (place * counts[classes]).long()
    drawn = torch.zeros(len(anchors), len(pool), dtype=torch.bool, device=z.device).scatter(1, columns, True)
    own = F.one_hot(labels[anchors], len(prototypes)).bool()
    positive = torch.cat([own, torch.zeros_like(drawn)], dim=1)
    exclude = torch.cat([~own, ~drawn], dim=1)
    candidates = torch.cat([prototypes, keys[pool]])
    return info_nce(z[anchors], candidates, matrix(positive, exclude), temperature=temperature)


class SpaceEngage(Consistency):
    """Pseudo labels where the classifier and the prototypes of classes agree, and `pixel_contrast` (Wang et al., CSS).

    Of the two ways that were published, `mix`. The cross-entropy of pseudo labels on a strong view with CutMix is
    weighted by the share of pixels of a confidence of at least 0.97; prototypes follow labelled and confident pixels,
    with a momentum of 0.99. The weight of the contrast rises over the first tenth of the iterations: how it rises is
    not published.
    """

    def __init__(self, network: Any, n_classes: int, seed: int) -> None:
        super().__init__(network, n_classes, seed, momentum=0.99)
        width, dims = network.width, network.dims
        self.head = convolution(dims, width, DIM, 1)
        self.keys = convolution(dims, width, DIM, 1).requires_grad_(False)
        device = next(network.parameters()).device
        self.head.to(device)
        self.keys.to(device).load_state_dict(self.head.state_dict())
        self.prototypes = torch.zeros(n_classes, DIM, device=device)
        self.steps = 0

    def parameters(self) -> list[nn.Parameter]:
        """The head of representations."""
        return list(self.head.parameters())

    def follow(self, network: nn.Module) -> None:
        """See `Consistency`: faster in the first steps."""
        self.steps += 1
        rising, self.momentum = self.momentum, min(1 - 1 / (self.steps + 1), self.momentum)
        super().follow(network)
        for own, key in zip(self.head.parameters(), self.keys.parameters(), strict=True):
            key.data.lerp_(own.data, 1 - self.momentum)
        self.momentum = rising

    def remember(self, keys: Tensor, labels: Tensor) -> None:
        """Move the prototypes of classes towards the mean of their pixels (N, dim)."""
        for number in range(self.n_classes):
            own = labels == number
            if own.any():
                mean = F.normalize(keys[own], dim=1).mean(dim=0)
                known = bool(self.prototypes[number].any())
                self.prototypes[number] = self.prototypes[number].lerp(mean, 0.01) if known else mean

    def loss(self, network: Any, maps: Tensor, target: Tensor, x: Tensor, done: float) -> Tensor:
        """See `Consistency`."""
        space = x.shape[2:]
        with torch.no_grad():
            taught = self.teacher.decode(self.teacher.encode(x))
            classes = self.teacher.classify(taught, space).softmax(dim=1)
            labelled = _pixels(network.cut(self.keys(maps), space))
            keys = _pixels(network.cut(self.keys(taught), space))
            truth, found = _pixels(target).argmax(dim=1), _pixels(classes)
            confidence, labels = found.max(dim=1)
            valid = (confidence >= VALID) & agreed(found, of_prototypes(keys, self.prototypes))
            self.remember(torch.cat([labelled, keys[valid]]), torch.cat([truth, labels[valid]]))
            weight = (confidence >= CERTAIN).float().mean()
        box = self.box(x)
        shape = (len(x), *space)
        cross = entropy_of(
            network(cut_mix(self.strong(x), box)),
            cut_mix(labels.reshape(shape), box),
            cut_mix(valid.reshape(shape), box),
        )
        weak = network.decode(network.encode(x))
        z = torch.cat([_pixels(network.cut(self.head(one), space)) for one in (maps, weak)])
        used = torch.cat([torch.ones_like(truth, dtype=torch.bool), valid])
        all_labels, all_keys = torch.cat([truth, labels]), torch.cat([labelled, keys])
        contrast = pixel_contrast(z[used], all_labels[used], all_keys[used], self.prototypes, self.generator)
        return weight * cross + min(1.0, 10 * done) * contrast


def _pixels(maps: Tensor) -> Tensor:
    """Maps (B, C, *space) as (B * positions, C)."""
    return maps.movedim(1, -1).flatten(0, -2).float()
