"""A transformer over the values that are there."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.modality.table.config import TableEncoderConfig
from medcl.modality.table.encoders.base import TableEncoder, codes
from medcl.networks.transformer import HEAD_WIDTH, positions, transformer_layers


class TableTransformer(TableEncoder):
    """A token for each triple (time, variable, value) that is there, and one for each step: its embedding.

    The token of a number is a learned vector of its variable plus its value times another; that of a category is a
    learned vector of its class. Both add the sinusoidal position of their step. What is missing has no token, so that
    tables with many gaps are short; memory grows with the square of the values of a sample. After STraTS (Tipirneni and
    Reddy 2022) and FT-Transformer (Gorishniy et al. 2021), with steps in the place of continuous times.

    Raises:
        UsageError: `hidden` is odd, or above 32 and not a multiple of 32.
    """

    def __init__(self, config: TableEncoderConfig, n_classes: Sequence[int]) -> None:
        super().__init__(config, n_classes)
        width = config.hidden
        if width % 2 or (width > HEAD_WIDTH and width % HEAD_WIDTH):
            raise UsageError(
                f"a transformer encoder needs hidden to be even and, above {HEAD_WIDTH}, a multiple of {HEAD_WIDTH} "
                f"(the width of a head), got hidden={width}"
            )
        # A number is a variable of one "class", whose vector is the intercept of its value.
        counts = torch.tensor([max(1, count) for count in n_classes])
        self.register_buffer("first", counts.cumsum(0) - counts, persistent=False)
        self.register_buffer("classes", torch.tensor(self.n_classes), persistent=False)
        self.vectors = nn.Parameter(torch.randn(int(counts.sum()), width) * 0.02)
        self.slopes = nn.Parameter(torch.randn(len(n_classes), width) * 0.02)
        self.step = nn.Parameter(torch.randn(width) * 0.02)
        self.layers = transformer_layers(width, config.depth, config.dropout)
        self.output = nn.Linear(width, config.dim)

    def encode(self, x: Tensor) -> Tensor:
        """Encode (B, C, T) as (B, T, dim)."""
        batch, _, steps = x.shape
        sample, step, variable = torch.nonzero(~x.isnan().transpose(1, 2), as_tuple=True)
        value = x[sample, variable, step]
        place = positions(steps, self.step.shape[0], x.device).to(x.dtype)
        is_number = (self._classes[variable] == 0).to(x.dtype)
        code = codes(value * (1 - is_number), self._classes[variable].clamp(min=1))
        token = self.vectors[self._first[variable] + code] + self.slopes[variable] * (value * is_number).unsqueeze(1)
        token = token + place[step]
        # (B, longest, width): the tokens of each sample one behind the other, then what fills it up.
        counts = torch.bincount(sample, minlength=batch)
        order = torch.arange(len(sample), device=x.device) - (counts.cumsum(0) - counts)[sample]
        longest = int(counts.max())
        values = token.new_zeros(batch, longest, token.shape[1]).index_put((sample, order), token)
        empty = torch.arange(longest, device=x.device) >= counts.unsqueeze(1)
        tokens = torch.cat(((self.step + place).expand(batch, -1, -1), values), dim=1)
        encoded = self.layers(tokens, src_key_padding_mask=F.pad(empty, (steps, 0), value=False))
        return cast(Tensor, self.output(encoded[:, :steps]))

    @property
    def _first(self) -> Tensor:
        return cast(Tensor, self.first)

    @property
    def _classes(self) -> Tensor:
        return cast(Tensor, self.classes)
