"""Instances of bags by the label of the bag alone: INS."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import itself, same
from medcl.networks.heads import ProjectionHead
from medcl.networks.pooling import mean_by_group

CONTRAST, KEPT, FOLLOWS = 0.5, (0.95, 0.8), 0.9
"""Weight of the contrast; momentum of the pseudo labels at the first and at the last step; that of the prototypes."""


class InstanceContrast(nn.Module):
    """A classifier of instances that is trained on pseudo labels, with prototypes of both classes.

        L = CE(instance, s) + 1/2 SupCon(instances of one pseudo label) + BCE(mean of the instance scores, bag)

    Qu et al., Rethinking Multiple Instance Learning for Whole Slide Image Classification: A Good Instance Classifier Is
    All You Need (INS, 2024). The pseudo label s of an instance moves towards the class of the nearest prototype, with a
    momentum that falls from 0.95 to 0.8, and is negative for all instances of negative bags; prototypes move towards
    the instances of their class, with a momentum of 0.9. Here the contrast is among the instances of a batch and not
    with a queue, and what is predicted of a bag is left to its pooling.

    Args:
        dim: width of an embedding.
        samples: number of instances of all bags.
        temperature: of the contrast.
    """

    prototypes: Tensor
    confidence: Tensor
    begun: Tensor

    def __init__(self, dim: int, samples: int, temperature: float = 0.07) -> None:
        super().__init__()
        width = min(dim, 128)
        self.temperature = temperature
        self.project, self.classify = ProjectionHead(dim, dim, width), nn.Linear(dim, 2)
        self.register_buffer("prototypes", torch.zeros(2, width))
        self.register_buffer("confidence", torch.zeros(samples))
        self.register_buffer("begun", torch.zeros(samples, dtype=torch.bool))

    def scores(self, z: Tensor) -> Tensor:
        """Embeddings (N, dim) to the probability of the positive class (N,)."""
        probability: Tensor = self.classify(z).softmax(dim=1)[:, 1]
        return probability

    def forward(self, z: Tensor, group: Tensor, labels: Tensor, numbers: Tensor, done: float) -> Tensor:
        """The loss of instances.

        Args:
            z: (N, dim) embeddings.
            group: (N,) bag of each.
            labels: (bags,) 0 or 1.
            numbers: (N,) of the instances, which their pseudo labels are kept by.
            done: share of the steps that are done.
        """
        logits, q = self.classify(z), F.normalize(self.project(z), dim=1)
        of_bag = labels[group].to(z.dtype)
        with torch.no_grad():
            pseudo = self.relabelled(q, logits.argmax(dim=1), of_bag, numbers, done)
        target = torch.stack([1 - pseudo, pseudo], dim=1)
        each = F.cross_entropy(logits, target)
        classes = (pseudo > 0.5).long()
        contrast = info_nce(q, q, same(classes).without(itself(q)), temperature=self.temperature)
        score = mean_by_group(logits.softmax(dim=1)[:, 1:], group, len(labels))[:, 0].clamp(1e-6, 1 - 1e-6)
        bag = F.binary_cross_entropy(score, labels.to(score.dtype))
        return each + CONTRAST * contrast + bag

    def relabelled(self, q: Tensor, said: Tensor, of_bag: Tensor, numbers: Tensor, done: float) -> Tensor:
        """Move prototypes and pseudo labels, and give the latter: (N,) probabilities of the positive class.

        Args:
            q: (N, width) of length 1.
            said: (N,) class that the classifier gives each.
            of_bag: (N,) label of its bag, which is where the pseudo label begins.
            numbers: (N,) of the instances.
            done: share of the steps that are done.
        """
        for number in range(2):
            own = (said == number) & (of_bag > 0) if number else of_bag == 0
            if own.any():
                mean, known = q[own].mean(dim=0), self.prototypes[number].any()
                moved = FOLLOWS * self.prototypes[number] + (1 - FOLLOWS) * mean if known else mean
                self.prototypes[number] = F.normalize(moved, dim=0)
        nearest = (q @ self.prototypes.T).argmax(dim=1).to(q.dtype)
        kept = KEPT[0] + (KEPT[1] - KEPT[0]) * min(1.0, done)
        before = torch.where(self.begun[numbers], self.confidence[numbers].to(q.dtype), of_bag)
        pseudo = torch.where(of_bag > 0, kept * before + (1 - kept) * nearest, 0.0)
        self.confidence[numbers], self.begun[numbers] = pseudo.to(self.confidence.dtype), True
        return pseudo
