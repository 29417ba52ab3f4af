"""Losses of more than two views, not one for each pair of them (MV-InfoNCE, MV-DHEL, Poly-View)."""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.anchors import Scale, counted, logsumexp_where, mean_over_anchors, over_anchors
from medcl.contrast.core.blockwise import Tensors, accurate, no_autocast
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import PairMasks, itself
from medcl.contrast.similarities.similarity import cosine
from medcl.errors import UsageError


def mv_infonce(
    views: Tensor | Sequence[Tensor], *, temperature: float | Tensor = 0.2, **scale: Unpack[Scale]
) -> Tensor:
    """Contrast all views of a sample with all views of all samples, in one fraction.

    With u_il the unit vector of view l of sample i and t the temperature:

        L = -mean_i log( 2 sum_{l < m} exp(u_il . u_im / t) / sum_l sum_{(j, m) != (i, l)} exp(u_il . u_jm / t) )

    (Koromilas et al., A Principled Framework for Multi-View Contrastive Learning, 2025). The numerator is part of the
    denominator, so that the loss is not negative. With two views it is close to, but not, NT-Xent, which takes the
    logarithm for each view. For recordings cut into several windows, slices of one volume or several augmentations,
    where averaging the losses of all pairs of views lets these pull against each other.

    The temperature is that of the authors' code; 0.5 was theirs for few classes, 0.1 for many.

    Args:
        views: K of (N, D), or (K, N, D): sample i in row i of each.
        temperature: above 0, one number; a tensor may be learned.
        **scale: `block`, of views, and `group`, see `Scale`.

    Returns:
        Scalar; 0 for a single sample.

    Raises:
        UsageError: for fewer than two views, shapes that do not fit, and more than one temperature.

    Example:
        >>> import torch
        >>> from medcl.contrast import mv_infonce
        >>> views = torch.eye(4).expand(3, 4, 4)  # three equal views of four samples
        >>> round(mv_infonce(views).item(), 3)
        0.03
    """
    units, attraction = _views(views, temperature)
    every = units.flatten(0, 1)
    below = _others(every, temperature, scale).view(units.shape[:2]).logsumexp(dim=0)
    return _mean(below - attraction, torch.ones_like(below, dtype=torch.bool), scale)


def mv_dhel(views: Tensor | Sequence[Tensor], *, temperature: float | Tensor = 0.2, **scale: Unpack[Scale]) -> Tensor:
    """Draw the views of a sample together, and the samples apart within each view: two things that do not mix.

    With u_il and t as in `mv_infonce`:

        L = -mean_i log( sum_{l < m} exp(u_il . u_im / t) / prod_l sum_{j != i} exp(u_il . u_jl / t) )

    (Koromilas et al., 2025, as in their code; for two views DHEL, Koromilas et al., ICML 2024). Views are not
    contrasted with other views of other samples, so that modalities, which differ from each other whatever they show,
    can be views. The loss may be negative. Since the denominators multiply, its uniformity counts K times; with five
    and more views it fills the space of embeddings where pairwise losses collapse.

    Args:
        views: as in `mv_infonce`.
        temperature: as in `mv_infonce`.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar; 0 with a gradient of 0 for a single sample, which has nothing to be apart from.

    Raises:
        UsageError: as in `mv_infonce`.
    """
    units, attraction = _views(views, temperature)
    below = torch.stack([_others(view, temperature, scale) for view in units.unbind(0)]).sum(dim=0)
    some = below != -torch.inf
    return _mean(torch.where(some, below, 0.0) - attraction + torch.log(below.new_tensor(2.0)), some, scale)


def poly_view_statistics(
    views: Tensor | Sequence[Tensor], *, temperature: float | Tensor = 0.1, **scale: Unpack[Scale]
) -> Tensor:
    """Contrast each view of a sample with what its other views have in common, and with that of other samples.

    With u_il the unit vector of view l of sample i, r_il the sum of its other views, brought to length 1, and t the
    temperature:

        L = -mean over i and l of log( exp(u_il . r_il / t) / sum_j exp(u_il . r_jl / t) )

    (Shidani et al., Poly-View Contrastive Learning, ICLR 2024, sufficient statistics; no code is released). Its two
    other forms are `info_nce` of all views with `denominator="own"`: the geometric mean with `log="outside"`, the
    arithmetic one with `log="inside"`.

    Args:
        views: as in `mv_infonce`.
        temperature: as in `mv_infonce`.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar; 0 for a single sample.

    Raises:
        UsageError: as in `mv_infonce`.
    """
    units, _ = _views(views, temperature)
    rests = units.sum(dim=0) - units
    losses = [
        info_nce(one, rest, itself(one), temperature=temperature, **scale)
        for one, rest in zip(units, rests, strict=True)
    ]
    return torch.stack(losses).mean()


def _views(views: Tensor | Sequence[Tensor], temperature: float | Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors (K, N, D), and the log of the sum over ordered pairs of a sample's views (N,)."""
    views = list(views.unbind(0)) if isinstance(views, Tensor) else list(views)
    if len(views) < 2 or any(view.shape != views[0].shape or view.ndim < 2 for view in views):
        shapes = ", ".join(str(tuple(view.shape)) for view in views)
        raise UsageError(f"two or more views (N, D) of one shape are needed, got {shapes or 'none'}")
    if isinstance(temperature, Tensor) and temperature.numel() != 1:
        raise UsageError(f"a sample of several views takes one temperature, got {tuple(temperature.shape)}")
    with no_autocast(views[0]):
        units = F.normalize(torch.stack([accurate(view).flatten(1) for view in views]), dim=2)
        scores = torch.einsum("lnd,mnd->nlm", units, units) / temperature
        alone = torch.eye(len(units), dtype=torch.bool, device=units.device)
        return units, scores.masked_fill(alone, -torch.inf).flatten(1).logsumexp(dim=1)


def _others(views: Tensor, temperature: float | Tensor, scale: Scale) -> Tensor:
    """For each view, the log of the sum over all others: (N,)."""

    def formula(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
        return logsumexp_where(scores, pairs.candidate)[:, None]

    own = itself(views)
    lines = over_anchors(formula, views, views, own.without(own), similarity=cosine, temperature=temperature, **scale)
    return lines[:, 0]


def _mean(losses: Tensor, counts: Tensor, scale: Scale) -> Tensor:
    return mean_over_anchors(counted(losses, counts), scale.get("group"))
