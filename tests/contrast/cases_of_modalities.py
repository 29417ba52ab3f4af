"""Losses of several modalities and views, and of dense embeddings."""

from typing import Any

import torch
from torch import Tensor

from medcl.contrast.core.anchors import block_and_group
from medcl.contrast.core.blockwise import accurate
from medcl.contrast.core.gather import Group, gather
from medcl.contrast.losses.clip import clip
from medcl.contrast.losses.cloob import cloob, info_loob
from medcl.contrast.losses.dense import corresponding, dense
from medcl.contrast.losses.gram import gram
from medcl.contrast.losses.multi_view import mv_dhel, mv_infonce
from medcl.contrast.losses.pixpro import pixpro, propagate
from medcl.contrast.losses.pmrl import pmrl
from medcl.contrast.losses.regions import local
from medcl.contrast.losses.slotcon import grouped, slotcon
from medcl.contrast.losses.sparc import word_alignment
from medcl.contrast.losses.symile import draw_permutations, symile
from medcl.contrast.pairings.pairs import same
from medcl.contrast.similarities.late import gloria, sparc
from medcl.contrast.similarities.multimodal import gram_volume, leading_singular_value, multilinear
from medcl.contrast.similarities.similarity import one_sided
from tests.contrast.cases import Case

ORDERS = [draw_permutations(3, samples, torch.Generator().manual_seed(0)) for samples in range(9)]
"""The same order of all samples in every process."""


def third(z1: Tensor, z2: Tensor) -> Tensor:
    """A further modality, of each sample alone."""
    return accurate(z1).roll(1, 1) + 0.5 * accurate(z2).square()


def cells(z: Tensor, count: int) -> Tensor:
    """Dense embeddings (N, count, D), of each sample alone."""
    z = accurate(z)
    return torch.stack([z.roll(k, 1) + k * z.square() for k in range(count)], dim=1)


def words(z: Tensor) -> tuple[Tensor, Tensor]:
    """Three words, the last of which only some reports have."""
    return cells(z, 3), torch.stack([z[:, 0] < torch.inf, z[:, 1] < torch.inf, z[:, 0] > 0], dim=1)


def shuffled(z1: Tensor, z2: Tensor, group: Group = None, **scale: Any) -> Tensor:
    orders = ORDERS[len(gather(z1.detach(), group))].to(z1.device)
    return symile([z1, z2, third(z1, z2)], temperature=0.2, permutations=orders, group=group, **scale)


def missing(z1: Tensor, z2: Tensor, y: Tensor, **scale: Any) -> Tensor:
    present = torch.stack([y >= 0, y > 0.2, y < 5], dim=1)
    return symile([z1, z2, third(z1, z2)], temperature=0.2, negatives="all", present=present, **scale)


def cells_of_views(z1: Tensor, z2: Tensor, ids: Tensor, **scale: Any) -> Tensor:
    a, b = cells(z1, 2), cells(z2, 3)
    return dense(a, b, corresponding(a, b), b.mean(dim=1), pairing=same(ids), **scale)


def smoothed(z1: Tensor, z2: Tensor, **scale: Any) -> Tensor:
    """Each cell shows the same place as the one of its number in the other view."""
    a, b = cells(z1, 3), cells(z2, 3)
    same_place = torch.eye(3, dtype=torch.bool, device=z1.device).expand(len(a), 3, 3)
    return pixpro(propagate(a, b), b, same_place, group=block_and_group(**scale)[1])


def slots(z1: Tensor, z2: Tensor, **scale: Any) -> Tensor:
    """Prototypes that all processes have; each cell shows the place of two cells of the other view."""
    z1 = accurate(z1)
    prototypes = torch.eye(5, z1.shape[1], dtype=z1.dtype, device=z1.device) - 0.3
    places = torch.eye(3, 4, device=z1.device) + torch.eye(3, 4, device=z1.device).roll(1, 1) > 0
    a, b = (grouped(cells(z, count), prototypes.to(accurate(z)), temperature=0.3) for z, count in ((z1, 3), (z2, 4)))
    centre = torch.arange(5, dtype=z1.dtype, device=z1.device) / 10
    options = {"centre": centre, "sharpness": (0.4, 0.3), "group": block_and_group(**scale)[1]}
    return slotcon(a, b, places.expand(len(z1), 3, 4), **options)


CASES = [
    Case("clip", lambda z1, z2, ids, y, **scale: clip(z1, z2, same(ids), **scale)),
    Case(
        "clip, one-sided, weight 0.75, inside",
        lambda z1, z2, ids, y, **scale: clip(
            z1, z2, same(ids), weight=0.75, similarity=one_sided, log="inside", temperature=2.0, **scale
        ),
    ),
    Case("clip, smoothed", lambda z1, z2, ids, y, **scale: clip(z1, z2, same(ids), smoothing=0.1, **scale)),
    Case(
        "clip, multilinear",
        lambda z1, z2, ids, y, **scale: clip(z1, (z2, third(z1, z2)), same(ids), similarity=multilinear, **scale),
    ),
    Case(
        "clip, gram_volume",
        lambda z1, z2, ids, y, **scale: clip(z1, (z2, third(z1, z2)), same(ids), similarity=gram_volume, **scale),
    ),
    Case(
        "clip, leading_singular_value",
        lambda z1, z2, ids, y, **scale: clip(
            z1, (z2, third(z1, z2)), same(ids), similarity=leading_singular_value, **scale
        ),
    ),
    Case(
        "clip, gloria",
        lambda z1, z2, ids, y, **scale: clip(cells(z1, 4), words(z2), same(ids), similarity=gloria(), **scale),
    ),
    Case(
        "clip, gloria as released",
        lambda z1, z2, ids, y, **scale: clip(
            cells(z1, 4), words(z2), same(ids), similarity=gloria(words_first=True, over="mean"), **scale
        ),
    ),
    Case(
        "clip, sparc",
        lambda z1, z2, ids, y, **scale: clip(cells(z1, 4), words(z2), same(ids), similarity=sparc(), **scale),
    ),
    Case("word_alignment", lambda z1, z2, ids, y, **scale: word_alignment(cells(z1, 4), words(z2), **scale)),
    Case("symile, permuted", lambda z1, z2, ids, y, **scale: shuffled(z1, z2, **scale), permuted=False),
    Case(
        "symile, all",
        lambda z1, z2, ids, y, **scale: symile([z1, z2, third(z1, z2)], temperature=0.2, negatives="all", **scale),
    ),
    Case("symile, missing modalities", lambda z1, z2, ids, y, **scale: missing(z1, z2, y, **scale)),
    Case("gram", lambda z1, z2, ids, y, **scale: gram(z1, (z2, third(z1, z2)), same(ids), **scale)),
    Case("pmrl", lambda z1, z2, ids, y, **scale: pmrl([z1, z2, third(z1, z2)], **scale)),
    Case("pixpro", lambda z1, z2, ids, y, **scale: smoothed(z1, z2, **scale)),
    Case("slotcon", lambda z1, z2, ids, y, **scale: slots(z1, z2, **scale)),
    Case("dense", lambda z1, z2, ids, y, **scale: cells_of_views(z1, z2, ids, **scale)),
    Case("local", lambda z1, z2, ids, y, **scale: local(cells(z1, 3), cells(z2, 3), **scale)),
    Case(
        "local, given negatives",
        lambda z1, z2, ids, y, **scale: local(
            cells(z1, 3), cells(z2, 3), torch.tensor([[1], [0], [0]], device=ids.device), **scale
        ),
    ),
    Case("mv_infonce", lambda z1, z2, ids, y, **scale: mv_infonce([z1, z2, third(z1, z2)], **scale)),
    Case("mv_dhel", lambda z1, z2, ids, y, **scale: mv_dhel([z1, z2, third(z1, z2)], **scale)),
    Case("info_loob", lambda z1, z2, ids, y, **scale: info_loob(z1, z2, same(ids), **scale)),
    Case("cloob", lambda z1, z2, ids, y, **scale: cloob(z1, z2, same(ids), **scale)),
]
