"""A one-dimensional ResNet for signals."""

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.signal.encoders.base import SignalEncoder
from medcl.networks.layers import Dropout, group_normalisation

WIDEST = 4096


class BasicBlock1d(nn.Module):
    """Two convolutions (k = 3) with normalisation, the skip added before the last ReLU (He et al. 2016).

    Args:
        width_in: features of the input.
        width_out: features of the output.
        stride: of the first convolution and of the skip.
    """

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(width_in, width_out, 3, stride=stride, padding=1, bias=False)
        self.first_norm = group_normalisation(width_out)
        self.second = nn.Conv1d(width_out, width_out, 3, padding=1, bias=False)
        self.second_norm = group_normalisation(width_out)
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or width_in != width_out:
            self.skip = nn.Sequential(
                nn.Conv1d(width_in, width_out, 1, stride=stride, bias=False), group_normalisation(width_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width_in, T) to (B, width_out, ceil(T / stride))."""
        residual = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(residual)) + self.skip(x))


class ResNetEncoder(SignalEncoder):
    """A ResNet-1D: a stem, then `config.depth` stages of two blocks, each stage twice as wide as the one before.

    The stem and the stages after the first halve the time axis, in this order, until `config.stride` is reached. A
    masked step is 0 in every channel of the input, the mean of a standardised signal.

    Raises:
        UsageError: when the stride is not a power of two, needs more halvings than there are stages, or when the
            last stage would be wider than 4096.
    """

    def __init__(self, config: SignalEncoderConfig, n_channels: int) -> None:
        super().__init__(config, n_channels)
        halvings = config.stride.bit_length() - 1
        if config.stride != 2**halvings:
            raise UsageError(f"a resnet encoder needs a stride that is a power of two, got stride={config.stride}")
        if halvings > config.depth:
            raise UsageError(
                f"a resnet encoder of depth={config.depth} has strides up to {2**config.depth}, got {config.stride}"
            )
        widths = [config.hidden * 2**stage for stage in range(config.depth)]
        if widths[-1] > WIDEST:
            raise UsageError(
                f"a resnet encoder doubles its width in each stage: depth={config.depth} from hidden={config.hidden} "
                f"would end {widths[-1]} wide (at most {WIDEST}); 3 or 4 stages are usual"
            )
        strides = [2] * halvings + [1] * (config.depth - halvings)
        self.stem = nn.Sequential(
            nn.Conv1d(n_channels, widths[0], 7, stride=strides[0], padding=3, bias=False),
            group_normalisation(widths[0]),
            nn.ReLU(),
        )
        blocks: list[nn.Module] = []
        for stage, width in enumerate(widths):
            first_stride = strides[stage] if stage else 1
            blocks.append(BasicBlock1d(widths[max(stage - 1, 0)], width, first_stride))
            blocks.append(BasicBlock1d(width, width, 1))
        self.blocks = nn.Sequential(*blocks)
        self.output = nn.Linear(widths[-1], config.dim) if widths[-1] != config.dim else nn.Identity()
        self.dropout = Dropout(config.dropout)

    def encode(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """Encode (B, C, T) as (B, T', dim)."""
        if keep is not None:
            x = x * keep.unsqueeze(1)
        features = self.blocks(self.stem(x)).transpose(1, 2)
        return cast(Tensor, self.dropout(self.output(features)))
