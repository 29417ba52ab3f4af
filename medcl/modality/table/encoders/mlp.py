"""A multi-layer perceptron of values and missingness indicators."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.modality.table.config import TableEncoderConfig
from medcl.modality.table.encoders.base import TableEncoder, codes
from medcl.networks.layers import Dropout


class TableMLP(TableEncoder):
    """Encodes each step by itself: `config.depth` hidden layers with layer normalisation, GELU and dropout.

    A number is its value, 0 where it is missing, and, with `config.indicators`, 1 where it is there; a category is one
    of its classes, all of them 0 where it is missing. What is missing has no gradient.
    """

    def __init__(self, config: TableEncoderConfig, n_classes: Sequence[int]) -> None:
        super().__init__(config, n_classes)
        self.indicators = config.indicators
        width = len(self.numbers) * (2 if config.indicators else 1) + sum(n_classes)
        layers: list[nn.Module] = []
        for _ in range(config.depth):
            layers += [nn.Linear(width, config.hidden), nn.LayerNorm(config.hidden), nn.GELU(), Dropout(config.dropout)]
            width = config.hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, config.dim))

    def encode(self, x: Tensor) -> Tensor:
        """Encode (B, C, T) as (B, T, dim)."""
        steps = x.transpose(1, 2)
        numbers = steps[..., self.numbers]
        present = ~numbers.isnan()
        parts = [numbers.masked_fill(~present, 0)]
        if self.indicators:
            parts.append(present.to(x.dtype))
        for column in self.categories:
            count = self.n_classes[column]
            found = codes(steps[..., column], torch.tensor(count, device=x.device))
            parts.append(F.one_hot(found + 1, count + 1)[..., 1:].to(x.dtype))
        return cast(Tensor, self.layers(torch.cat(parts, dim=-1)))
