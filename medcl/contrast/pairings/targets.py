"""Pairings from targets: age, ejection fraction, position of a slice, labels in common; and targets smoothed."""

from dataclasses import replace

import torch
from torch import Tensor

from medcl.contrast.core.blockwise import Tensors, accurate
from medcl.contrast.pairings.pairs import Pairing, PairMasks
from medcl.errors import UsageError


def near(y_a: Tensor, y_b: Tensor | None = None, *, within: float) -> Pairing:
    """Positive when |y_a - y_b| < within.

    With the position of a slice, from 0 at one end of the volume to 1 at the other, this is PCL (Zeng et al.,
    Positional Contrastive Learning for Volumetric Medical Image Segmentation, MICCAI 2021):
    `info_nce(z, z, near(position, within=0.35).without(itself(z)))`; 0.35 for the heart in ACDC, 0.1 in CHD.

    A target that is not known (NaN) is near nothing. Its sample stays a negative of the others, like a sample whose
    partner is missing; `.without(unknown(y))` leaves it out altogether.

    Args:
        y_a: (N,) targets of the anchors.
        y_b: (M,) those of the candidates; default: the same ones.
        within: above 0, in the unit of the targets.

    Returns:
        The pairing, of yes and no.

    Raises:
        UsageError: when targets are not vectors or `within` is not above 0.

    Example:
        >>> import torch
        >>> from medcl.contrast import near
        >>> age = torch.tensor([40.0, 43.0, 60.0])
        >>> near(age, within=5.0).pairs().positive.int()
        tensor([[1, 1, 0],
                [1, 1, 0],
                [0, 0, 1]], dtype=torch.int32)
    """
    if not within > 0:
        raise UsageError(f"targets are near within more than 0, got {within}")
    y_a, y_b = _both(y_a, y_b)

    def rule(anchors: Tensors, candidates: Tensors) -> PairMasks:
        return PairMasks(gap(anchors[0], candidates[0]).abs() < within)

    return Pairing(rule, (y_a,), (y_b,))


def unknown(y_a: Tensor, y_b: Tensor | None = None) -> Pairing:
    """Pairs of which one target or both are not known (NaN).

    To leave them out, and yet keep the two views of a sample together:
    `near(y, within=5).without(unknown(y).but(same(sample))) | same(sample)`.

    Args:
        y_a: (N,) targets of the anchors.
        y_b: (M,) those of the candidates; default: the same ones.

    Returns:
        The pairing, of yes and no.

    Raises:
        UsageError: when targets are not vectors.
    """
    y_a, y_b = _both(y_a, y_b)
    return Pairing(lambda a, c: PairMasks(gap(a[0], c[0]).isnan()), (y_a,), (y_b,))


def kernel(y_a: Tensor, y_b: Tensor | None = None, *, bandwidth: float | Tensor) -> Pairing:
    """Positive by the weight exp(-||(y_a - y_b) / bandwidth||^2 / 2).

    With `info_nce` this is y-aware InfoNCE (Dufumier et al., Contrastive Learning with Continuous Proxy Meta-Data for
    3D MRI Classification, MICCAI 2021), in which ages that differ by one bandwidth attract each other 0.6 times as much
    as equal ones. The paper divides the denominator by the number of candidates, a constant that is left out here.

    A target that is not known (NaN in any component) has weight 0 with everything, and stays a negative.

    Args:
        y_a: (N,) or, for several targets, (N, K) targets of the anchors.
        y_b: (M,) or (M, K) those of the candidates; default: the same ones.
        bandwidth: above 0, in the unit of the targets; a tensor (K,) gives each target its own.

    Returns:
        The pairing, of weights.

    Raises:
        UsageError: when shapes do not fit or a number is not above 0.

    Example:
        >>> import torch
        >>> from medcl.contrast import kernel
        >>> age = torch.tensor([40.0, 45.0, 60.0])
        >>> kernel(age, bandwidth=5.0).pairs().positive.round(decimals=2)
        tensor([[1.0000, 0.6100, 0.0000],
                [0.6100, 1.0000, 0.0100],
                [0.0000, 0.0100, 1.0000]])
    """
    if not isinstance(bandwidth, Tensor) and not bandwidth > 0:
        raise UsageError(f"a bandwidth must be above 0, got {bandwidth}")
    y_b = y_a if y_b is None else y_b
    if y_a.ndim not in (1, 2) or y_a.shape[1:] != y_b.shape[1:]:
        raise UsageError(f"targets must be (N,) and (M,) or (N, K) and (M, K), got {y_a.shape} and {y_b.shape}")
    scaled = tuple(accurate(y if y.ndim == 2 else y[:, None]).detach() / bandwidth for y in (y_a, y_b))

    def rule(anchors: Tensors, candidates: Tensors) -> PairMasks:
        # Squared differences one by one: from products they cancel where the targets are large and alike.
        distance = torch.cdist(anchors[0], candidates[0], compute_mode="donot_use_mm_for_euclid_dist")
        return PairMasks(distance.square().div(-2).exp().nan_to_num(0.0))

    return Pairing(rule, scaled[:1], scaled[1:], soft=True)


def overlap(labels_a: Tensor, labels_b: Tensor | None = None) -> Pairing:
    """Positive by the share of labels in common: |A and B| / |A or B| (Jaccard, 1901).

    Of a sample without a label nothing is known: its pairs are left out.

    Args:
        labels_a: (N, K) bool, which labels the anchors have.
        labels_b: (M, K) those of the candidates; default: the same ones.

    Returns:
        The pairing, of weights from 0 to 1.

    Raises:
        UsageError: when labels are not bool or shapes do not fit.

    Example:
        >>> import torch
        >>> from medcl.contrast import overlap
        >>> labels = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 1]]).bool()
        >>> overlap(labels).pairs().positive
        tensor([[1.0000, 0.5000, 0.0000],
                [0.5000, 1.0000, 0.0000],
                [0.0000, 0.0000, 1.0000]])
    """
    labels_b = labels_a if labels_b is None else labels_b
    both = labels_a, labels_b
    if any(one.ndim != 2 or one.dtype != torch.bool for one in both) or labels_a.shape[1] != labels_b.shape[1]:
        raise UsageError(f"labels must be bool of shape (N, K) and (M, K), got {labels_a.shape} and {labels_b.shape}")

    def rule(anchors: Tensors, candidates: Tensors) -> PairMasks:
        a, b = anchors[0].float(), candidates[0].float()
        shared, of_a, of_b = a @ b.T, a.sum(dim=1)[:, None], b.sum(dim=1)[None]
        return PairMasks(shared / (of_a + of_b - shared).clamp(min=1), (of_a > 0) & (of_b > 0))

    return Pairing(rule, (labels_a,), (labels_b,), soft=True)


def magnified(pairing: Pairing, y_a: Tensor, y_b: Tensor | None = None) -> Pairing:
    """Negatives weigh |y_a - y_b| + 1 in the denominator: the farther the target, the harder it pushes.

    The distance magnifying of SupReMix (Wu et al., Mixup Your Own Pairs, 2023). The weight depends on the unit of the
    targets. Positives, and pairs of which a target is not known (NaN), weigh 1.

    Args:
        pairing: of yes and no; what it weighs already is multiplied.
        y_a: (N,) targets of the anchors.
        y_b: (M,) those of the candidates; default: the same ones.

    Returns:
        The same pairs, with importance.

    Raises:
        UsageError: for a pairing of weights, which has no negatives, and when shapes do not fit.
    """
    if pairing.soft:
        raise UsageError("only negatives are magnified, and a pairing of weights does not say which those are")
    y_a, y_b = _both(y_a, y_b)
    if pairing.shape != (len(y_a), len(y_b)):
        raise UsageError(f"a pairing of {pairing.shape} cannot take {len(y_a)} and {len(y_b)} targets")

    def rule(anchors: Tensors, candidates: Tensors) -> PairMasks:
        pairs = pairing.rule(anchors[:-1], candidates[:-1])
        distance = gap(anchors[-1], candidates[-1]).abs()
        weight = torch.where(pairs.positive | distance.isnan(), 1.0, distance + 1)
        return replace(pairs, importance=weight if pairs.importance is None else weight * pairs.importance)

    return Pairing(rule, (*pairing.anchors, y_a), (*pairing.candidates, y_b), local=pairing.local)


def smoothed(pairing: Pairing, share: float) -> Pairing:
    """Label smoothing: positives share 1 - share of an anchor's target, all its candidates together the rest.

    With w_ip the weight of a positive, W_i their sum and C(i) the candidates of the anchor, its positives among them, a
    candidate weighs (1 - share) w_ij / W_i + share / |C(i)|: InfoNCE of it is the cross-entropy with smoothed labels
    (Szegedy et al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016). An anchor without a positive
    has no target.

    Args:
        pairing: of yes and no, or of weights.
        share: from 0 to below 1; 0 leaves the pairing as it is.

    Returns:
        The pairing, of weights that add up to 1; the other direction of it is not smoothed over its own candidates.

    Raises:
        UsageError: for a share outside its range.
    """
    if not 0 <= share < 1:
        raise UsageError(f"smoothing must be from 0 to below 1, got {share:g}")
    if not share:
        return pairing

    def rule(anchors: Tensors, candidates: Tensors) -> PairMasks:
        pairs = pairing.rule(anchors, candidates)
        weight = pairs.positive.float()
        among = torch.ones_like(weight) if pairs.candidate is None else pairs.candidate.float()
        total, number = (one.sum(dim=1, keepdim=True) for one in (weight, among))
        target = (1 - share) * weight / torch.where(total > 0, total, 1.0) + share * among / number.clamp(min=1)
        return replace(pairs, positive=target.masked_fill(total == 0, 0.0))

    return replace(pairing, rule=rule, soft=True, groups=None)


def gap(y_a: Tensor, y_b: Tensor) -> Tensor:
    """(n,) and (M,) to the differences y_b - y_a, (n, M)."""
    return y_b[None, :] - y_a[:, None]


def vector(y: Tensor) -> Tensor:
    """Targets (N,) in at least float32, without derivative.

    Raises:
        UsageError: when they are not a vector.
    """
    if y.ndim != 1:
        raise UsageError(f"targets must be of shape (batch,), got {tuple(y.shape)}")
    return accurate(y.detach())


def _both(y_a: Tensor, y_b: Tensor | None) -> tuple[Tensor, Tensor]:
    y_a = vector(y_a)
    return y_a, y_a if y_b is None else vector(y_b)
