"""The configuration of an encoder: importable without torch, so that the command line stays quick."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SignalEncoderConfig:
    """What turns a window (channels, time) into embeddings.

    Args:
        name: `dilated` (COMET and TS2Vec), `resnet` (1-D ResNet) or `transformer` (patches).
        dim: width of the embedding.
        hidden: width inside the encoder.
        depth: residual blocks (dilated), stages (resnet) or layers (transformer).
        stride: time steps that one position of the dense embedding covers.
        dropout: probability of dropping a feature.
        pooling: how a dense embedding becomes one vector over time.
    """

    name: Literal["dilated", "resnet", "transformer"] = "dilated"
    dim: int = 320
    hidden: int = 64
    depth: int = 10
    stride: int = 1
    dropout: float = 0.1
    pooling: Literal["max", "mean"] = "max"
