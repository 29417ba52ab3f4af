"""Pairings from times to an event, some of them censored."""

import torch
from torch import Tensor

from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.pairings.pairs import Pairing, PairMasks
from medcl.contrast.pairings.targets import gap, vector
from medcl.errors import UsageError


def event_times(
    time_a: Tensor,
    event_a: Tensor,
    sample_a: Tensor,
    time_b: Tensor | None = None,
    event_b: Tensor | None = None,
    sample_b: Tensor | None = None,
    *,
    bandwidth: float,
) -> Pairing:
    """Positive by how near the times of two events are; of who was censored only what is known counts.

    With times T and events d, the weight of a pair is

        exp(-|log T_i - log T_j| / bandwidth)   where both had the event,
        0, a negative                            where one had it and the other was followed for longer without it,

    and all other pairs are left out: of two who were censored, or of one who was censored before the other's event,
    nobody knows whether their times are alike. Views of one sample are positive whatever is known of it.

    This is ours: weights of positives as in y-aware InfoNCE, pairs as in Harrell's C. It is not published.

    Args:
        time_a: (N,) above 0, of the event or of censoring; NaN where it is not known.
        event_a: (N,) 1 where the event was observed, 0 where the sample was censored, below 0 where it is not known.
        sample_a: (N,) ids of the samples of which the anchors are views.
        time_b: (M,) of the candidates; default: the same ones, as the next two.
        event_b: (M,).
        sample_b: (M,).
        bandwidth: above 0: two times of which one is e^bandwidth times the other have the weight 1/e.

    Returns:
        The pairing, of weights.

    Raises:
        UsageError: when shapes do not fit, or the bandwidth is not above 0.

    Example:
        >>> import torch
        >>> from medcl.contrast import event_times
        >>> time, event = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1, 1, 0])
        >>> pairs = event_times(time, event, torch.arange(3), bandwidth=1.0).pairs()
        >>> pairs.positive.round(decimals=2)
        tensor([[1.0000, 0.5000, 0.0000],
                [0.5000, 1.0000, 0.0000],
                [0.0000, 0.0000, 1.0000]])
    """
    if not bandwidth > 0:
        raise UsageError(f"a bandwidth must be above 0, got {bandwidth}")
    sides = (time_a, event_a, sample_a), (time_b, event_b, sample_b)
    second = sides[0] if time_b is None or event_b is None or sample_b is None else (time_b, event_b, sample_b)
    anchors, candidates = (_checked(*one) for one in (sides[0], second))

    def rule(a: Tensors, b: Tensors) -> PairMasks:
        (time, event, sample), (others, other_event, other_sample) = a, b
        distance = gap(time, others)
        own, both = sample[:, None] == other_sample, (event[:, None] == 1) & (other_event == 1)
        # Below 0, or NaN, is not known.
        earlier = (event[:, None] == 1) & (other_event == 0) & (distance >= 0)
        later = (event[:, None] == 0) & (other_event == 1) & (distance <= 0)
        weight = torch.where(both, (-distance.abs() / bandwidth).exp(), 0.0).nan_to_num(0.0)
        known = (both & ~distance.isnan()) | earlier | later
        return PairMasks(torch.where(own, 1.0, weight), known | own)

    return Pairing(rule, anchors, candidates, soft=True)


def _checked(time: Tensor, event: Tensor, sample: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if not time.shape == event.shape == sample.shape:
        raise UsageError(f"times {tuple(time.shape)}, events {tuple(event.shape)} and samples {tuple(sample.shape)}")
    logarithm = vector(time).log()
    return torch.where(logarithm.isfinite(), logarithm, torch.nan), event.to(torch.int64), sample
