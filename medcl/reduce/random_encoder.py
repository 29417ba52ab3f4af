"""A network with random weights: the embedding that costs no training, and a control for one that did."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medcl.archive.schema import Kind
from medcl.embed.points import unit
from medcl.modality.signal.encoders import build as signal
from medcl.modality.signal.encoders.config import SignalEncoderConfig
from medcl.modality.spatial.encoders import build as image
from medcl.modality.spatial.encoders.config import ImageEncoderConfig
from medcl.reduce.by_cosine import ByCosine
from medcl.reduce.resized import resized
from medcl.reduce.strategy import Pieces, Range, Signatures, Unit

_SIZES: dict[int, tuple[int, ...]] = {1: (2000,), 2: (64, 64), 3: (32, 32, 32)}
_DIM, _AT_A_TIME = 128, 64


@dataclass(frozen=True)
class RandomEncoder(ByCosine):
    """Cosine of the embeddings of a network as it is before any training.

    Slices and pictures go through the contracting half of a small U-Net at 64 x 64 pixels, volumes at 32 x 32 x 32
    voxels, recordings through residual blocks at 2000 steps; values are scaled by each piece's own range. A network
    without training tells pieces apart much less than one with, so that the threshold lies near 1.

    Args:
        seed: of the weights.
    """

    seed: int = 0
    kinds: ClassVar[tuple[Kind, ...]] = ("volume", "image", "signal")
    dims: ClassVar[tuple[Unit, ...]] = ("slice", "record")
    thresholds: ClassVar[Range] = Range(0.999, -1, 1, (0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999))

    @property
    def key(self) -> str:
        """What signatures are kept under."""
        return f"embedding-random-{self.seed}-1"

    def signatures(self, pieces: Pieces) -> Signatures:
        """Embed pieces, (n, 128) of length 1."""
        arrays = cast(list[NDArray[Any]], pieces)
        found = np.empty((len(arrays), _DIM), dtype=np.float32)
        for start in range(0, len(arrays), _AT_A_TIME):
            part = arrays[start : start + _AT_A_TIME]
            for channels in {len(one) for one in part}:
                rows = [row for row, one in enumerate(part) if len(one) == channels]
                x = torch.stack([resized(part[row], _SIZES[part[row].ndim - 1]) for row in rows])
                found[[start + row for row in rows]] = self._embed(x)
        return unit(found)

    @torch.inference_mode()
    def _embed(self, x: Tensor) -> NDArray[np.float32]:
        network = _network(self.seed, x.ndim - 2, x.shape[1])
        return np.asarray(network.embed(x).numpy(), dtype=np.float32)


@lru_cache(maxsize=8)
def _network(seed: int, dims: int, channels: int) -> Any:
    """The network for pieces of some dimensions and channels; making it does not touch torch's own generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: Any
        if dims == 1:
            network = signal.build(SignalEncoderConfig(name="resnet", dim=_DIM, hidden=32, depth=3, stride=8), channels)
        else:
            sizes = ImageEncoderConfig(
                "unet", dims=3 if dims == 3 else 2, dim=_DIM, widths=(16, 32, 64, _DIM), norm="group"
            )
            network = image.build(sizes, channels)
    return network.eval()
