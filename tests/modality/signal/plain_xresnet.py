"""xresnet1d with basic blocks layer by layer in plain torch: what ours is held against."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F


def normalised(layer: Any, x: Tensor, stride: int = 1) -> Tensor:
    """A convolution that keeps the length but for its stride, and its BatchNorm."""
    conv, norm = layer
    x = F.conv1d(x, conv.weight, stride=stride, padding=conv.weight.shape[2] // 2)
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training)


def xresnet(encoder: Any, x: Tensor) -> Tensor:
    """An encoder of stride 32, width 64 and no dropout: (B, C, T) to (B, ceil(T / 32), dim)."""
    for number, layer in enumerate(encoder.stem[:6:2]):
        x = F.relu(normalised(layer, x, 2 if number == 0 else 1))
    x = F.max_pool1d(x, 3, 2, 1)
    for number, block in enumerate(encoder.blocks):
        stride = 2 if number and number % 2 == 0 else 1
        inside = F.relu(normalised(block.parts[0], x, stride))
        skip = x if stride == 1 else F.avg_pool1d(x, stride, ceil_mode=True)
        x = F.relu(normalised(block.parts[2], inside) + skip)
    return F.linear(x.transpose(1, 2), encoder.output.weight, encoder.output.bias)
