"""SepCLR: what patients and controls have in common, apart from what only patients have."""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.anchors import Scale
from medcl.contrast.core.vectors import accurate, no_autocast
from medcl.contrast.similarities.entropy import align, joint_entropy, uniform
from medcl.errors import UsageError


def sepclr(
    common: Sequence[Tensor],
    salient: Sequence[Tensor],
    target: Tensor,
    *,
    salient_weight: float = 1.0,
    background_weight: float = 10.0,
    information_weight: float = 10.0,
    temperature: float = 0.5,
    **scale: Unpack[Scale],
) -> Tensor:
    """Separate what only the target set varies in from what it shares with a background set.

    Of two views each, c on the unit sphere and s as it is, s' = s in targets and the null vector in the background:

        align(c_1, c_2) + 2 uniform(c)
        + salient_weight (align(s_1, s_2 | target) + 2 uniform(s'))
        + background_weight align(s, 0 | background)
        + information_weight joint_entropy(c, s')

    where terms of one view are the mean over both. SepCLR with k-JEM (Louiset et al., Separating common from salient
    patterns with Contrastive Representation Learning, ICLR 2024): with controls as background and patients as target,
    a probe for the disease's subtypes should find them in s and not in c, and age and scanner in c. The temperature is
    the width of all kernels: salient embeddings, which are free to grow, are told apart beyond it. The paper weighs
    1, 10, 10 on CheXpert and 100 for the background of ODIR.

    Args:
        common: the two views (N, C) by the common encoder.
        salient: the two views (N, S) by the salient encoder.
        target: (N,) bool: true in the target set, false in the background.
        salient_weight: see above.
        background_weight: see above.
        information_weight: see above.
        temperature: t, above 0.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar.

    Raises:
        UsageError: when there are not two views each, when shapes do not fit, or when `target` is not bool.
    """
    if len(common) != 2 or len(salient) != 2:
        raise UsageError(f"two views of each encoder are needed, got {len(common)} and {len(salient)}")
    if target.dtype != torch.bool or target.shape != common[0].shape[:1]:
        raise UsageError(f"target must be bool of shape ({len(common[0])},), got {target.dtype} {tuple(target.shape)}")
    t, group = temperature, scale.get("group")
    with no_autocast(common[0]):
        (c1, c2), (s1, s2) = [F.normalize(accurate(c), dim=1) for c in common], [accurate(s) for s in salient]
        kept1, kept2 = (torch.where(target[:, None], s, 0.0) for s in (s1, s2))
        shared = align(c1, c2, temperature=t, group=group)
        own = align(s1, s2, target, temperature=t, group=group)
        null = sum(align(s, None, ~target, temperature=t, group=group) for s in (s1, s2)) / 2
        spread = sum(uniform(c, temperature=t, **scale) for c in (c1, c2))
        own_spread = sum(uniform(s, temperature=t, **scale) for s in (kept1, kept2))
        both = ((c1, kept1), (c2, kept2))
        information = sum(joint_entropy(c, s, temperature=t, **scale) for c, s in both) / 2
    own = salient_weight * (own + own_spread)
    return shared + spread + own + background_weight * null + information_weight * information
