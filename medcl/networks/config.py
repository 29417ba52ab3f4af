"""The configuration of encoders of the user's own: importable without torch, for a quick command line."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class ForeignEncoderConfig:
    """A network that an installed package holds.

    Args:
        name: `package.module:Class`, a subclass of `torch.nn.Module` that takes a batch: signals (B, C, T), images
            (B, C, x, y), volumes (B, C, x, y, z), tables (B, C, T) with NaN where there is no value.
        dim: width of the embedding, which the network has to return.
        arguments: of the class, by name.
        layout: of what the network returns: `pooled` (B, dim), `channels-first` (B, dim, ...) or `channels-last`
            (B, ..., dim).
        output: which part the network's answer is of several, where it returns a tuple, a mapping or an object: its
            number or name, such as `last_hidden_state`; empty where it returns a tensor.
        stride: steps or voxels of the input along each axis that a position of `channels-first` covers, for objectives
            that ask where a position lies; 0 is not known.
        pooling: how positions are pooled.
        dims: axes of space of images and volumes, filled in; 0 for others.
    """

    name: str
    dim: int
    arguments: dict[str, Any] = field(default_factory=dict)
    layout: Literal["pooled", "channels-first", "channels-last"] = "pooled"
    output: str = ""
    stride: int = 0
    pooling: Literal["mean", "max"] = "mean"
    dims: int = 0


def is_foreign(encoder: Any) -> bool:
    """Whether the settings of an encoder, as a recipe or a card has them, name a class of the user's own."""
    return isinstance(encoder, Mapping) and bool(re.fullmatch(r"[^\\/:]+:[^\\/:]+", str(encoder.get("name", ""))))
