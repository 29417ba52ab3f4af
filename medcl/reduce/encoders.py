"""Cosine of embeddings, and encoders that no run of medcl trained: random weights, a vision model of transformers."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medcl.embed.vectors import unit
from medcl.engine.parallel import one_at_a_time
from medcl.errors import MedclError, UnreadableError
from medcl.modality.signal import encoders as signal
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.spatial import encoders as image
from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.networks.vision_model import load
from medcl.reduce.strategy import DuplicatePairs, Pieces, Range, Signatures, Strategy

ROWS, COLUMNS = 1024, 8192
"""Of the part of the matrix that is in memory at a time: 32 MB."""
DECIMALS = 6
"""Similarities are rounded to what float32 can tell, so that a vector and its copy have exactly 1."""
Floats = NDArray[np.float32]


def cosines(a: Floats, b: Floats) -> Floats:
    """Compute the similarity of each pair of unit vectors (n, d) and (m, d), (n, m) float32."""
    return _rounded(a @ b.T)


def search(a: Floats, b: Floats, threshold: float) -> Iterator[DuplicatePairs]:
    """Find all pairs of unit vectors (n, d) and (m, d) at or above a cosine, exactly.

    Yields:
        Each pair of a row of a and a row of b exactly once, in blocks of bounded memory.
    """
    part = np.empty((min(ROWS, len(a)), min(COLUMNS, len(b))), dtype=np.float32)
    low = np.float32(threshold - 10.0**-DECIMALS)
    for top in range(0, len(a), ROWS):
        first = a[top : top + ROWS]
        for left in range(0, len(b), COLUMNS):
            second = b[left : left + COLUMNS]
            similarity = part.ravel()[: len(first) * len(second)].reshape(len(first), len(second))
            np.matmul(first, second.T, out=similarity)
            row, column = np.nonzero(similarity >= low)
            measure = _rounded(similarity[row, column])
            near = measure >= threshold
            yield DuplicatePairs(row[near] + top, column[near] + left, measure[near])


def _rounded(similarity: Floats) -> Floats:
    return np.asarray(np.clip(np.round(similarity, DECIMALS), -1, 1), dtype=np.float32)


class ByCosine(Strategy):
    """Cosine similarity of embeddings; signatures are their directions, (n, width) float32 of length 1."""

    name = "embedding"
    thresholds = Range(0.95, -1, 1, (0.5, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.999))

    def compare(self, a: Signatures, b: Signatures) -> NDArray[np.float32]:
        """Compute the cosine of each pair, (n, m)."""
        return cosines(a, b)

    def search(self, a: Signatures, b: Signatures, threshold: float) -> Iterator[DuplicatePairs]:
        """Find all pairs at or above the threshold, exactly, in blocks of bounded memory."""
        return search(a, b, threshold)

    def vectors(self, signatures: Signatures) -> NDArray[np.float32]:
        """Unit vectors: their Euclidean distance orders pairs as the cosine does."""
        return np.asarray(signatures, dtype=np.float32)


_SIZES: dict[int, tuple[int, ...]] = {1: (2000,), 2: (64, 64), 3: (32, 32, 32)}
_DIM, _AT_A_TIME = 128, 64


@dataclass(frozen=True)
class RandomEncoder(ByCosine):
    """Cosine of the embeddings of a network as it is before any training.

    Slices and images go through the contracting half of a small U-Net at 64 x 64 pixels, volumes at 32 x 32 x 32
    voxels, recordings through residual blocks at 2000 steps; values are scaled by each piece's own range. Embeddings
    of an untrained network are much more similar than those of a trained one, so that the threshold lies near 1.

    Args:
        seed: of the weights.
    """

    seed: int = 0
    kinds = ("volume", "image", "signal")
    thresholds = Range(0.999, -1, 1, (0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999))

    @property
    def key(self) -> str:
        """What signatures are kept under."""
        return f"embedding-random-{self.seed}-1"

    def signatures(self, pieces: Pieces) -> Signatures:
        """Embed pieces, (n, 128) of length 1."""
        found = np.empty((len(pieces), _DIM), dtype=np.float32)
        for start in range(0, len(pieces), _AT_A_TIME):
            part = pieces[start : start + _AT_A_TIME]
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
@one_at_a_time
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


def resized(piece: NDArray[Any], size: tuple[int, ...]) -> Tensor:
    """A piece (C, ...) as (C, *size) float32, its least value as 0 and its greatest as 1; of a constant one all is 0.5.

    Raises:
        UnreadableError: the piece is empty, or holds a value that is not a finite number.
    """
    if not piece.size:
        raise UnreadableError(f"an empty piece of shape {piece.shape}: nothing to compare")
    if piece.dtype.kind == "f" and not np.isfinite(np.sum(piece, dtype=np.float64)) and not np.isfinite(piece).all():
        raise UnreadableError("values that are not finite numbers (NaN or infinite): repair the file or leave it out")
    values = piece.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    # Not 0: a network without biases has no embedding of nothing, and constant pieces are copies of each other.
    scaled = torch.from_numpy((values - low) / (high - low) if high > low else np.full_like(values, 0.5))[None]
    if len(size) == 2:
        return F.interpolate(scaled, size, mode="bilinear", antialias=True)[0]
    # The mean over what falls into a voxel or step; where there is less than one, its neighbour stands for it.
    if len(size) == 3:
        return F.adaptive_avg_pool3d(scaled, (size[0], size[1], size[2]))[0]
    return F.adaptive_avg_pool1d(scaled, size[0])[0]


_CONFIG = "config.json"


@dataclass(frozen=True)
class VisionEncoder(ByCosine):
    """Cosine of the embeddings of a vision model: ViT, DINOv2, the vision side of CLIP and their like.

    A slice or image is scaled by its own range, resized and normalised as the folder says, one channel taken three
    times; a volume's embedding is the mean over its slices along z.

    Args:
        folder: that `save_pretrained` wrote.

    Raises:
        MedclError: there is no such folder, or it holds no model.
        UsageError: its model does not take images.
    """

    folder: Path
    kinds = ("volume", "image")

    def __post_init__(self) -> None:
        if not (self.folder / _CONFIG).is_file():
            raise MedclError(
                f"--encoder {self.folder}: no folder of a transformers model ({_CONFIG} is missing); nothing is "
                "fetched from the network: save the model with `save_pretrained` and name the folder"
            )

    @property
    def key(self) -> str:
        """What signatures are kept under: the model's files, wherever they lie."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.iterdir()):
            if path.is_file() and path.suffix in (".json", ".safetensors", ".bin"):
                about = path.stat()
                digest.update(f"{path.name} {about.st_size} {about.st_mtime_ns}\n".encode())
        return f"embedding-{digest.hexdigest()[:20]}-1"

    def signatures(self, pieces: Pieces) -> Signatures:
        """Embed pieces, (n, width) of length 1."""
        model = load(self.folder)
        found = []
        for piece in pieces:
            slices = np.moveaxis(piece, 3, 0) if piece.ndim == 4 else piece[None]
            x = torch.stack([_rgb(one, model.size) for one in slices])
            found.append(np.mean([model.embed(part) for part in torch.split(x, 1)], axis=0)[0])
        return unit(np.stack(found))


def _rgb(piece: NDArray[Any], size: tuple[int, int]) -> Tensor:
    """(3, rows, columns) from 0 to 1; of other numbers of channels, their mean."""
    scaled = resized(piece, size)
    return scaled if len(scaled) == 3 else scaled.mean(dim=0, keepdim=True).expand(3, -1, -1)
