"""Small convolutional networks of EEG: temporal filters, spatial filters over all channels, then power or features.

All three are published with BatchNorm. Here a window's embedding does not depend on its batch: what only scales a
filter between two linear layers, or before a logarithm, is left out, and elsewhere GroupNorm stands in its place
(`medcl.networks.layers.group_normalisation`). A position covers `stride` steps, and windows of any length are taken:
convolutions keep the length, where the publications' lose their edges.
"""

from abc import abstractmethod
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.signal.encoders.base import SignalEncoder
from medcl.networks.layers import Dropout, group_normalisation

LEAST_POWER = 1e-6
"""Below which a power is cut off before its logarithm, as published."""
POOLED = 5
"""Strides that a mean of power or features is taken over: 75 steps for a stride of 15."""
_HEAD = 4  # width of a head of EEG Conformer: 10 heads of 40 features


class SpatioTemporal(nn.Module):
    """Temporal filters, the same for all channels, then spatial filters over all of them, without bias.

    Nothing stands between the two convolutions, so that they are computed as one, whose weights are their product: a
    third of the arithmetic for few channels.

    Args:
        n_channels: C.
        temporal: number of temporal filters.
        maps: number of spatial filters, each over all temporal ones; or, depth-wise, a multiple of their number, each
            over one.
        kernel: time steps of a temporal filter.
        depthwise: whether a spatial filter belongs to one temporal filter.
        largest: norm of a spatial filter at most; 0 does not limit it.
    """

    def __init__(
        self, n_channels: int, temporal: int, maps: int, kernel: int, *, depthwise: bool = False, largest: float = 0.0
    ) -> None:
        super().__init__()
        self.depthwise, self.largest = depthwise, largest
        self.temporal = nn.Parameter(torch.empty(temporal, kernel))
        self.spatial = nn.Parameter(torch.empty(maps, 1 if depthwise else temporal, n_channels))
        # Glorot's initialisation of convolutions of (1, kernel) and of (n_channels, 1).
        for weight, taps in ((self.temporal, kernel), (self.spatial, n_channels)):
            limit = (6 / (taps * (weight.shape[0] + (1 if weight is self.temporal else weight.shape[1])))) ** 0.5
            nn.init.uniform_(weight, -limit, limit)

    def weight(self) -> Tensor:
        """Of the one convolution, (maps, C, kernel)."""
        limited = torch.renorm(self.spatial, p=2, dim=0, maxnorm=self.largest) if self.largest else self.spatial
        spatial: Tensor = limited
        if self.depthwise:
            temporal = self.temporal.repeat_interleave(len(spatial) // len(self.temporal), dim=0)
            return spatial.squeeze(1)[:, :, None] * temporal[:, None, :]
        return torch.einsum("mfc,fk->mck", spatial, self.temporal)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, T) to (B, maps, T)."""
        return F.conv1d(_padded(x, self.temporal.shape[1]), self.weight().to(x.dtype))


def _padded(x: Tensor, kernel: int) -> Tensor:
    """(B, C, T) with the zeros at its ends by which a convolution of `kernel` steps keeps the length."""
    return F.pad(x, ((kernel - 1) // 2, kernel // 2))


def _pool(x: Tensor, width: int, stride: int) -> Tensor:
    """The mean over `width` steps every `stride`, (B, maps, ceil(T / stride)); an odd multiple, around its stride."""
    return F.avg_pool1d(x, width, stride, (width - stride) // 2, ceil_mode=True, count_include_pad=False)


class _FilterEncoder(SignalEncoder):
    """What the three share: the map to `config.dim`, and masks.

    A masked step is 0 in every channel, the mean of a standardised or aligned signal.

    Raises:
        UsageError: the kernel has no step.
    """

    def __init__(self, config: SignalEncoderConfig, n_channels: int) -> None:
        super().__init__(config, n_channels)
        if config.kernel < 1:
            raise UsageError(f"an encoder needs kernel of at least 1, got kernel={config.kernel}")
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(config.hidden, config.dim) if config.hidden != config.dim else nn.Identity()

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Of (B, C, T), (B, hidden, positions)."""

    def encode(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """Encode (B, C, T) as (B, T', dim)."""
        if keep is not None:
            x = x * keep.unsqueeze(1)
        return cast(Tensor, self.output(self.features(x).transpose(1, 2)))


class ShallowEncoder(_FilterEncoder):
    """ShallowConvNet: the logarithm of the power of `config.hidden` spatially and temporally filtered signals.

    Schirrmeister et al., Deep learning with convolutional neural networks for EEG decoding and visualization, Human
    Brain Mapping 2017: temporal filters of 25 steps at 250 Hz, as many spatial filters, square, mean over 75 steps
    every 15, logarithm, dropout. Biases and BatchNorm before the square are left out: a signal without a mean has no
    bias, and a scale before a logarithm is a constant after it. As a random network these are log-variances of random
    projections, which for aligned EEG are strong features already.
    """

    def __init__(self, config: SignalEncoderConfig, n_channels: int) -> None:
        super().__init__(config, n_channels)
        self.filters = SpatioTemporal(n_channels, config.hidden, config.hidden, config.kernel)

    def features(self, x: Tensor) -> Tensor:
        """Of (B, C, T), (B, hidden, T')."""
        power = _pool(self.filters(x).square(), POOLED * self.config.stride, self.config.stride)
        return cast(Tensor, self.dropout(power.clamp(min=LEAST_POWER).log()))


class EEGNetEncoder(_FilterEncoder):
    """EEGNet: depth-wise spatial filters, then depth-wise separable convolutions over time.

    Lawhern et al., EEGNet: a compact convolutional neural network for EEG-based brain-computer interfaces, Journal of
    Neural Engineering 2018: F1 temporal filters (half of `config.hidden`), D = 2 spatial filters each, of norm 1 at
    most, ELU, mean over 4 steps, then filters of a quarter of the kernel, F2 = `config.hidden` maps, ELU, mean over the
    rest of the stride (8 of 32). The kernel is half a second in the paper: 64 steps at 128 Hz.

    Raises:
        UsageError: the stride is not a multiple of 4, or hidden is odd.
    """

    def __init__(self, config: SignalEncoderConfig, n_channels: int) -> None:
        super().__init__(config, n_channels)
        if config.stride % 4 or config.hidden % 2:
            raise UsageError(
                "an eegnet encoder needs a stride that is a multiple of 4 and an even hidden, got "
                f"stride={config.stride}, hidden={config.hidden}"
            )
        width, later = config.hidden, max(1, config.kernel // 4)
        self.filters = SpatioTemporal(n_channels, width // 2, width, config.kernel, depthwise=True, largest=1.0)
        self.first_norm, self.second_norm = group_normalisation(width), group_normalisation(width)
        self.depthwise = nn.Conv1d(width, width, later, groups=width, bias=False)
        self.pointwise = nn.Conv1d(width, width, 1, bias=False)

    def features(self, x: Tensor) -> Tensor:
        """Of (B, C, T), (B, hidden, T')."""
        x = self.dropout(_pool(F.elu(self.first_norm(self.filters(x))), 4, 4))
        x = self.pointwise(self.depthwise(_padded(x, self.depthwise.kernel_size[0])))
        x = F.elu(self.second_norm(x))
        return cast(Tensor, self.dropout(_pool(x, self.config.stride // 4, self.config.stride // 4)))


class ConformerEncoder(_FilterEncoder):
    """EEG Conformer: the filters of ShallowConvNet make tokens, on which a transformer works.

    Song et al., EEG Conformer: Convolutional Transformer for EEG Decoding and Visualization, IEEE TNSRE 2023: 40
    filters of 25 steps, ELU, mean over 75 steps every 15, dropout, a map of each token, then `config.depth` (6)
    pre-norm layers with heads of width 4. Attention is scaled by the width of a head, where the released code takes
    that of the token; its dense layers are the task's head.

    Raises:
        UsageError: hidden is not a multiple of 4.
    """

    def __init__(self, config: SignalEncoderConfig, n_channels: int) -> None:
        super().__init__(config, n_channels)
        if config.hidden % _HEAD:
            raise UsageError(f"a conformer encoder needs hidden to be a multiple of {_HEAD}, got {config.hidden}")
        width = config.hidden
        self.filters = SpatioTemporal(n_channels, width, width, config.kernel)
        self.norm = group_normalisation(width)
        self.token = nn.Linear(width, width)
        layer = nn.TransformerEncoderLayer(
            width, width // _HEAD, 4 * width, config.dropout, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, config.depth, enable_nested_tensor=False)

    def features(self, x: Tensor) -> Tensor:
        """Of (B, C, T), (B, hidden, T')."""
        x = F.elu(self.norm(self.filters(x)))
        tokens = self.token(self.dropout(_pool(x, POOLED * self.config.stride, self.config.stride)).transpose(1, 2))
        return cast(Tensor, self.layers(tokens).transpose(1, 2))
