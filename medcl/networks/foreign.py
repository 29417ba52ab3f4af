"""Encoders of the user's own: a network of any installed package behind the contract of `Encoder`."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn

from medcl.errors import UsageError
from medcl.names import resolve
from medcl.networks.config import ForeignEncoderConfig
from medcl.networks.encoder import Encoder

CHANNELS = "n_channels", "in_channels"
"""Names of a parameter that is given the number of channels, unless `arguments` name it: ours, and that of monai."""


class ForeignEncoder(Encoder):
    """Turns samples (B, C, ...) into dense embeddings (B, positions, dim) by a network of the user's own.

    Args:
        config: kept as `config`.
        n_channels: C, kept as `n_channels`.
        network: kept as `network`.
        hidden: what time steps that are hidden from the encoder become in its input.
    """

    config: ForeignEncoderConfig

    def __init__(self, config: ForeignEncoderConfig, n_channels: int, network: nn.Module, hidden: float) -> None:
        super().__init__(config, n_channels)
        self.network = network
        self.hidden = hidden

    @property
    def stride(self) -> int:
        """Steps or voxels along each axis that a position covers.

        Raises:
            UsageError: it is not known.
        """
        if not self.config.stride:
            raise UsageError(
                f"encoder {self.config.name}: an objective asks where its positions lie: set layout to channels-first "
                "and stride to the steps or voxels along each axis that a position covers"
            )
        return self.config.stride

    def grid(self, size: Sequence[int]) -> tuple[int, ...]:
        """Tell how many positions along each axis a sample of this size has."""
        return tuple(-(-length // self.stride) for length in size)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Encode every position of a batch.

        Args:
            x: (B, C, ...).
            keep: (B, T) bool, False where a time step is hidden from the encoder; None hides nothing.

        Returns:
            (B, positions, dim); one position where the network pools by itself.

        Raises:
            UsageError: the network returns something else than its settings say.
        """
        if keep is not None:
            x = x.masked_fill(~keep.unsqueeze(1), self.hidden)
        found = self._part(self.network(x))
        layout, dim = self.config.layout, self.config.dim
        axis = -1 if layout == "channels-last" else 1
        fits = isinstance(found, Tensor) and (found.ndim == 2 if layout == "pooled" else found.ndim >= 3)
        if not fits or len(found) != len(x) or found.shape[axis] != dim:
            shape = {"pooled": f"(batch, {dim})", "channels-first": f"(batch, {dim}, ...)"}.get(
                layout, f"(batch, ..., {dim})"
            )
            got = f"a tensor {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise UsageError(
                f"encoder {self.config.name}: of a batch {tuple(x.shape)} it returns {got}, where layout {layout} and "
                f"dim {dim} promise {shape}: change layout, dim or output"
            )
        if layout == "pooled":
            return cast(Tensor, found[:, None])
        dense: Tensor = found.flatten(2).mT if layout == "channels-first" else found.flatten(1, -2)
        if self.config.stride and (expected := self.grid(x.shape[2:])) != tuple(found.shape[2:]):
            raise UsageError(
                f"encoder {self.config.name}: of a batch {tuple(x.shape)} it returns positions "
                f"{tuple(found.shape[2:])}, where stride {self.config.stride} promises {expected}"
            )
        return dense

    def _part(self, answer: Any) -> Any:
        name = self.config.output
        if not name:
            return answer
        try:
            if isinstance(answer, Mapping):
                return answer[name]
            return answer[int(name)] if name.lstrip("-").isdigit() else getattr(answer, name)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise UsageError(
                f"encoder {self.config.name}: what it returns, a {type(answer).__name__}, has no {name!r}: "
                "change output"
            ) from error


def check(config: ForeignEncoderConfig) -> None:
    """Refuse settings that are invalid for every network.

    Raises:
        UsageError: names the setting.
    """
    if config.dim < 1 or config.stride < 0:
        raise UsageError(
            f"encoder {config.name}: dim is 1 or more and stride 0 or more, got {config.dim} and {config.stride}"
        )
    if config.stride and config.layout != "channels-first":
        raise UsageError(f"encoder {config.name}: stride takes layout channels-first, not {config.layout}")


def build(config: ForeignEncoderConfig, n_channels: int, hidden: float = 0.0) -> ForeignEncoder:
    """Make the encoder that a configuration describes, with the weights that its class begins with.

    Args:
        config: which network.
        n_channels: C of the samples (B, C, ...).
        hidden: what time steps that are hidden from the encoder become in its input.

    Returns:
        The encoder, in training mode.

    Raises:
        UsageError: the class is not found or is no network, or does not take the arguments.
    """
    check(config)
    # No function is called: by its name, one of any installed package would run with what a file gives it.
    kind = resolve(config.name, "encoder", nn.Module)
    arguments = dict(config.arguments)
    taken = inspect.signature(kind).parameters
    for word in CHANNELS:
        if word in taken:
            arguments.setdefault(word, n_channels)
    try:
        network = kind(**arguments)
    except Exception as error:
        raise UsageError(
            f"encoder {config.name}: cannot be made of the arguments {arguments}: {type(error).__name__}: {error}"
        ) from error
    return ForeignEncoder(config, n_channels, cast(nn.Module, network), hidden)
