"""xresnet1d, the residual network of the PTB-XL benchmark."""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.signal.encoders.base import StagedEncoder

KERNEL = 5
STEM = (32, 32, 64)
EXPANSION = 4


class Layout(NamedTuple):
    """What a depth stands for: the blocks of each of the four stages, and whether they are bottlenecks."""

    blocks: tuple[int, int, int, int]
    bottleneck: bool


LAYOUTS = {
    18: Layout((2, 2, 2, 2), bottleneck=False),
    34: Layout((3, 4, 6, 3), bottleneck=False),
    50: Layout((3, 4, 6, 3), bottleneck=True),
    101: Layout((3, 4, 23, 3), bottleneck=True),
}
STRIDES = (2, 4, 8, 16, 32)


def convolution(width_in: int, width_out: int, kernel: int, stride: int = 1, *, zero: bool = False) -> nn.Sequential:
    """A convolution and its BatchNorm, which begins at 0 where it closes a block (`zero`)."""
    conv = nn.Conv1d(width_in, width_out, kernel, stride=stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight)
    norm = nn.BatchNorm1d(width_out)
    nn.init.constant_(norm.weight, float(not zero))
    return nn.Sequential(conv, norm)


class XBlock(nn.Module):
    """Two convolutions (k = 5), or a bottleneck of three (1, 5, 1); the skip is pooled by its mean before its map.

    Args:
        width_in: features of the input.
        width: inside the block.
        width_out: features of the output.
        stride: of the block.
        bottleneck: which of the two.
    """

    def __init__(self, width_in: int, width: int, width_out: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        if bottleneck:
            parts = [
                convolution(width_in, width, 1),
                nn.ReLU(),
                convolution(width, width, KERNEL, stride),
                nn.ReLU(),
                convolution(width, width_out, 1, zero=True),
            ]
        else:
            parts = [
                convolution(width_in, width, KERNEL, stride),
                nn.ReLU(),
                convolution(width, width_out, KERNEL, zero=True),
            ]
        self.parts = nn.Sequential(*parts)
        skip: list[nn.Module] = []
        if stride != 1:
            skip.append(nn.AvgPool1d(stride, ceil_mode=True))
        if width_in != width_out:
            skip.append(convolution(width_in, width_out, 1))
        self.skip = nn.Sequential(*skip)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width_in, T) to (B, width_out, ceil(T / stride))."""
        return F.relu(self.parts(x) + self.skip(x))


class XResNetEncoder(StagedEncoder):
    """xresnet1d (Strodthoff et al., IEEE JBHI 2021, Deep Learning for ECG Analysis; 1-D form of He et al. 2019).

    Three convolutions (k = 5, widths 32, 32, 64) and a max-pooling, then four stages of residual blocks of the same
    width `config.hidden` (64 in the paper), which unlike those of an image network do not widen. `config.depth` is 18
    or 34 (basic blocks) or 50 or 101 (bottlenecks, four times as wide at their end). The time axis is halved by the
    stem, the pooling and the stages after the first, in this order, until `config.stride` is reached: 32 in the paper.
    With pooling `both` half of the `dim` features are pooled by their mean and half by their maximum; the paper takes
    both of all features, which is the same with a last linear map that holds each of them twice. A masked step is 0 in
    every channel of the input. It has BatchNorm, as published: amplitudes that other normalisations take away from
    each window by itself stay, and in training an embedding depends on the batch.

    Raises:
        UsageError: for another depth or stride.
    """

    def __init__(self, config: SignalEncoderConfig, n_channels: int) -> None:
        super().__init__(config, n_channels)
        if config.depth not in LAYOUTS:
            depths = ", ".join(map(str, LAYOUTS))
            raise UsageError(f"an xresnet encoder has a depth of {depths}, got depth={config.depth}")
        if config.stride not in STRIDES:
            strides = ", ".join(map(str, STRIDES))
            raise UsageError(f"an xresnet encoder has a stride of {strides}, got stride={config.stride}")
        layout = LAYOUTS[config.depth]
        halvings = config.stride.bit_length() - 1
        steps = [2] * halvings + [1] * (len(STRIDES) - halvings)
        stem: list[nn.Module] = []
        for width_in, width_out in zip((n_channels, *STEM), STEM, strict=False):
            stem += [convolution(width_in, width_out, KERNEL, 1 if stem else steps[0]), nn.ReLU()]
        self.stem = nn.Sequential(*stem, nn.MaxPool1d(3, stride=steps[1], padding=1))
        outside = config.hidden * (EXPANSION if layout.bottleneck else 1)
        blocks: list[nn.Module] = []
        width_in = STEM[-1]
        for stage, count in enumerate(layout.blocks):
            for number in range(count):
                stride = steps[stage + 1] if stage and not number else 1
                blocks.append(XBlock(width_in, config.hidden, outside, stride, bottleneck=layout.bottleneck))
                width_in = outside
        self.blocks = nn.Sequential(*blocks)
        self.end(outside)
