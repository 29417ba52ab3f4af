"""CoSENT: pairs that are more alike by their grades are nearer than pairs that are less alike."""

from typing import Unpack

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.anchors import Scale, over_anchors
from medcl.contrast.core.blockwise import Tensors, no_autocast
from medcl.contrast.core.gather import gather
from medcl.contrast.pairings.pairs import Pairing, PairMasks
from medcl.contrast.similarities.similarity import Embeddings, Similarity, cosine


def cosent(
    a: Embeddings,
    b: Embeddings,
    pairing: Pairing | Tensor,
    *,
    temperature: float | Tensor = 0.05,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """Rank the pairs of a batch by their grades.

    With s_p the similarity of pair p over the temperature and y_p its grade, the weight that the pairing gives it,

        L = log(1 + sum over all p and q with y_p < y_q of exp(s_p - s_q))

    CoSENT (Su, 2022), as the sentence-transformers library has it with 1 / temperature = 20. Only the order of the
    grades counts: the overlap of labels (`overlap`), a reader's score as a matrix, nearness of values (`kernel`), or
    yes and no. Pairs of the same grade do not compare with each other, and those that the pairing leaves out with
    none. The temperature decides how many of the inversions matter: the lower, the more the worst one alone.

    Every anchor is compared with every candidate, so that in a batch with itself each pair stands there both ways. All
    pairs are held and sorted, N M of them, in place of (N M)^2 comparisons: for batches of some thousands.

    Args:
        a: (N, D) anchors, or what the similarity takes.
        b: (M, D) candidates.
        pairing: grades of the pairs, of which only the order counts; no derivative is taken.
        temperature: above 0.
        similarity: of embeddings.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar; 0 with a gradient of 0 where all grades are the same.

    Raises:
        UsageError: as in `over_anchors`.
    """

    def formula(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
        grades = pairs.positive.detach().to(scores.dtype)
        # What is left out is above everything, and so below nothing.
        grades = grades if pairs.candidate is None else grades.masked_fill(~pairs.candidate, torch.inf)
        return torch.cat([scores, grades], dim=1)

    lines = over_anchors(formula, a, b, pairing, similarity=similarity, temperature=temperature, **scale)
    with no_autocast(lines):
        scores, grades = (one.flatten() for one in gather(lines, scale.get("group")).chunk(2, dim=1))
        grades, order = grades.detach().sort()
        scores = scores[order]
        lower = torch.searchsorted(grades, grades)
        # Of each pair the log of the sum of exp(s) over those of lower grades.
        sums = F.pad(scores.logcumsumexp(dim=0), (1, 0))[lower]
        terms = torch.where((lower > 0) & grades.isfinite(), sums - scores, -torch.inf)
        # log 1, or not a number where a score is none.
        nothing = 0 * scores.sum()
        return torch.cat([nothing[None], terms]).logsumexp(dim=0)
