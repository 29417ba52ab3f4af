"""Encoders of tables by configuration."""

from collections.abc import Sequence

from medcl.errors import UsageError, did_you_mean
from medcl.modality.table.config import TableEncoderConfig
from medcl.modality.table.encoders.base import TableEncoder
from medcl.modality.table.encoders.mlp import TableMLP
from medcl.modality.table.encoders.transformer import TableTransformer

ENCODERS: dict[str, type[TableEncoder]] = {"mlp": TableMLP, "transformer": TableTransformer}


def build(config: TableEncoderConfig, n_classes: Sequence[int]) -> TableEncoder:
    """Make the encoder that a configuration describes, with random weights.

    Args:
        config: which encoder, and its sizes.
        n_classes: (C,) classes of each variable of the samples (B, C, T) that it will get; 0 for numbers.

    Returns:
        The encoder, in training mode, on the CPU.

    Raises:
        UsageError: the configuration names no encoder or holds invalid sizes.
    """
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
