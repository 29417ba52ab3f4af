"""Contrast of what two modalities retrieve from each other, the positive left out of the denominator (CLOOB)."""

from typing import Unpack

import torch
from torch import Tensor

from medcl.contrast.core.anchors import Scale, counted, logsumexp_where, mean_over_anchors, over_anchors
from medcl.contrast.core.blockwise import Tensors, accurate, by_rows, no_autocast, unit
from medcl.contrast.core.gather import gather
from medcl.contrast.losses.clip import both_directions
from medcl.contrast.pairings.pairs import Pairing, PairMasks
from medcl.contrast.similarities.similarity import Embeddings, Similarity, cosine, inner_product, same_length
from medcl.errors import UsageError


def info_loob(
    a: Embeddings,
    b: Embeddings,
    pairing: Pairing | Tensor,
    *,
    temperature: float | Tensor = 1 / 14.3,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """InfoNCE with the positives left out of the denominator, times the temperature.

    With s_ij = sim(a_i, b_j) / temperature, P(i) the positives of anchor i and N(i) its negatives:

        l(i) = temperature ( log sum_{n in N} exp(s_in) - mean_{p in P} s_ip )

    The loss is the mean of l over the anchors with a positive and a negative (Poole et al., 2019; Fuerst et al., CLOOB,
    NeurIPS 2022). InfoNCE stops pulling a pair together once it is more alike than all negatives; this one does not,
    so that it has a gradient with few negatives, and no bound below. The factor, of the authors' code, keeps the
    gradient of the positive at one size whatever the temperature. With much alike negatives, as slices of one organ,
    take a temperature above 0.07: below, the one nearest negative is all that counts.

    Args:
        a: (N, D) anchors, or what the similarity takes.
        b: (M, D) candidates.
        pairing: who is positive, yes or no or weighted; a tensor (N, M) stands for `matrix`.
        temperature: above 0; a scalar tensor may be learned, (N,) gives every anchor its own.
        similarity: of embeddings.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar; 0 with a gradient of 0 if no anchor has both.

    Raises:
        UsageError: when shapes do not fit or the temperature is not above 0.
    """

    def formula(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
        weights = pairs.positive.to(scores.dtype)
        negative = weights == 0
        weighed = scores if pairs.importance is None else scores + pairs.importance.log()
        against = logsumexp_where(weighed, negative if pairs.candidate is None else negative & pairs.candidate)
        total = weights.sum(dim=1)
        pulled = (weights * scores).sum(dim=1) / torch.where(total > 0, total, 1.0)
        return counted(against - pulled, (total > 0) & (against > -torch.inf))

    lines = over_anchors(formula, a, b, pairing, similarity=similarity, temperature=temperature, **scale)
    factor = temperature.to(lines.dtype).reshape(-1, 1) if isinstance(temperature, Tensor) else temperature
    return mean_over_anchors(torch.cat([lines[:, :1] * factor, lines[:, 1:]], dim=1), scale.get("group"))


def hopfield(state: Tensor, stored: Tensor, *, beta: float | Tensor = 14.3, block: int | None = None) -> Tensor:
    """What a modern Hopfield network retrieves: the average of the stored patterns that are like the state.

        retrieved = sum_j softmax_j(beta state . stored_j) stored_j, brought to unit length

    State and patterns are brought to unit length first (Ramsauer et al., ICLR 2021; as used by CLOOB). What is common
    to many patterns remains in the average, what one of them has alone does not.

    Args:
        state: (N, D).
        stored: (M, D).
        beta: above 0; the larger, the fewer patterns are averaged: the nearest for large ones, all for small ones.
        block: states at a time, see `Scale`.

    Returns:
        (N, D).

    Raises:
        UsageError: when shapes do not fit or beta is not above 0.
    """
    if not isinstance(beta, Tensor) and not beta > 0:
        raise UsageError(f"beta must be above 0, got {beta}")
    with no_autocast(state):
        state, stored = (unit(accurate(x).flatten(1)) for x in (state, stored))
        same_length(state, stored)

        def formula(scores: Tensor, rows: Tensors, shared: Tensors) -> Tensor:
            return scores.softmax(dim=1) @ shared[0]

        found = by_rows(inner_product, formula, (state * beta,), (stored,), (), (stored,), inner=True, block=block)
        return unit(found)


def cloob(
    a: Tensor,
    b: Tensor,
    pairing: Pairing | Tensor,
    *,
    temperature: float | Tensor = 1 / 14.3,
    beta: float | Tensor = 14.3,
    **scale: Unpack[Scale],
) -> Tensor:
    """Contrast images with texts by what both retrieve from the images, and by what both retrieve from the texts.

    With H(state, stored) the retrieval of `hopfield` from the batch:

        L = InfoLOOB(H(a, A), H(b, A)) + InfoLOOB(H(b, B), H(a, B))

    (Fuerst et al., CLOOB, NeurIPS 2022.) Retrieval replaces an embedding by what co-occurs in the batch: findings that
    come together support each other, and a single image's peculiarity, which a report never mentions, has no say. It
    needs a batch that is large compared with the number of things to be distinguished.

    Temperature and beta are the defaults of the authors' code. InfoLOOB has no bound below, so that a learned
    temperature need not settle by itself.

    Args:
        a: (N, D) images.
        b: (M, D) texts.
        pairing: of a with b.
        temperature: above 0, one number.
        beta: of the retrieval, see `hopfield`.
        **scale: `block` and `group`, see `Scale`; with a group the patterns of all processes are stored.

    Returns:
        Scalar, a sum of two means as in the paper; see `info_loob`.

    Raises:
        UsageError: when shapes do not fit, and for more than one temperature.
    """
    pairing = both_directions(pairing, temperature)
    block, group = scale.get("block"), scale.get("group")
    images, texts = gather(accurate(a), group), gather(accurate(b), group)
    by_image = [hopfield(state, images, beta=beta, block=block) for state in (a, b)]
    by_text = [hopfield(state, texts, beta=beta, block=block) for state in (b, a)]
    return info_loob(by_image[0], by_image[1], pairing, temperature=temperature, **scale) + info_loob(
        by_text[0], by_text[1], pairing.T, temperature=temperature, **scale
    )
