"""Layers that encoders of several modalities share."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 2**16
GROUP_WIDTH = 16


def group_normalisation(width: int) -> nn.GroupNorm:
    """Normalise groups of 16 features (all of them when 16 does not divide the width).

    GroupNorm and not BatchNorm: a window's embedding must not depend on what else is in its batch (the batches hold
    several windows of one patient, from which batch statistics tell the positives), nor on the number of processes, and
    an averaged copy of the weights (SWA, EMA) needs no statistics of its own.
    """
    return nn.GroupNorm(width // GROUP_WIDTH if width % GROUP_WIDTH == 0 else 1, width)


def random_int16(shape: torch.Size, device: torch.device) -> Tensor:
    """Draw uniform 16-bit integers, four from each 64-bit number of the default generator."""
    count = shape.numel()
    words = torch.randint(-(2**63), 2**63 - 1, ((count + 3) // 4,), device=device)
    return words.view(torch.int16)[:count].view(shape)


class Dropout(nn.Module):
    """Sets features to 0 with probability `p` while training and scales the rest, as `torch.nn.Dropout` does.

    On a CPU that one draws its mask number by number in one thread, a tenth of an encoder's step at 320 features. Here
    a 16-bit integer decides for each feature, so that `p` is rounded to a multiple of 2^-16.

    Args:
        p: probability, in [0, 1).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.dropped = min(round(p * LEVELS), LEVELS - 1)

    def forward(self, x: Tensor) -> Tensor:
        """Drop features of a tensor of any shape."""
        if not self.training or self.dropped == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.dropped / LEVELS)
        keep = random_int16(x.shape, x.device) >= self.dropped - LEVELS // 2
        return x * keep.to(x.dtype).mul_(LEVELS / (LEVELS - self.dropped))
