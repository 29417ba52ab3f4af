"""The networks of EEG layer by layer in plain torch, as published but for BatchNorm: what ours are held against."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F


def filtered(encoder: Any, x: Tensor) -> Tensor:
    """Temporal filters of every channel (B, F, C, T), then spatial filters over channels: (B, maps, T)."""
    filters = encoder.filters
    kernel = filters.temporal.shape[1]
    padded = F.pad(x.unsqueeze(1), ((kernel - 1) // 2, kernel // 2))
    maps = F.conv2d(padded, filters.temporal[:, None, None, :])
    spatial = filters.spatial.renorm(2, 0, filters.largest) if filters.largest else filters.spatial
    groups = len(filters.temporal) if filters.depthwise else 1
    return F.conv2d(maps, spatial.unsqueeze(3), groups=groups).squeeze(2)


def pooled(x: Tensor, width: int, stride: int) -> Tensor:
    return F.avg_pool1d(x, width, stride, (width - stride) // 2, ceil_mode=True, count_include_pad=False)


def shallow(encoder: Any, x: Tensor) -> Tensor:
    stride = encoder.config.stride
    power = pooled(filtered(encoder, x).square(), 5 * stride, stride)
    return encoder.output(power.clamp(min=1e-6).log().transpose(1, 2))


def eegnet(encoder: Any, x: Tensor) -> Tensor:
    x = pooled(F.elu(encoder.first_norm(filtered(encoder, x))), 4, 4)
    kernel = encoder.depthwise.weight.shape[2]
    x = encoder.pointwise(encoder.depthwise(F.pad(x, ((kernel - 1) // 2, kernel // 2))))
    stride = encoder.config.stride // 4
    return encoder.output(pooled(F.elu(encoder.second_norm(x)), stride, stride).transpose(1, 2))


def conformer(encoder: Any, x: Tensor) -> Tensor:
    stride = encoder.config.stride
    tokens = pooled(F.elu(encoder.norm(filtered(encoder, x))), 5 * stride, stride).transpose(1, 2)
    return encoder.output(encoder.layers(encoder.token(tokens)))


PLAIN = {"shallow": shallow, "eegnet": eegnet, "conformer": conformer}
