"""Records through an encoder: one embedding a record, the mean over its pieces' pooled embeddings."""

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medcl.evaluate.pieces import Pieces

_AT_A_TIME = 256


class Wide(Protocol):
    """A configuration that states the width of the embedding."""

    @property
    def dim(self) -> int:
        """Of the embedding."""


class Embeds(Protocol):
    """A network that embeds pieces: an encoder, or one with its projection."""

    training: bool

    @property
    def config(self) -> Wide:
        """Its configuration."""

    def embed(self, x: Tensor) -> Tensor:
        """(B, ...) to (B, dim)."""

    def train(self, mode: bool = True) -> Any:
        """Switch to training, or to evaluation."""


def mean_by_group(values: Tensor, group: Tensor, n_groups: int) -> Tensor:
    """Mean of rows (N, D) that share a group number (N,), as (n_groups, D)."""
    total = values.new_zeros(n_groups, values.shape[1]).index_add_(0, group, values)
    count = torch.bincount(group, minlength=n_groups).clamp(min=1).to(values.dtype)
    return total / count[:, None]


@torch.inference_mode()
def embed_records(
    encoder: Embeds, windows: Pieces, rows: NDArray[np.int64], device: torch.device
) -> NDArray[np.float32]:
    """Embed records, a bounded number of pieces at a time.

    Args:
        encoder: in any mode; it is run in evaluation mode and left as it was.
        windows: pieces of the records.
        rows: (R,) rows of the manifest, each with at least one piece.
        device: where the encoder lies.

    Returns:
        (R, dim).
    """
    was_training = encoder.training
    encoder.train(False)
    order = np.concatenate([windows.windows_of(int(row)) for row in rows])
    group = np.repeat(np.arange(len(rows)), [len(windows.windows_of(int(row))) for row in rows])
    total = torch.zeros(len(rows), encoder.config.dim, device=device)
    step = getattr(windows, "at_a_time", _AT_A_TIME)
    for start in range(0, len(order), step):
        part = slice(start, start + step)
        x = windows.__getitems__(order[part].tolist())["x"].to(device)
        total.index_add_(0, torch.from_numpy(group[part]).to(device), encoder.embed(x).float())
    encoder.train(was_training)
    count = torch.from_numpy(np.bincount(group, minlength=len(rows))).to(device)
    embedded: NDArray[np.float32] = (total / count[:, None]).cpu().numpy()
    return embedded
