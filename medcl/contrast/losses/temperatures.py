"""Temperatures that are learned: one for all pairs, or one for every sample of the training set (iSogCLR)."""

import math
from typing import Unpack

import torch
from torch import Tensor, nn

from medcl.contrast.core.anchors import Scale, logsumexp_where, mean_over_anchors, over_anchors
from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.core.gather import gather
from medcl.contrast.pairings.pairs import PairMasks, among_views
from medcl.contrast.similarities.similarity import Similarity, cosine
from medcl.errors import UsageError

CLAMP = 3.0
"""Bound of the derivative with respect to a temperature."""
LOWEST = 0.01
"""Temperature, below which a learned one does not fall: the cap of the released CLIP."""


class Temperature(nn.Module):
    """A temperature that may be learned.

    What is learned is the logarithm of its change, so that weight decay draws it to where it began and not to 1.

    Args:
        initial: value at the start of training.
        learn: whether it is trained.
    """

    def __init__(self, initial: float, learn: bool) -> None:
        super().__init__()
        self.initial = initial
        self.change = nn.Parameter(torch.zeros(())) if learn else None

    def forward(self) -> float | Tensor:
        """The temperature now."""
        return self.initial if self.change is None else (self.initial * self.change.exp()).clamp(min=LOWEST)


class IndividualTemperatures(nn.Module):
    """Contrast of two views in which every sample has its own temperature, and small batches do no harm.

    With s_ij = cos(z_i, z_j), the n negatives j of view i (the views of other samples), the temperature t of its
    sample, and the moving average over the steps in which the sample took part

        g <- (1 - average) g + average mean_j exp(s_ij / t)          (the mean itself at the first time)
        w_ij = exp(s_ij / t) / g

    the derivative of the loss is that of

        sum over both views of a sample: mean_j w_ij s_ij - s_ip     (w fixed, p the other view)

    averaged over samples, which the call returns: its value is not that of an objective. After it, in training mode,

        d = log g + rho - mean_j w_ij s_ij / t,  mean over both views, clamped to [-3, 3]
        u <- (1 - momentum) u + momentum d
        t <- t - rate u, clipped to [lowest, highest]

    and g becomes the mean of those of both views. Qiu et al., Not All Semantics are Created Equal: Contrastive
    Self-supervised Learning with Automatic Temperature Individualization (ICML 2023). For archives in which few
    records show a rare finding and thousands a normal one, when memory allows small batches only: frequent kinds get a
    high temperature, rare ones a low one. The larger `rho`, the lower all temperatures.

    The released code takes the batch's own mean for g in the whole first epoch; here a sample's first time counts,
    which is the same where every sample comes once an epoch. g is kept as a logarithm, so that low temperatures do not
    overflow.

    Attributes:
        temperatures: (n_samples,) t.
        log_averages: (n_samples,) log g; -inf for samples that have not been seen yet.
        momenta: (n_samples,) u.
    """

    temperatures: Tensor
    log_averages: Tensor
    momenta: Tensor

    def __init__(
        self,
        n_samples: int,
        *,
        temperature: float = 0.07,
        lowest: float = 0.05,
        highest: float = 1.0,
        rho: float = 6.0,
        average: float = 0.8,
        momentum: float = 0.9,
        rate: float = 0.001,
    ) -> None:
        """Start every sample at the same temperature.

        Args:
            n_samples: of the training set.
            temperature: at the start.
            lowest: that a temperature can get, above 0.
            highest: that it can get.
            rho: how far the weights w may be from uniform; above 0.
            average: weight of the batch in g, above 0 to 1.
            momentum: weight of the new derivative in u, above 0 to 1.
            rate: step of the temperatures.

        Raises:
            UsageError: when a number is out of its range.
        """
        super().__init__()
        if n_samples < 1 or not 0 < lowest <= temperature <= highest:
            raise UsageError(f"0 < {lowest} <= {temperature} <= {highest} must hold, for 1 sample or more: {n_samples}")
        if not (0 < average <= 1 and 0 < momentum <= 1):
            raise UsageError(f"average and momentum must be above 0 and at most 1, got {average} and {momentum}")
        self.lowest, self.highest, self.rho = lowest, highest, rho
        self.average, self.momentum, self.rate = average, momentum, rate
        self.register_buffer("temperatures", torch.full((n_samples,), float(temperature)))
        self.register_buffer("log_averages", torch.full((n_samples,), -torch.inf))
        self.register_buffer("momenta", torch.zeros(n_samples))

    def forward(
        self, z1: Tensor, z2: Tensor, index: Tensor, *, similarity: Similarity = cosine, **scale: Unpack[Scale]
    ) -> Tensor:
        """The loss of a batch; moves the temperatures of its samples in training mode.

        Args:
            z1: (N, D) first views.
            z2: (N, D) second views.
            index: (N,) int64 rows of the samples in the training set, each once over all processes.
            similarity: of embeddings.
            **scale: `block` and `group`, see `Scale`; all processes of a group keep the same state.

        Returns:
            Scalar.

        Raises:
            TypeError: when the index is not of integers.
            UsageError: when shapes do not fit.
        """
        pairing = among_views(index)
        both, temperatures = torch.cat([z1, z2]), self.temperatures[index]

        def formula(scores: Tensor, pairs: PairMasks, rows: Tensors) -> Tensor:
            return self._lines(scores, pairs, *(row.to(scores.dtype)[:, 0] for row in rows))

        state = (temperatures, self.log_averages[index])
        lines = over_anchors(
            formula,
            both,
            both,
            pairing,
            similarity=similarity,
            temperature=temperatures.repeat(2),
            rows=tuple(x.repeat(2)[:, None] for x in state),
            **scale,
        )
        if self.training:
            self._move(lines.detach()[:, 2:], index, scale)
        # The sum over both views, the mean over samples.
        return 2 * mean_over_anchors(lines[:, :2], scale.get("group"))

    def _lines(self, scores: Tensor, pairs: PairMasks, temperature: Tensor, before: Tensor) -> Tensor:
        """Loss, 1, log g, and d of each view; scores are over the temperature already."""
        negative = ~pairs.positive if pairs.candidate is None else pairs.candidate & ~pairs.positive
        count, fixed = negative.sum(dim=1, dtype=scores.dtype), scores.detach()
        now = logsumexp_where(fixed, negative) - count.clamp(min=1).log()
        old, new = torch.log(torch.tensor([1 - self.average, self.average], dtype=now.dtype, device=now.device))
        log_g = torch.where(before == -torch.inf, now, torch.logaddexp(before + old, now + new))
        known = torch.where(log_g == -torch.inf, 0.0, log_g)
        weights = torch.where(negative, (fixed - known[:, None]).exp(), 0.0) / count.clamp(min=1)[:, None]
        positive = torch.where(pairs.positive, scores, 0.0).sum(dim=1) / pairs.positive.sum(dim=1).clamp(min=1)
        losses = temperature * ((weights * scores).sum(dim=1) - positive)
        slopes = torch.where(count > 0, known + self.rho - (weights * fixed).sum(dim=1), 0.0)
        return torch.stack([losses, torch.ones_like(losses), torch.where(count > 0, log_g, before), slopes], dim=1)

    @torch.no_grad()
    def _move(self, views: Tensor, index: Tensor, scale: Scale) -> None:
        first, second = gather(views.reshape(2, len(index), 2).transpose(0, 1), scale.get("group")).unbind(1)
        index = gather(index, scale.get("group"))
        log_g = torch.logaddexp(first[:, 0], second[:, 0]) - math.log(2)
        slope = ((first[:, 1] + second[:, 1]) / 2).clamp(-CLAMP, CLAMP).to(self.momenta.dtype)
        momenta = (1 - self.momentum) * self.momenta[index] + self.momentum * slope
        moved = (self.temperatures[index] - self.rate * momenta).clamp(self.lowest, self.highest)
        self.log_averages[index] = log_g.to(self.log_averages.dtype)
        self.momenta[index] = momenta
        self.temperatures[index] = moved
