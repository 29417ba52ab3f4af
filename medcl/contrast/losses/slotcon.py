"""Group the cells of an image around learned prototypes, and contrast the groups of two views (SlotCon)."""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.blockwise import accurate, no_autocast
from medcl.contrast.core.gather import Group, mean, processes
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import same
from medcl.errors import UsageError


@dataclass(frozen=True)
class Grouping:
    """The cells of a batch of views, divided softly among K prototypes.

    Args:
        slots: (N, K, D), the mean of the cells of each prototype.
        scores: (N, S, K), the cosine of each cell with each prototype.
    """

    slots: Tensor
    scores: Tensor

    @property
    def present(self) -> Tensor:
        """(N, K) bool, which prototypes are the nearest one of a cell."""
        nearest = self.scores.argmax(dim=2)
        found = torch.zeros(self.slots.shape[:2], dtype=torch.bool, device=nearest.device)
        return found.scatter(1, nearest, torch.ones_like(nearest, dtype=torch.bool))

    def halves(self) -> tuple["Grouping", "Grouping"]:
        """That of the first views and that of the second ones, of a batch of both."""
        first, second = zip(self.slots.chunk(2), self.scores.chunk(2), strict=True)
        return Grouping(*first), Grouping(*second)


def grouped(cells: Tensor, prototypes: Tensor, *, temperature: float = 0.07) -> Grouping:
    """Divide the cells of each image among prototypes, and average them.

    With A_ik = softmax over k of cos(z_i, prototype_k) / temperature:

        slot_k = sum_i A_ik z_i / sum_i A_ik

    Wen et al., Self-Supervised Visual Representation Learning with Semantic Grouping (NeurIPS 2022), eq. 1 and 4.

    Args:
        cells: (N, S, D), z.
        prototypes: (K, D), shared by all images.
        temperature: above 0; lower ones make the division harder.

    Returns:
        The slots (N, K, D) and the scores (N, S, K).

    Raises:
        UsageError: when shapes do not fit, or the temperature is not above 0.
    """
    if cells.ndim != 3 or prototypes.ndim != 2 or cells.shape[2] != prototypes.shape[1]:
        raise UsageError(
            "cells (batch, cells, width) are grouped around prototypes (prototypes, width), got "
            f"{tuple(cells.shape)} and {tuple(prototypes.shape)}"
        )
    _above_0(temperature)
    with no_autocast(cells):
        z = accurate(cells)
        scores = F.normalize(z, dim=2) @ F.normalize(accurate(prototypes), dim=1).T
        # Shares over the cells from logarithms: of a prototype that no cell is near, their sum underflows.
        shares = (scores / temperature).log_softmax(dim=2).softmax(dim=1)
        return Grouping(shares.mT @ z, scores)


def slotcon(
    student: Grouping,
    teacher: Grouping,
    positive: Tensor,
    *,
    centre: Tensor | None = None,
    weight: float = 0.5,
    sharpness: tuple[float, float] = (0.1, 0.07),
    temperature: float = 0.2,
    group: Group = None,
) -> Tensor:
    """Group the cells of two views alike, and tell their slots from those of other prototypes and images.

        L = weight L_group + (1 - weight) 2 temperature L_slot

    L_group is the cross-entropy of the student's division, softmax(scores / sharpness[0]), with the teacher's,
    softmax((scores - centre) / sharpness[1]), its mean over the pairs of cells that show the same place, then over the
    images that have one. The centre, the running mean of the teacher's scores from `centre_of`, keeps one prototype
    from taking all cells. L_slot is InfoNCE of a slot of the student with that of the same prototype and image of the
    teacher among all slots of the teacher, of slots that are the nearest one of a cell, of anchors in both views.

    Wen et al., Self-Supervised Visual Representation Learning with Semantic Grouping (NeurIPS 2022), eq. 3 and 6, one
    direction; the loss is the sum of both. The factor 2 temperature of L_slot is that of the released code, which
    brings the scores of both views to one grid by RoI-align of their overlap instead of pairing cells.

    Args:
        student: of the first views; its slots have passed the predictor.
        teacher: (N, K, D) and (N, R, K) of the second views by the slowly following networks, without derivative.
        positive: (N, S, R) bool, which cells show the same place, from `same_place`.
        centre: (K,); None for none.
        weight: from 0 to 1.
        sharpness: temperatures of the student's and of the teacher's division, above 0; the teacher's is the lower one.
        temperature: of L_slot, above 0.
        group: processes whose images are one batch.

    Returns:
        Scalar; L_group is 0 where no cell shows the same place as another, L_slot where no slot is in both views.

    Raises:
        UsageError: when shapes do not fit, or a setting is out of its range.
    """
    expected = (*student.scores.shape[:2], teacher.scores.shape[1])
    if positive.shape != expected or positive.dtype != torch.bool:
        raise UsageError(
            f"pairs must be bool of shape {expected}, got {positive.dtype} of shape {tuple(positive.shape)}"
        )
    if student.slots.shape != teacher.slots.shape:
        raise UsageError(
            f"slots of both views have one shape, got {tuple(student.slots.shape)} and {tuple(teacher.slots.shape)}"
        )
    if not 0 <= weight <= 1:
        raise UsageError(f"the weight of the grouping is from 0 to 1, got {weight}")
    _above_0(*sharpness, temperature)
    with no_autocast(student.scores):
        given = accurate(teacher.scores) - (0 if centre is None else centre.to(teacher.scores.device))
        targets = (given / sharpness[1]).softmax(dim=2)
        costs = -(accurate(student.scores) / sharpness[0]).log_softmax(dim=2)
        # sum_ij P_ij <t_j, c_i>, by which the (S, R) costs of all pairs are never held.
        pairs = positive.sum(dim=(1, 2))
        sums = (costs * (positive.to(targets.dtype) @ targets)).sum(dim=(1, 2))
        groups = mean((sums / pairs.clamp(min=1)).sum(), (pairs > 0).sum().to(sums.dtype), group)
        return weight * groups + (1 - weight) * 2 * temperature * _slots(student, teacher, temperature, group)


def centre_of(scores: Tensor, group: Group = None) -> Tensor:
    """The mean score of each prototype over the cells of all processes, without derivative.

    Args:
        scores: (N, S, K) of this process.
        group: processes whose images are one batch.

    Returns:
        (K,).
    """
    with torch.no_grad(), no_autocast(scores):
        flat = accurate(scores.detach()).flatten(0, 1)
        held = torch.cat([flat.sum(dim=0), flat.new_tensor([len(flat)])])
        if processes(group) > 1:
            dist.all_reduce(held, group=group)
        return held[:-1] / held[-1].clamp(min=1)


def _slots(student: Grouping, teacher: Grouping, temperature: float, group: Group) -> Tensor:
    """InfoNCE of the slots that are in both views, among those that are in the teacher's."""
    of_anchor, anchor = _listed(student.present & teacher.present, student)
    of_candidate, candidate = _listed(teacher.present, teacher)
    # Numbers of prototypes of images, other ones in every process; absent slots have no partner.
    start = (0 if group is None else dist.get_rank(group)) << 40
    images = torch.arange(len(anchor), device=anchor.device)[:, None] * student.slots.shape[1] + start
    ids = torch.where(anchor, images + of_anchor, -1), torch.where(candidate, images + of_candidate, -2)
    pairing = same(*(one.flatten() for one in ids)).among(
        same(torch.ones_like(of_anchor).flatten(), candidate.flatten().long())
    )
    a, b = (
        one.slots.gather(1, places[:, :, None].expand(-1, -1, one.slots.shape[2])).flatten(0, 1)
        for one, places in ((student, of_anchor), (teacher, of_candidate))
    )
    return info_nce(a, b, pairing, temperature=temperature, group=group)


def _listed(wanted: Tensor, grouping: Grouping) -> tuple[Tensor, Tensor]:
    """Prototypes (N, M) of which those that are wanted come first, and whether they are: M cells have M at most."""
    places = wanted.long().argsort(dim=1, descending=True, stable=True)
    places = places[:, : min(grouping.scores.shape[1:])]
    return places, wanted.gather(1, places)


def _above_0(*temperatures: float) -> None:
    if not min(temperatures) > 0:
        raise UsageError(f"a temperature must be above 0, got {min(temperatures)}")
