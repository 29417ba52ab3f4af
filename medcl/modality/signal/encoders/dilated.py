"""The dilated-convolution encoder of TS2Vec and COMET."""

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.signal.encoders.base import SignalEncoder
from medcl.modality.signal.encoders.transformer import PatchEmbedding
from medcl.networks.layers import Dropout


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
