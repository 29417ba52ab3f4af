"""Contrast of tuples of three and more modalities (Symile)."""

from collections.abc import Sequence
from typing import Literal, Unpack, get_args

import torch
from torch import Tensor

from medcl.contrast.core.anchors import (
    Scale,
    block_and_group,
    counted,
    logsumexp_where,
    mean_over_anchors,
    over_anchors,
)
from medcl.contrast.core.blockwise import Tensors, accurate, no_autocast, rows_at_once, unit
from medcl.contrast.core.gather import gather
from medcl.contrast.pairings.pairs import Pairing, PairMasks, itself
from medcl.contrast.similarities.multimodal import combinations, own_combination, own_place, product
from medcl.errors import UsageError

Negatives = Literal["permuted", "all"]


def symile(
    modalities: Sequence[Tensor],
    *,
    temperature: float | Tensor = 0.07,
    negatives: Negatives = "permuted",
    permutations: Tensor | None = None,
    generator: torch.Generator | None = None,
    present: Tensor | None = None,
    **scale: Unpack[Scale],
) -> Tensor:
    """Contrast the tuple of a sample's modalities with tuples of which all but one are exchanged.

    With unit vectors x_mi of modality m and sample i, and MIP(u, v, w, ...) = sum_d u_d v_d w_d ..., the loss of
    modality m as anchor is

        l_m(i) = -log( exp(MIP(x_1i, x_2i, ..., x_Mi) / t) / sum over tuples T of exp(MIP(x_mi, T) / t) )

    and the loss is the mean over the M anchors and all samples (Saporta et al., Contrasting with Symile, NeurIPS 2024).
    The tuples T of the other modalities are the sample's own one and, for "permuted", for every other sample j that of
    independently shuffled modalities at place j: N an anchor, among which the own tuple may recur by chance; for "all",
    every combination of samples: N^(M-1), exact, and for few modalities. With two modalities "all" is CLIP.

    Pairwise losses see no more than what two modalities share; this one also sees what only three together tell, such
    as a diagnosis that needs the ECG, the X-ray and the laboratory values. A sample without all of its modalities gives
    no positive tuple, and no negative one that would need what is missing; the released experiments embed a placeholder
    for it instead.

    A product of M unit vectors of D numbers is about D^((1 - M) / 2) where they are unrelated, far less than a cosine:
    learn the temperature, and let it fall further than with cosines.

    Args:
        modalities: two or more (N, D), sample i in row i of each.
        temperature: above 0; a scalar tensor may be learned, (N,) gives every sample its own.
        negatives: "permuted" or "all".
        permutations: (M, M - 1, samples of all processes) from `draw_permutations`, to replay a loss; default: drawn.
        generator: to draw them with; processes may draw different ones.
        present: (N, M) bool, what each sample has; default: everything. What is missing may be any number.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar; 0 with a gradient of 0 if no sample has all modalities.

    Raises:
        UsageError: for fewer than two modalities, other negatives, and shapes that do not fit.

    Example:
        >>> import torch
        >>> from medcl.contrast import symile
        >>> image = ecg = labs = torch.eye(4)
        >>> round(symile([image, ecg, labs], negatives="all", temperature=0.5).item(), 3)
        1.109
    """
    if negatives not in get_args(Negatives):
        raise UsageError(f"symile knows the negatives {', '.join(get_args(Negatives))}, got {negatives!r}")
    present = _checked(modalities, present)
    block, group = block_and_group(**scale)
    with no_autocast(present):
        units = [
            unit(accurate(x).flatten(1).masked_fill(~has[:, None], 0.0))
            for x, has in zip(modalities, present.unbind(1), strict=True)
        ]
        pool = [gather(x, group) for x in units]
        total = torch.stack(units).prod(dim=0).sum(dim=1)
        total = total / (temperature.reshape(-1) if isinstance(temperature, Tensor) else temperature)
    places = itself(present).anchors[0]
    all_places, available = gather(places, group), gather(present.to(torch.uint8), group).bool()
    own, (samples, width) = (places, present.all(dim=1)), pool[0].shape
    if negatives == "permuted":
        if permutations is None:
            permutations = draw_permutations(len(units), samples, generator, present.device)
        if permutations.shape != (len(units), len(units) - 1, samples):
            raise UsageError(f"permutations must be from draw_permutations, got {tuple(permutations.shape)}")
    elif block is None and not torch.compiler.is_compiling():
        block = rows_at_once(samples ** (len(units) - 2) * max(samples, width), present.device)
    losses = []
    for m, anchors in enumerate(units):
        others = [k for k in range(len(units)) if k != m]
        if negatives == "permuted" and permutations is not None:
            orders = permutations[m].unbind(0)
            candidates = [pool[k][order] for k, order in zip(others, orders, strict=True)]
            complete = torch.stack([available[order, k] for k, order in zip(others, orders, strict=True)]).all(dim=0)
            pairing, similarity = Pairing(own_place, own, (all_places, complete)), product
        else:
            candidates = [pool[k] for k in others]
            pairing, similarity = Pairing(own_combination, own, (all_places, available[:, others])), combinations
        lines = over_anchors(
            _lines,
            anchors,
            candidates,
            pairing,
            similarity=similarity,
            temperature=temperature,
            rows=(total,),
            block=block,
        )
        losses.append(mean_over_anchors(lines, group))
    return torch.stack(losses).mean()


def draw_permutations(
    modalities: int, samples: int, generator: torch.Generator | None = None, device: torch.device | None = None
) -> Tensor:
    """Independent random orders of the samples, one for every other modality of every anchor modality.

    Args:
        modalities: M.
        samples: N, of all processes.
        generator: of random numbers.
        device: of the result.

    Returns:
        (M, M - 1, N) int64: the sample at each place; row k is for the k-th of the modalities without the anchor.
    """
    at = device if generator is None else generator.device
    shape = (modalities, modalities - 1, samples)
    return torch.rand(shape, generator=generator, device=at, dtype=torch.float64).argsort(dim=2).to(device)


def _checked(modalities: Sequence[Tensor], present: Tensor | None) -> Tensor:
    """What is present, after a look at the shapes."""
    if len(modalities) < 2 or any(x.shape != modalities[0].shape or x.ndim < 2 for x in modalities):
        shapes = ", ".join(str(tuple(x.shape)) for x in modalities)
        raise UsageError(f"symile takes two or more modalities (N, D) of one shape, got {shapes or 'none'}")
    expected = (len(modalities[0]), len(modalities))
    if present is None:
        return torch.ones(expected, dtype=torch.bool, device=modalities[0].device)
    if present.shape != expected or present.dtype != torch.bool:
        raise UsageError(f"present must be bool {expected}, got {present.dtype} {tuple(present.shape)}")
    return present


def _lines(scores: Tensor, pairs: PairMasks, rows: Tensors) -> Tensor:
    # The own tuple takes its place among the shuffled ones.
    placed = torch.where(pairs.positive, rows[0][:, None], scores)
    return counted(logsumexp_where(placed, pairs.candidate) - rows[0], pairs.positive.any(dim=1))
