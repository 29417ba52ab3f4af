"""A yes or no for every pair on its own (SigLIP)."""

from typing import Unpack

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.anchors import Scale, counted, mean_over_anchors, over_anchors, per_anchor
from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.pairings.pairs import Pairing, PairMasks
from medcl.contrast.similarities.similarity import Embeddings, Similarity, cosine


def siglip(
    a: Embeddings,
    b: Embeddings,
    pairing: Pairing | Tensor,
    *,
    temperature: float | Tensor = 0.1,
    bias: float | Tensor = -10.0,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """Classify each pair as belonging together or not, independently of all other pairs.

    With l_ij = sim(a_i, b_j) / temperature + bias and q_ij = 1 for positives, 0 for the other candidates:

        l(i) = sum over candidates j of -q_ij log sigmoid(l_ij) - (1 - q_ij) v_ij log sigmoid(-l_ij)

    with v_ij the importance that the pairing gives a candidate (1 if it gives none). The loss is the mean of l over
    anchors: the sum over all pairs divided by the number of anchors, 1/|B| as in the paper, not by the number of pairs.
    Zhai et al., Sigmoid Loss for Language Image Pre-Training (ICCV 2023).

    Every anchor with a candidate counts, one without a positive too: that its report is missing still tells which
    reports are not its own. Weights of soft pairings are targets q_ij: probabilities from 0 to 1 (a weight above 1
    counts as 1), which makes it a cross-entropy with soft targets; the paper has yes and no.

    There is no softmax over the batch: it works with small batches, with any number of positives, and where a batch
    holds the same report several times; a pair's term does not change with who else is in the batch. The temperature
    scales the logits and no longer chooses among negatives. Learn both: the paper starts at temperature 0.1 (its
    log scale t' at log 10) and bias -10, so that the many negatives do not dominate the first steps; pass
    `temperature=(-log_scale).exp()` and `bias=bias`. The bias that fits grows with the logarithm of the batch.

    Args:
        a: (N, D) anchors, or what the similarity takes.
        b: (M, D) candidates.
        pairing: who is positive, as yes or no or probabilities; a tensor (N, M) stands for `matrix`.
        temperature: above 0; a scalar tensor may be learned, (N,) gives every anchor its own.
        bias: added to all logits; a tensor may be learned, (N,) gives every anchor its own.
        similarity: of embeddings.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar; the gradient of the mean over processes is that of one process with all anchors.

    Raises:
        UsageError: when the bias is neither a scalar nor one an anchor, and as in `over_anchors`.

    Example:
        >>> import torch
        >>> from medcl.contrast import same, siglip
        >>> images, reports = torch.eye(3), torch.eye(3)
        >>> round(siglip(images, reports, same(torch.arange(3)), bias=-5.0).item(), 4)
        0.0201
    """
    first = a if isinstance(a, Tensor) else a[0]
    rows = (per_anchor(bias, first, "bias"),)
    lines = over_anchors(_lines, a, b, pairing, similarity=similarity, temperature=temperature, rows=rows, **scale)
    return mean_over_anchors(lines, scale.get("group"))


def _lines(scores: Tensor, pairs: PairMasks, rows: Tensors) -> Tensor:
    logits = scores + rows[0]
    weight = 1.0 if pairs.importance is None else pairs.importance
    if pairs.positive.dtype == torch.bool:
        terms = F.softplus(torch.where(pairs.positive, -logits, logits))
        terms = terms if pairs.importance is None else terms * torch.where(pairs.positive, 1.0, weight)
    else:
        targets = pairs.positive.to(logits.dtype).clamp(max=1)
        terms = targets * F.softplus(-logits) + (1 - targets) * weight * F.softplus(logits)
    if pairs.candidate is None:
        return counted(terms.sum(dim=1), torch.ones_like(logits[:, 0], dtype=torch.bool))
    return counted(torch.where(pairs.candidate, terms, 0.0).sum(dim=1), pairs.candidate.any(dim=1))
