"""Attention over the positions of electrodes: channels of any montage become the same number of virtual ones."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medcl.modality.signal.montage import place_of

FREQUENCIES = 32
"""Of each axis, from 0: the code of a position has 2 x 32 x 32 values."""
MARGIN = 0.2
"""Around the unit square, so that what lies at its edges is not taken for neighbours: the period is 1.4."""
DROPPED = 0.2
"""Radius in the unit square within which electrodes are dropped in training."""
_RIM = 2.25
"""rad from the vertex to the edge of the square; the lowest electrodes of the 10-05 system lie 2.22 below it."""
_FLAT = 1e-6
"""Largest absolute value of a channel without a signal."""


def unit_square(channels: Sequence[str]) -> NDArray[np.float64]:
    """Where electrodes lie in the unit square, (C, 2): the vertex near its centre, the nose up.

    The angle from the vertex is the distance from the centre (azimuthal equidistant projection of mne's 10-05
    positions). The scale is the same for all montages.

    Raises:
        UsageError: a channel whose position is not known.
    """
    places = np.array(list(place_of(channels, "encoder.spatial takes").values()))
    side = np.hypot(places[:, 0], places[:, 1])
    distance = np.arctan2(side, places[:, 2]) / (2 * _RIM)
    flat: NDArray[np.float64] = 0.5 + places[:, :2] * (distance / np.maximum(side, 1e-12))[:, None]
    return flat


def code(positions: Tensor) -> Tensor:
    """The cosines, then the sines, of positions (C, 2) by all pairs of frequencies, (C, 2 * FREQUENCIES^2)."""
    steps = torch.arange(FREQUENCIES, dtype=positions.dtype, device=positions.device) * (2 * math.pi / (1 + 2 * MARGIN))
    along = (positions + MARGIN)[:, :, None] * steps
    angle = (along[:, 0, :, None] + along[:, 1, None, :]).flatten(1)
    return torch.cat([angle.cos(), angle.sin()], dim=1)


class SpatialAttention(nn.Module):
    """Maps channels (B, C, T) to (B, D, T): each virtual channel is a mean of electrodes, weighted by where they lie.

    Défossez et al., Decoding speech perception from non-invasive brain recordings, Nature Machine Intelligence 2023:
    the weights of virtual channel d are a softmax over electrodes c of <q_d, code(position_c)>, with a learned vector
    q_d of 2048 Fourier coefficients. In training the electrodes within 0.2 of a random point are dropped; here the
    point is drawn for each window, in the paper for each batch. A channel without a signal in a window (0 throughout,
    as one that a recording lacks) gets no weight. No weight depends on the number or the order of channels: the same
    network takes another montage, see `SignalCard`.

    Args:
        channels: names of electrodes, (C,).
        size: D.

    Raises:
        UsageError: a channel whose position is not known.
    """

    positions: Tensor
    code: Tensor

    def __init__(self, channels: Sequence[str], size: int) -> None:
        super().__init__()
        positions = torch.from_numpy(unit_square(channels))
        # They follow from the names, so that another montage can be built with the same weights.
        self.register_buffer("positions", positions.float(), persistent=False)
        self.register_buffer("code", code(positions).float(), persistent=False)
        self.queries = nn.Parameter(torch.randn(size, 2 * FREQUENCIES**2) / (2 * FREQUENCIES**2) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, T) to (B, D, T)."""
        taken = x.abs().amax(dim=2) > _FLAT
        if self.training:
            points = torch.rand(len(x), 1, 2, device=x.device)
            far = ((self.positions - points) ** 2).sum(dim=2) > DROPPED**2
            kept = taken & far
            taken = torch.where(kept.any(dim=1, keepdim=True), kept, taken)
        scores = (self.queries @ self.code.T).masked_fill(~taken[:, None], torch.finfo(self.queries.dtype).min)
        return torch.bmm(scores.softmax(dim=2).to(x.dtype), x)
