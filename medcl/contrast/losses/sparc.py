"""The few regions of an image that belong to each word of its report (SPARC)."""

from typing import Unpack

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.anchors import Scale, above_zero, block_and_group, counted, mean_over_anchors
from medcl.contrast.core.blockwise import Tensors, no_autocast, over_samples
from medcl.contrast.similarities.late import attended, sparc
from medcl.contrast.similarities.similarity import Embeddings
from medcl.errors import UsageError


def word_alignment(
    regions: Embeddings,
    words: Embeddings,
    *,
    temperature: float | Tensor = 0.1,
    threshold: float | None = None,
    **scale: Unpack[Scale],
) -> Tensor:
    """Tell the words of one report apart by the regions of its image: SPARC's fine-grained loss.

    With c_q and t_q as in `sparc`, of the image and the report of one sample, and s_qr = cos(c_q, t_r) / temperature:

        l(i) = 1/2 mean_q [ -log( exp(s_qq) / sum_r exp(s_qr) ) - log( exp(s_qq) / sum_r exp(s_rq) ) ]

    The loss is the mean of l over the samples with a word and a region; the paper adds `clip` of the global embeddings,
    at equal weights. There are no negatives of other samples, so that it works with a batch of a few large images. A
    word that occurs twice in a report is its own negative: mask repetitions and punctuation out.

    Args:
        regions: (N, P, D), or ((N, P, D), (N, P) bool, true where there is a region).
        words: (N, Q, D), or with a mask (N, Q), of the same samples.
        temperature: above 0, one number; a tensor may be learned.
        threshold: as in `sparc`.
        **scale: `block` and `group`, see `Scale`; a block is of samples.

    Returns:
        Scalar.

    Raises:
        UsageError: for a threshold or a temperature outside its range, and shapes that do not fit.
    """
    block, group = block_and_group(**scale)
    if isinstance(temperature, Tensor) and temperature.numel() != 1:
        raise UsageError(f"word_alignment takes one temperature, got {tuple(temperature.shape)}")
    above_zero(temperature)
    with no_autocast(regions if isinstance(regions, Tensor) else regions[0]):
        images, reports = sparc(threshold=threshold).prepared(regions, words)
        if len(images[0]) != len(reports[0]):
            raise UsageError(f"word_alignment takes pairs, got {len(images[0])} images and {len(reports[0])} reports")
        inverse = torch.as_tensor(1 / temperature, dtype=images[0].dtype, device=images[0].device).reshape(1, 1)

        def formula(own: Tensors) -> Tensor:
            patches, has_region, texts, has_word, inverse = own
            found = F.normalize(attended(patches, has_region, texts, threshold), dim=2)
            scores = found @ texts.mT * inverse[:, :, None]
            # The rows of padding keep their own place, so that they stay finite, and are left out after.
            other = (has_word[:, None] * has_word[:, :, None] == 0) & ~torch.eye(
                texts.shape[1], dtype=torch.bool, device=texts.device
            )
            scores = scores.masked_fill(other, -torch.inf)
            losses = (scores.logsumexp(dim=1) + scores.logsumexp(dim=2)) / 2 - scores.diagonal(dim1=1, dim2=2)
            count = has_word.sum(dim=1)
            complete = (count > 0) & (has_region.sum(dim=1) > 0)
            return counted((losses * has_word).sum(dim=1) / count.clamp(min=1), complete)

        tensors = (*images, *reports, inverse.expand(len(images[0]), 1))
        numbers = reports[0].shape[1] * (images[0].shape[1] + reports[0].shape[1] + reports[0].shape[2])
        lines = over_samples(formula, tensors, numbers=numbers, block=block)
    return mean_over_anchors(lines, group)
