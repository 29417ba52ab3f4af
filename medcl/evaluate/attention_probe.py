"""Attention to the samples of an item, learned with a linear head on frozen embeddings."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medcl.embed.encoders import Width
from medcl.evaluate.cells import Arrays
from medcl.evaluate.config import FinetuneConfig
from medcl.evaluate.protocols import Finetuned, fine_tune
from medcl.evaluate.tasks.base import Rows, Task
from medcl.modality.sampling import NumberedSamples
from medcl.networks.pooling import PoolingName

PROBE = FinetuneConfig(steps=2000, windows=64)
"""How attention is learned on frozen embeddings."""


class Embedded(NumberedSamples):
    """Frozen embeddings of samples, which an encoder that leaves them as they are takes.

    Args:
        z: (N, dim).
        rows: (N,) the item of each, ascending.
    """

    at_a_time = 1 << 14

    def __init__(self, z: NDArray[np.floating[Any]], rows: Rows) -> None:
        self._z, self.rows, self.ids = z, rows, {}

    def read(self, numbers: Rows) -> Tensor:
        """Embeddings (B, dim)."""
        return torch.from_numpy(self._z[numbers]).float()


class AsTheyAre(nn.Identity):
    """The encoder of `Embedded`.

    Args:
        dim: width of an embedding.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.config = Width(dim)

    def embed(self, x: Tensor) -> Tensor:
        """(B, dim) to the same."""
        return x


def attention_probe(
    task: Task,
    z: NDArray[np.floating[Any]],
    item: Rows,
    train: Rows,
    validation: Rows,
    *,
    pooling: PoolingName,
    seed: int,
    device: torch.device,
    config: FinetuneConfig = PROBE,
) -> tuple[Finetuned, Embedded, Arrays]:
    """Train the pooling and a linear head; the steps are chosen by the rows `validation`.

    Args:
        task: of the items.
        z: (N, dim) embeddings of samples.
        item: (N,) to which each belongs, ascending.
        train: items to train on.
        validation: items to choose by.
        pooling: one that is learned.
        seed: of the weights and the batches.
        device: to train on.
        config: how it is learned.

    Returns:
        The network, the samples that it takes, and `mean` and `scale` (dim,) of the training samples, by which these
        are standardised.
    """
    seen = z[np.isin(item, train)].astype(np.float64)
    mean, scale = seen.mean(axis=0), seen.std(axis=0)
    scale[scale == 0] = 1
    samples = Embedded((z - mean) / scale, item)
    ways: dict[str, Any] = {"seed": seed, "device": device, "pooling": pooling, "linear": True}
    tuned = fine_tune(AsTheyAre(len(mean)), task, samples, train, validation, config, **ways)
    return tuned, samples, {"mean": mean, "scale": scale}
