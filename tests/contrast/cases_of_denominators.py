"""The losses that change what counts in the denominator, what is compared, or how much."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.anchors import block_and_group
from medcl.contrast.core.blockwise import accurate
from medcl.contrast.losses.auc import auc
from medcl.contrast.losses.cacr import cacr
from medcl.contrast.losses.clip import clip_without_gap
from medcl.contrast.losses.debiased import debiased
from medcl.contrast.losses.decoupled import decoupled
from medcl.contrast.losses.focal import focal
from medcl.contrast.losses.groco import groco
from medcl.contrast.losses.mochi import NegativeMixing, mochi
from medcl.contrast.losses.siglip import siglip
from medcl.contrast.losses.swav import swav
from medcl.contrast.losses.uniformity import align_uniform, alignment, uniformity
from medcl.contrast.pairings.pairs import itself, same
from medcl.contrast.similarities.similarity import dot
from tests.contrast.cases import Case


def paired(loss: Callable[..., Tensor], **options: Any) -> Callable[..., Tensor]:
    return lambda z1, z2, ids, y, **scale: loss(z1, z2, same(ids), **options, **scale)


def mixed(z1: Tensor, z2: Tensor, ids: Tensor, y: Tensor, **scale: Any) -> Tensor:
    """The same mixing for every sample, so that any process may hold it."""
    first, second = torch.tensor([[0, 1, 2, 1], [1, 2, 0, 0]]).expand(len(z1), 2, 4).unbind(1)
    share = torch.tensor([0.3, 0.8, 0.5, 0.4], dtype=torch.float64).expand(len(z1), 4)
    mixing = NegativeMixing(first, second, share, with_query=2)
    return mochi(z1, z2, same(ids), hardest=3, mixing=mixing, temperature=0.3, **scale)


def crops(z1: Tensor, z2: Tensor, ids: Tensor, y: Tensor, **scale: Any) -> Tensor:
    """With the axes as prototypes."""
    scores = [F.normalize(z, dim=1) for z in (accurate(z1), accurate(z2), accurate(z1) + accurate(z2))]
    return swav(scores, group=block_and_group(**scale)[1])


CASES = [
    Case("decoupled", paired(decoupled, temperature=0.3)),
    Case(
        "decoupled, among views, weighed",
        lambda z1, z2, ids, y, **scale: decoupled(
            torch.stack([z1, z2], 1).flatten(0, 1),
            torch.stack([z1, z2], 1).flatten(0, 1),
            same(ids.repeat_interleave(2)).without(itself(ids.repeat_interleave(2))),
            sigma=0.5,
            **scale,
        ),
    ),
    Case("siglip", paired(siglip)),
    Case(
        "siglip, one temperature and bias an anchor, dot",
        lambda z1, z2, ids, y, **scale: siglip(
            z1,
            z2,
            same(ids),
            temperature=1 + accurate(z1).square().sum(1),
            bias=-accurate(z1).square().mean(1),
            similarity=dot,
            **scale,
        ),
    ),
    Case("debiased", paired(debiased)),
    Case("debiased, hard negatives", paired(debiased, beta=1.5, tau_plus=0.05, temperature=0.2)),
    Case("mochi", mixed, differentiated=False),
    Case("focal", paired(focal, temperature=0.5)),
    Case("focal, gamma below 1", paired(focal, gamma=0.5)),
    Case("alignment", paired(alignment)),
    Case("alignment, distances", paired(alignment, alpha=1.0)),
    Case(
        "uniformity, of two",
        lambda z1, z2, ids, y, **scale: uniformity(z1, **scale) + uniformity(z1, z2, same(ids), t=1.0, **scale),
    ),
    Case("align_uniform", paired(align_uniform)),
    Case("clip_without_gap", paired(clip_without_gap)),
    Case("cacr", paired(cacr, attraction=2.0)),
    Case("auc", paired(auc)),
    Case("auc, squared hinge", paired(auc, surrogate="squared_hinge", positives=2, temperature=0.7)),
    Case("auc, over the batch", paired(auc, over="batch", temperature=0.5)),
    Case("groco", paired(groco, temperature=0.5)),
    Case("groco, few", paired(groco, positives=2, negatives=3, temperature=0.1)),
    Case("swav", crops, differentiated=False),
]
