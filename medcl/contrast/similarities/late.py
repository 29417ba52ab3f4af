"""Late interaction: an image and a report are as alike as the words and the regions that they attend to."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from medcl.contrast.core.blockwise import Score, Tensors
from medcl.contrast.similarities.similarity import Similarity
from medcl.errors import UsageError

PART = 2**24
"""Numbers that the attention between regions and words may take at a time."""


def gloria(
    *,
    attention: float = 0.25,
    aggregation: float = 0.2,
    over: Literal["sum", "mean"] = "sum",
    words_first: bool = False,
) -> Similarity:
    """A similarity of images with reports by what each word finds in the image (GLoRIA).

    With unit vectors v_p of the regions of an image and t_q of the words of a report:

        a_qp = exp(t_q . v_p / attention) / sum_p' exp(t_q . v_p' / attention)
        c_q = sum_p a_qp v_p
        sim = aggregation * log sum_q exp(cos(c_q, t_q) / aggregation)

    Huang et al., GLoRIA (ICCV 2021), whose loss is `clip` with it, the weight 0.5, together with `clip` of the global
    embeddings. One finding is one word and few regions of an image: a global embedding loses it, attention does not.
    The lower `aggregation`, the more the best matching word decides; "mean" instead of "sum" takes the logarithm of the
    mean over words, so that long reports are not similar to everything.

    Regions are compared at unit length; the released code takes dot products of whatever length, brings them to 0 to 1
    by a softmax over words first (`words_first`), and does not multiply by `aggregation`: its factor 10 on a logarithm
    with `aggregation` 1/5 is `temperature=0.02` here.

    Args:
        attention: temperature of the weights of regions, above 0.
        aggregation: temperature of the sum over words, above 0.
        over: words, "sum" or "mean".
        words_first: take the softmax over the words of each region before that over regions.

    Returns:
        A similarity of anchors (N, P, D), or ((N, P, D), (N, P) bool, true where there is a region), with candidates
        (M, Q, D), or with their mask. It takes what is masked out for absent; a report without a word and an image
        without a region have similarity 0. The number of regions, padding included, is the same in all processes, and
        so is that of words. For words as anchors, `transposed` of it.

    Raises:
        UsageError: for a temperature that is not above 0, and other choices of `over`.
    """
    if not (attention > 0 and aggregation > 0):
        raise UsageError(f"the temperatures of gloria must be above 0, got {attention} and {aggregation}")
    if over not in ("sum", "mean"):
        raise UsageError(f"gloria takes the sum or the mean over words, got {over!r}")

    def score(anchors: Tensors, candidates: Tensors) -> Tensor:
        regions, has_region, words, has_word = *anchors, *candidates
        products = F.normalize(regions, dim=2) @ words.flatten(0, 1).T
        if words_first:
            per_report = products.view(*regions.shape[:2], *has_word.shape)
            lowest = torch.finfo(products.dtype).min
            products = per_report.masked_fill(has_word == 0, lowest).softmax(dim=3).flatten(2)
        weights = _softmax(products.mT / attention, has_region[:, None])
        found = cosines(weights @ F.normalize(regions, dim=2), words) / aggregation
        count = has_word.sum(dim=1)
        # A report without a word keeps the logarithm finite and is left out after.
        absent = (has_word == 0) & (count > 0)[:, None]
        total = found.masked_fill(absent, -torch.inf).logsumexp(dim=2)
        total = total - count.clamp(min=1).log() if over == "mean" else total
        some = (count > 0) & (has_region.sum(dim=1) > 0)[:, None]
        return torch.where(some, total * aggregation, 0.0)

    return Similarity("gloria", in_parts(score), prepare_dense)


def masked(side: Tensors, what: str) -> Tensors:
    """Dense embeddings with zeros where nothing is, and where something is.

    Args:
        side: (N, P, D), and perhaps (N, P).
        what: as in the error message.

    Returns:
        (N, P, D) and (N, P) of 0 and 1.

    Raises:
        UsageError: for other shapes.
    """
    if len(side) > 2 or side[0].ndim != 3 or any(mask.shape != side[0].shape[:2] for mask in side[1:]):
        shapes = ", ".join(str(tuple(x.shape)) for x in side)
        raise UsageError(f"{what} must be (batch, number, width), perhaps with a mask (batch, number), got {shapes}")
    mask = side[1].to(side[0].dtype) if len(side) == 2 else torch.ones_like(side[0][:, :, 0])
    return side[0].masked_fill(mask[:, :, None] == 0, 0.0), mask


def prepare_dense(a: Tensors, b: Tensors) -> tuple[Tensors, Tensors]:
    """Regions with their mask, and words at unit length with theirs.

    Raises:
        UsageError: for shapes that do not fit.
    """
    (regions, has_region), (words, has_word) = masked(a, "regions"), masked(b, "words")
    if regions.shape[2] != words.shape[2]:
        raise UsageError(f"regions and words must be of one width, got {regions.shape[2]} and {words.shape[2]}")
    return (regions, has_region), (F.normalize(words, dim=2), has_word)


def _softmax(logits: Tensor, present: Tensor) -> Tensor:
    return logits.masked_fill(present == 0, torch.finfo(logits.dtype).min).softmax(dim=-1)


def cosines(found: Tensor, words: Tensor) -> Tensor:
    """Cosines of the words (M, Q, D), of length 1, with what each found in each image (n, M Q, D): (n, M, Q)."""
    return (F.normalize(found, dim=2).view(len(found), *words.shape) * words).sum(dim=3)


def in_parts(score: Score) -> Score:
    """Score a few reports at a time, and recompute their attention for the derivative.

    A block of anchors is chosen for its similarities, and attention takes thousands of numbers for each.
    """

    def parts_of(anchors: Tensors, candidates: Tensors) -> Tensor:
        (images, regions, width), (reports, words, _) = anchors[0].shape, candidates[0].shape
        step = max(1, PART // (max(images, 1) * words * (regions + width)))
        if torch.compiler.is_compiling() or step >= reports:
            return score(anchors, candidates)
        parts = [tuple(x[start : start + step] for x in candidates) for start in range(0, reports, step)]
        scores = [checkpoint(score, anchors, part, use_reentrant=False, preserve_rng_state=False) for part in parts]
        return torch.cat(scores, dim=1)

    return parts_of


def sparc(*, threshold: float | None = None) -> Similarity:
    """A similarity of images with reports by the few regions that belong to each word.

    With v_p the P regions of an image and t_q the unit vectors of the words of a report:

        s_qp = (t_q . v_p - min_p' t_q . v_p') / (max_p' t_q . v_p' - min_p' t_q . v_p')
        a_qp = s_qp [s_qp >= threshold] / sum_p' s_qp' [s_qp' >= threshold]
        c_q = sum_p a_qp v_p
        sim = mean_q cos(c_q, t_q)

    The weights are those of Bica et al., Improving fine-grained understanding in image-text pre-training (ICML 2024).
    They need no temperature, and leave regions without the word out, as most of an X-ray has nothing to do with it.
    The paper contrasts c_q with the words of the same report (`word_alignment`); as a similarity of images with reports
    this is for `clip` and for retrieval.

    Args:
        threshold: from 0 to 1; default: 1 / P, of the regions that are there.

    Returns:
        A similarity that takes what that of `gloria` takes. Where all products of a word are equal, all regions weigh
        the same.

    Raises:
        UsageError: for a threshold outside 0 to 1.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise UsageError(f"the threshold of sparc must be from 0 to 1, got {threshold}")

    def score(anchors: Tensors, candidates: Tensors) -> Tensor:
        regions, has_region, words, has_word = *anchors, *candidates
        found = cosines(attended(regions, has_region, words.flatten(0, 1), threshold), words)
        return (found * has_word).sum(dim=2) / has_word.sum(dim=1).clamp(min=1)

    return Similarity("sparc", in_parts(score), prepare_dense)


def attended(regions: Tensor, present: Tensor, words: Tensor, threshold: float | None) -> Tensor:
    """c_q of regions (N, P, D), some of them absent (N, P), for words (Q, D) or (N, Q, D): (N, Q, D)."""
    # Neither weights nor cosines depend on the length that all regions have in common.
    longest = regions.detach().norm(dim=2).amax(dim=1)[:, None, None]
    regions = regions / torch.where(longest > 0, longest, 1.0)
    products = words @ regions.mT
    absent = (present == 0)[:, None]
    low = products.masked_fill(absent, torch.inf).amin(dim=2, keepdim=True)
    high = products.masked_fill(absent, -torch.inf).amax(dim=2, keepdim=True)
    # Differences of rounding would decide.
    flat = ~(high - low > 4 * torch.finfo(products.dtype).eps)
    scaled = torch.where(flat, 1.0, (products - torch.where(flat, 0.0, low)) / torch.where(flat, 1.0, high - low))
    least = 1 / present.sum(dim=1).clamp(min=1)[:, None, None] if threshold is None else threshold
    kept = torch.where((scaled >= least) & ~absent, scaled, 0.0)
    return kept / kept.sum(dim=2, keepdim=True).clamp(min=torch.finfo(kept.dtype).tiny) @ regions
