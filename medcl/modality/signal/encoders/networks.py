"""The networks that encode signals: dilated convolutions (TS2Vec, COMET), 1-D ResNet, patch transformer."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.signal.encoders.base import SignalEncoder, StagedEncoder
from medcl.networks.layers import Dropout, group_normalisation
from medcl.networks.transformer import HEAD_WIDTH, positions, transformer_layers


class PatchEmbedding(nn.Module):
    """A linear map of each non-overlapping patch of `stride` time steps, all channels together.

    A masked step contributes nothing to its patch, its share of the bias included. With stride 1 this is exactly
    COMET's and TS2Vec's input layer, which sets masked steps to 0 *after* the linear map; with longer patches no masked
    value reaches the encoder and no kept one is lost, whichever part of a patch the mask covers. The last patch of a
    window whose length is not a multiple of `stride` is filled up with zeros, the mean of a standardised signal.

    Args:
        n_channels: C.
        width: of the embedding.
        stride: time steps in a patch.
        mask_token: learn a vector that stands in for what is masked; a patch gets it in proportion to its share of
            masked steps. Without it, what is masked is 0.
    """

    def __init__(self, n_channels: int, width: int, stride: int, *, mask_token: bool = False) -> None:
        super().__init__()
        self.stride = stride
        self.linear = nn.Linear(n_channels * stride, width)
        self.mask_token = nn.Parameter(torch.randn(width) * 0.02) if mask_token else None

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """Embed (B, C, T), with `keep` (B, T) bool or None, as (B, ceil(T / stride), width)."""
        batch, channels, time = x.shape
        count = -(-time // self.stride)
        missing = count * self.stride - time
        if keep is not None:
            x = x * keep.unsqueeze(1)
        if missing:
            x = F.pad(x, (0, missing))
        patches = x.reshape(batch, channels, count, self.stride).transpose(1, 2).flatten(2)
        if keep is None:
            embedded = F.linear(patches, self.linear.weight, self.linear.bias)
            # The token is added, with no effect, because distributed training waits for every parameter's gradient.
            return embedded if self.mask_token is None else embedded + 0 * self.mask_token
        kept = F.pad(keep, (0, missing), value=True).view(batch, count, self.stride)
        share = kept.to(x.dtype).mean(dim=2, keepdim=True)
        embedded = F.linear(patches, self.linear.weight) + share * self.linear.bias
        return embedded if self.mask_token is None else embedded + (1 - share) * self.mask_token


class TransformerEncoder(SignalEncoder):
    """Patches of `config.stride` steps, sinusoidal positions, `config.depth` pre-norm transformer layers.

    Layers are `config.hidden` wide with heads of width 32 and a feed-forward part four times as wide; a last linear map
    goes to `config.dim`. Masked steps are replaced by a learned token (see `PatchEmbedding`).

    Raises:
        UsageError: when `hidden` is odd, or above 32 and not a multiple of 32.
    """

    def __init__(self, config: SignalEncoderConfig, n_channels: int) -> None:
        super().__init__(config, n_channels)
        if config.hidden % 2 or (config.hidden > HEAD_WIDTH and config.hidden % HEAD_WIDTH):
            raise UsageError(
                f"a transformer encoder needs hidden to be even and, above {HEAD_WIDTH}, a multiple of {HEAD_WIDTH} "
                f"(the width of a head), got hidden={config.hidden}"
            )
        self.patches = PatchEmbedding(n_channels, config.hidden, config.stride, mask_token=True)
        self.layers = transformer_layers(config.hidden, config.depth, config.dropout)
        self.output = nn.Linear(config.hidden, config.dim)

    def encode(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """Encode (B, C, T) as (B, T', dim)."""
        tokens = self.patches(x, keep)
        tokens = tokens + positions(tokens.shape[1], tokens.shape[2], tokens.device).to(tokens.dtype)
        return cast(Tensor, self.output(self.layers(tokens)))


class DilatedConvolution(nn.Conv1d):
    """A convolution over time (k = 3, same length) of features that lie side by side in memory, (B, T, C).

    Args:
        width_in: features of the input.
        width_out: features of the output.
        dilation: steps between the taps.
    """

    def __init__(self, width_in: int, width_out: int, dilation: int) -> None:
        super().__init__(width_in, width_out, 3, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, width_in) to (B, T, width_out)."""
        dilation = self.dilation[0]
        if x.shape[1] <= dilation:
            # The outer taps only ever meet the padding here: the middle one alone gives the same result.
            return F.linear(x, self.weight[:, :, 1], self.bias)
        # As an image of height 1 with its channels last, a view: conv1d would copy to channels first, which takes up to
        # twice as long on a CPU.
        image = x.transpose(1, 2).unsqueeze(2)
        weight = self.weight.unsqueeze(2)
        y = F.conv2d(image, weight, self.bias, padding=(0, dilation), dilation=(1, dilation))
        return y.squeeze(2).transpose(1, 2)


class DilatedBlock(nn.Module):
    """GELU, convolution, GELU, convolution, plus the skip.

    Args:
        width_in: features of the input.
        width_out: features of the output.
        dilation: of both convolutions.
        project_skip: put a linear map on the skip, as the last block does; always done when the widths differ.
    """

    def __init__(self, width_in: int, width_out: int, dilation: int, *, project_skip: bool = False) -> None:
        super().__init__()
        self.first = DilatedConvolution(width_in, width_out, dilation)
        self.second = DilatedConvolution(width_out, width_out, dilation)
        self.skip = nn.Linear(width_in, width_out) if project_skip or width_in != width_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, width_in) to (B, T, width_out)."""
        y = self.second(F.gelu(self.first(F.gelu(x))))
        return cast(Tensor, y + self.skip(x))


class DilatedEncoder(SignalEncoder):
    """COMET's and TS2Vec's encoder: a linear map of each step, then residual blocks with dilations 1, 2, 4, ...

    `config.depth` blocks of width `config.hidden` and one output block of width `config.dim`, then dropout (COMET,
    Wang et al. 2023, section 4; TS2Vec, Yue et al. 2022). Masked steps are set to 0 after the linear map. With a
    `stride` above 1 the linear map takes patches (see `PatchEmbedding`); stride 1 is the paper. The released code masks
    half of the steps at random whenever it is called in training mode without a mask; this one never does.
    """

    def __init__(self, config: SignalEncoderConfig, n_channels: int) -> None:
        super().__init__(config, n_channels)
        self.patches = PatchEmbedding(n_channels, config.hidden, config.stride)
        self.blocks = nn.Sequential(
            *(DilatedBlock(config.hidden, config.hidden, 2**i) for i in range(config.depth)),
            DilatedBlock(config.hidden, config.dim, 2**config.depth, project_skip=True),
        )
        self.dropout = Dropout(config.dropout)

    def encode(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """Encode (B, C, T) as (B, T', dim)."""
        return cast(Tensor, self.dropout(self.blocks(self.patches(x, keep))))


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


class ResNetEncoder(StagedEncoder):
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
        self.end(widths[-1])
