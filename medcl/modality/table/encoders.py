"""Encoders of tables: `build` makes one from its configuration."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.errors import UsageError, did_you_mean
from medcl.modality.table.config import TableConfig, TableEncoderConfig
from medcl.networks import foreign
from medcl.networks.config import ForeignEncoderConfig
from medcl.networks.encoder import Encoder
from medcl.networks.layers import Dropout
from medcl.networks.transformer import HEAD_WIDTH, positions, transformer_layers


class TableEncoder(Encoder):
    """Turns samples (B, C, T) with NaN for what is missing into dense embeddings (B, T, dim), one a step.

    Args:
        config: the encoder's configuration, kept as `config`.
        n_classes: (C,) classes of each variable, 0 for numbers, kept as `n_classes`.
    """

    def __init__(self, config: TableEncoderConfig, n_classes: Sequence[int]) -> None:
        super().__init__(config, len(n_classes))
        self.n_classes = tuple(n_classes)
        self.numbers = [i for i, count in enumerate(n_classes) if not count]
        self.categories = [i for i, count in enumerate(n_classes) if count]

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Compute what `forward` returns, from an input that has been checked, with hidden steps as NaN."""

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Encode every step of a sample.

        Args:
            x: (B, C, T) scaled numbers, and codes of categories; NaN where there is no value.
            keep: (B, T) bool, False where a step is hidden from the encoder: it is as if all of it were missing.

        Returns:
            (B, T, dim).

        Raises:
            UsageError: the shape or type of `x` or `keep` is not the expected one, or a code is of no class.
        """
        if x.ndim != 3 or x.shape[1] != self.n_channels or not x.shape[2]:
            raise UsageError(
                f"an encoder of {self.n_channels} variables takes (batch, {self.n_channels}, steps), got a tensor of "
                f"shape {tuple(x.shape)}"
            )
        if not x.is_floating_point():
            raise UsageError(f"an encoder of tables takes floating-point values, got {x.dtype}")
        if keep is not None:
            if keep.shape != (x.shape[0], x.shape[2]) or keep.dtype != torch.bool:
                raise UsageError(
                    f"keep must be bool of shape {(x.shape[0], x.shape[2])}, got {keep.dtype} of shape "
                    f"{tuple(keep.shape)}"
                )
            x = x.masked_fill(~keep.unsqueeze(1), float("nan"))
        return self.encode(x)


def codes(values: Tensor, n_classes: Tensor) -> Tensor:
    """Categories as int64, -1 where they are missing.

    Args:
        values: codes as floating-point numbers, NaN where they are missing.
        n_classes: of each, of a shape that is broadcast to that of `values`.

    Raises:
        UsageError: a code is of no class.
    """
    found = values.nan_to_num(nan=-1).round().long()
    # The question depends on the values: a network that is exported does not ask it.
    if not torch.compiler.is_compiling() and bool(((found >= n_classes) | (values < 0)).any()):
        raise UsageError("a code of a category is not below its number of classes: were the samples scaled twice?")
    return found


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
        place = positions(x.shape[2], self.step.shape[0], x.device).to(x.dtype)
        values, empty = (self._every if torch.compiler.is_compiling() else self._present)(x, place)
        tokens = torch.cat(((self.step + place).expand(x.shape[0], -1, -1), values), dim=1)
        encoded = self.layers(tokens, src_key_padding_mask=F.pad(empty, (x.shape[2], 0), value=False))
        return cast(Tensor, self.output(encoded[:, : x.shape[2]]))

    def _present(self, x: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens of what is there, (B, longest, width), and which of them only fill up (B, longest)."""
        batch = len(x)
        sample, step, variable = torch.nonzero(~x.isnan().transpose(1, 2), as_tuple=True)
        value = x[sample, variable, step]
        token = self._token(value, variable) + place[step]
        # (B, longest, width): the tokens of each sample one behind the other, then what fills it up.
        counts = torch.bincount(sample, minlength=batch)
        order = torch.arange(len(sample), device=x.device) - (counts.cumsum(0) - counts)[sample]
        longest = int(counts.max())
        values = token.new_zeros(batch, longest, token.shape[1]).index_put((sample, order), token)
        return values, torch.arange(longest, device=x.device) >= counts.unsqueeze(1)

    def _every(self, x: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """The same with a token for each place of the table, (B, T C, width): its shape does not depend on the values.

        A network that is exported has to be of that kind; what is missing is masked in the place of left out.
        """
        value = x.transpose(1, 2)
        missing = value.isnan()
        token = self._token(value.masked_fill(missing, 0), torch.arange(x.shape[1], device=x.device))
        return (token + place.unsqueeze(1)).flatten(1, 2), missing.flatten(1)

    def _token(self, value: Tensor, variable: Tensor) -> Tensor:
        """(..., width) of values (...) of variables, without their time."""
        is_number = (self._classes[variable] == 0).to(value.dtype)
        code = codes(value * (1 - is_number), self._classes[variable].clamp(min=1))
        return self.vectors[self._first[variable] + code] + self.slopes[variable] * (value * is_number).unsqueeze(-1)

    @property
    def _first(self) -> Tensor:
        return cast(Tensor, self.first)

    @property
    def _classes(self) -> Tensor:
        return cast(Tensor, self.classes)


ENCODERS: dict[str, type[TableEncoder]] = {"mlp": TableMLP, "transformer": TableTransformer}


def build(config: TableEncoderConfig | ForeignEncoderConfig, n_classes: Sequence[int]) -> Encoder:
    """Make the encoder that a configuration describes, with random weights.

    Args:
        config: which encoder, and its sizes.
        n_classes: (C,) classes of each variable of the samples (B, C, T) that it will get; 0 for numbers.

    Raises:
        UsageError: the configuration names no encoder or holds invalid sizes.
    """
    if isinstance(config, ForeignEncoderConfig):
        return foreign.build(config, len(n_classes), float("nan"))
    if config.name not in ENCODERS:
        hint = did_you_mean(config.name, ENCODERS)
        raise UsageError(f"no encoder of tables is called {config.name!r}; choose one of {', '.join(ENCODERS)}{hint}")
    for name, size in {"dim": config.dim, "hidden": config.hidden, "depth": config.depth}.items():
        if size < 1:
            raise UsageError(f"an encoder needs {name} of at least 1, got {name}={size}")
    if not 0 <= config.dropout < 1:
        raise UsageError(f"an encoder's dropout lies in [0, 1), got dropout={config.dropout}")
    if config.pooling not in ("max", "mean"):
        raise UsageError(f"an encoder pools by 'max' or 'mean', got pooling={config.pooling!r}")
    if not n_classes or min(n_classes) < 0:
        raise UsageError("an encoder of tables needs one variable or more")
    return ENCODERS[config.name](config, n_classes)


@dataclass(frozen=True)
class TableCard:
    """What an encoder of tables expects.

    Args:
        encoder: the network's configuration.
        data: the complete `TableConfig` by which tables became samples, as a dictionary.
    """

    encoder: TableEncoderConfig | ForeignEncoderConfig
    data: dict[str, Any]

    def build(self) -> Encoder:
        """The network that the card describes, with new random weights."""
        return build(self.encoder, TableConfig(**self.data).n_classes)
