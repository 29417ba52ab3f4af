"""Prepared volumes: each an array (channels, x, y, z) of its own, on axes of RAS+, its label maps next to it.

`000012.b2nd` is the volume of row 12 of the manifest it was prepared from, `000012.0.b2nd` its first label map; the
index says where each lies in the patient, how it came from its file, and what becomes 0 and 1.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medcl.errors import MedclError, UsageError
from medcl.modality.storing import Apart, PreparedRecords, StoredArrays, StoreIndex
from medcl.modality.volume.record import Grid

VERSION = 2
INDEX = StoreIndex(
    "volumes",
    b"medcl volumes",
    VERSION,
    pa.schema(
        [
            ("record_id", pa.string()),
            ("file", pa.int64()),
            *((name, pa.list_(pa.int64())) for name in ("shape", "original_shape", "box_start", "box_stop")),
            *((name, pa.list_(pa.float64())) for name in ("affine", "original_affine")),
            *((name, pa.float64()) for name in ("low", "high")),
            ("masks", pa.list_(pa.bool_())),
        ]
    ),
)
"""`about`: key, n_channels, masks, quarantine, mask_quarantine, filled. Matrices are flat, and `masks` is `masked`."""
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class VolumeStore(PreparedRecords):
    """Prepared volumes, opened for reading; they are numbered in the order of the manifest.

    Args:
        shape: (R, 3) of the prepared volume, along the axes of RAS+.
        affine: (R, 4, 4) of the prepared grid, voxel index -> mm, RAS+.
        original_shape: (R, 3) of the volume before anything was cut or resampled, along the axes of RAS+.
        original_affine: (R, 4, 4) of that grid.
        box_start: (R, 3) first voxel of the original that was kept.
        box_stop: (R, 3) the voxel after the last.
        low: (R,) the number that becomes 0.
        high: (R,) the number that becomes 1.
        n_channels: of every volume.
        masks: names of the columns of label maps that were prepared.
        mask_quarantine: name of the column -> record id -> why that label map cannot be used.
        filled: record id -> voxels that were not a number and became what `data.nan` says.
        masked: (R, M) which label maps a volume has.
        file: (R,) number of its file.
    """

    shape: Ints
    affine: Floats
    original_shape: Ints
    original_affine: Floats
    box_start: Ints
    box_stop: Ints
    low: Floats
    high: Floats
    n_channels: int
    masks: tuple[str, ...]
    mask_quarantine: dict[str, dict[str, str]]
    filled: dict[str, int]
    masked: Bools
    file: Ints

    @classmethod
    def of(cls, stored: StoredArrays) -> Self:
        """Volumes that `prepare` has published."""
        table, about = stored.columns, stored.about

        def matrix(name: str, *shape: int) -> NDArray[Any]:
            flat = np.asarray(table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False))
            return flat.reshape(len(table), *shape)

        triples: dict[str, Any] = {
            name: matrix(name, 3) for name in ("shape", "original_shape", "box_start", "box_stop")
        }
        affines: dict[str, Any] = {name: matrix(name, 4, 4) for name in ("affine", "original_affine")}
        numbers: dict[str, Any] = {name: table[name].to_numpy() for name in ("low", "high", "file")}
        return cls(
            **cls.shared(stored),
            n_channels=about["n_channels"],
            masks=tuple(about["masks"]),
            mask_quarantine=about["mask_quarantine"],
            filled=about["filled"],
            masked=matrix("masks", len(about["masks"])).astype(bool),
            **triples,
            **affines,
            **numbers,
        )

    def described(self) -> str:
        """What it holds, in words."""
        masks = f", label maps: {', '.join(self.masks)}" if self.masks else ""
        return f"{len(self)} volumes of {self.n_channels} channel(s){masks}"

    @property
    def spacing(self) -> Floats:
        """(R, 3) mm, of the prepared volumes."""
        lengths: Floats = np.linalg.norm(self.affine[:, :3, :3], axis=1)
        return lengths

    def grid(self, record: int) -> Grid:
        """The grid of a prepared volume, on axes of RAS+."""
        return _grid(self.shape[record], self.affine[record])

    def original_grid(self, record: int) -> Grid:
        """The grid of a volume before it was cut and resampled to another spacing, on axes of RAS+.

        It is that of its file; of irregular slices that were resampled (`data.irregular: resample`) the regular grid
        that they were resampled onto, for there is no way back onto tilted slices.
        """
        return _grid(self.original_shape[record], self.original_affine[record])

    def has_mask(self, name: str) -> Bools:
        """Which volumes have a label map of this name, (R,).

        Raises:
            UsageError: no such column was prepared.
        """
        return self.masked[:, self._mask(name)]

    def read(self, record: int, start: Ints, size: Ints) -> NDArray[Any]:
        """Stored numbers of a part of a volume: `size` (3,) voxels from `start` (3,) on.

        Returns:
            (channels, *size) in the type of the volume.

        Raises:
            MedclError: if a part of it is not inside the volume.
        """
        return self._read(record, None, start, size)

    def read_mask(self, name: str, record: int, start: Ints, size: Ints) -> NDArray[np.uint8]:
        """A part of a label map, (*size): 0 is the background, k the k-th class.

        Raises:
            UsageError: no such column was prepared.
            MedclError: the volume has no such label map, or a part is not inside of it.
        """
        mask = self._mask(name)
        if not self.masked[record, mask]:
            reason = self.mask_quarantine.get(name, {}).get(str(self.record_ids[record]), "the manifest names none")
            raise MedclError(f"{self.record_ids[record]}: has no label map {name!r}: {reason}")
        part: NDArray[np.uint8] = self._read(record, mask, start, size)[0]
        return part

    def _mask(self, name: str) -> int:
        if name not in self.masks:
            raise UsageError(
                f"no label maps {name!r} in the store: it has {', '.join(self.masks) or 'none'}; join them with "
                "`medcl scan` and prepare the manifest again"
            )
        return self.masks.index(name)

    def _read(self, record: int, mask: int | None, start: Ints, size: Ints) -> NDArray[Any]:
        first, voxels = np.asarray(start).tolist(), np.asarray(size).tolist()
        extent = self.shape[record].tolist()
        if any(at < 0 or n < 1 or at + n > whole for at, n, whole in zip(first, voxels, extent, strict=True)):
            stop = [at + n for at, n in zip(first, voxels, strict=True)]
            raise MedclError(f"voxels {first} to {stop} are outside of a volume of {extent}")
        name = Apart.file(int(self.file[record]), mask)
        channels = self.n_channels if mask is None else 1
        part: NDArray[Any] = np.empty((channels, *voxels), dtype=self.stored.dtype(name))
        self.stored.read_into(part, name, (0, *first))
        return part


def _grid(shape: Ints, affine: Floats) -> Grid:
    x, y, z = (int(size) for size in shape)
    return Grid((x, y, z), affine)
