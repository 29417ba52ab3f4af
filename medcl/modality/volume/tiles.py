"""What is taken of a volume: a fixed grid of patches that covers it, or patches drawn at random."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.sampling import Batch, NumberedSamples
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.geometry import places
from medcl.modality.volume.prepare import slice_axis
from medcl.modality.volume.samples import Patch, VolumePatches, first_voxels, starts

Ints = NDArray[np.int64]


class VolumeTiles(NumberedSamples):
    """The tiles of every volume: all of its slices that the manifest keeps, or patches side by side that cover it.

    Where a volume is no multiple of the patch, tiles overlap so that all of them lie inside; where it is smaller, it
    lies in the middle of its tile.

    Args:
        patches: of the volumes.

    Attributes:
        patches: what they are cut from.
        rows: (W,) row of the manifest of each tile, ascending.
        starts: (W, 3) first voxel of each along x, y, z of the prepared volume.
        at_a_time: tiles that are embedded together: about as many voxels as 16 slices of 256 x 256.
    """

    def __init__(self, patches: VolumePatches) -> None:
        self.patches = patches
        tiles = [_tiles(shape, np.array(patches.size)) for shape in patches.shape]
        for number, kept in enumerate(patches.kept):
            if kept is not None:
                tiles[number] = tiles[number][np.isin(tiles[number][:, patches.across], kept)]
        counts = [len(one) for one in tiles]
        self.starts: Ints = np.concatenate(tiles)
        self._numbers: Ints = np.repeat(np.arange(len(tiles)), counts)
        self.rows: Ints = patches.rows[self._numbers]
        self.at_a_time = max(1, (1 << 20) // int(np.prod(patches.size)))

    def places(self, numbers: Ints) -> list[list[float]]:
        """First voxels of tiles, (n,) of [x, y, z] of the prepared volume."""
        found: list[list[float]] = self.starts[numbers].astype(np.float64).tolist()
        return found

    def of_slices(self, z: NDArray[np.float32], row: int, axis: int) -> NDArray[np.float32]:
        """Embeddings of the slices of a file: that of the prepared slice that is nearest, the mean over its tiles.

        Args:
            z: (tiles, dim) embeddings of the tiles of the volume.
            row: of the volume.
            axis: across which slices lie.

        Returns:
            (slices, dim).
        """
        there, of = np.unique(self.starts[self.samples_of(row), axis], return_inverse=True)
        total = np.zeros((len(there), z.shape[1]))
        np.add.at(total, of, z)
        prepared = total / np.bincount(of)[:, None]
        store, record = self.patches.store, int(self.patches.records[np.searchsorted(self.patches.rows, row)])
        before, after = store.original_grid(record), store.grid(record)
        nearest = np.rint(places(before, after)[axis]).astype(np.int64).clip(0, len(prepared) - 1)
        return np.asarray(prepared[nearest], dtype=np.float32)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A batch of tiles, (B,) numbers, as `VolumePatches` returns it."""
        chosen = np.asarray(indices, dtype=np.int64)
        tiles = np.column_stack([self._numbers[chosen], self.starts[chosen]])
        return self.patches.__getitems__([(number, x, y, z) for number, x, y, z in tiles.tolist()])

    def read(self, numbers: Ints) -> Tensor:
        """Tiles (B, C, ...) float32."""
        return self.__getitems__(numbers.tolist())["x"]


def _tiles(shape: Ints, size: Ints) -> Ints:
    """First voxels of the tiles of a volume, (tiles, 3)."""
    axes = []
    for voxels, side in zip(shape, size, strict=True):
        room = int(voxels - side)
        count = -(-int(voxels) // int(side))
        axes.append(np.linspace(0, room, count).round().astype(np.int64) if room > 0 else np.array([room // 2]))
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def pieces(record: NDArray[np.float32], config: VolumeConfig) -> Tensor:
    """The tiles (S, C, ...) of a prepared volume (C, x, y, z), scaled, as `VolumeTiles` cuts them.

    Raises:
        UsageError: it is no volume of one channel.
    """
    x, size, axis = np.asarray(record, dtype=np.float32), np.array(config.size), slice_axis(config)
    if x.ndim != 4 or len(x) != 1:
        raise UsageError(f"an array of the shape {x.shape}: expected a volume (1, x, y, z), scaled from 0 to 1")
    missing = np.maximum(size - x.shape[1:], 0)
    x = np.pad(x, [(0, 0), *((-(-int(one) // 2), int(one) // 2) for one in missing)])
    cut = [x[:, *map(slice, start, start + size)] for start in _tiles(np.array(x.shape[1:]), size)]
    tiles = torch.from_numpy(np.stack(cut))
    return tiles if axis is None else tiles.squeeze(axis + 2)


class PatchDraws:
    """Volumes as patches are drawn from them: anywhere inside, of a reduced volume a slice that is kept.

    Args:
        patches: of the volumes.
    """

    codes = None

    def __init__(self, patches: VolumePatches) -> None:
        self._patches, self.rows = patches, patches.rows

    def draw(self, row: int, rng: np.random.Generator) -> Patch:
        """The number of the volume and the first voxel of a patch."""
        number, patches = int(np.searchsorted(self.rows, row)), self._patches
        low, high = first_voxels(patches.shape[number], np.array(patches.size))
        start = rng.integers(low, high + 1)
        if patches.kept[number] is not None:
            across = patches.across
            start[across] = rng.choice(starts(patches.kept[number], int(low[across]), int(high[across])))
        x, y, z = start.tolist()
        return number, x, y, z

    def read(self, draws: Sequence[Patch]) -> Tensor:
        """(B, C, ...) float32."""
        return self._patches.__getitems__(draws)["x"]
