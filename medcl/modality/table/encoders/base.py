"""What encoders of tables share: the check of their input, and the embedding of each step."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.table.config import TableEncoderConfig
from medcl.networks.encoder import Encoder


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
    if bool(((found >= n_classes) | (values < 0)).any()):
        raise UsageError("a code of a category is not below its number of classes: were the samples scaled twice?")
    return found
