"""The store of volumes: each decoded once, as a compressed, memory-mapped array that crops are cut from.

A store is a folder: `000012.b2nd` (channels, x, y, z) is the volume of row 12 of the manifest it was prepared from, on
axes of RAS+ and in the type in which the archive holds it (int16 stays int16); `000012.0.b2nd` is its first label map;
`index.parquet` says where each lies in the patient, how it came from its file, and what becomes 0 and 1.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medcl.data.frames import Frames
from medcl.data.index import FRAMES, Index
from medcl.data.volume_file import ArrayFiles
from medcl.errors import MedclError, UsageError

VOLUME_STORE_VERSION = 2
VOLUME_INDEX = Index(
    "volumes",
    b"medcl volumes",
    VOLUME_STORE_VERSION,
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


@dataclass(frozen=True)
class VolumeStore:
    """Prepared volumes, opened for reading; they are numbered in the order of the manifest.

    Args:
        folder: of the store.
        record_ids: (R,) of the volumes.
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
        quarantine: record id -> why the volume could not be prepared.
        mask_quarantine: name of the column -> record id -> why that label map cannot be used.
        filled: record id -> voxels that were not a number and became what `data.nan` says.
        masked: (R, M) which label maps a volume has.
        file: (R,) number of its file.
        checksums: of the files, see `Frames`.
    """

    folder: Path
    record_ids: NDArray[Any]
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
    quarantine: dict[str, str]
    mask_quarantine: dict[str, dict[str, str]]
    filled: dict[str, int]
    masked: Bools
    file: Ints
    checksums: dict[str, list[int]] = field(default_factory=dict)
    _files: ArrayFiles = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_files", ArrayFiles(Frames(self.folder, self.checksums)))

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a store that `prepare_volumes` published.

        Args:
            folder: of the store.

        Raises:
            MedclError: if the folder is no store of volumes, or one of another version.
        """
        table, about = VOLUME_INDEX.read(folder)

        def matrix(name: str, *shape: int) -> NDArray[Any]:
            flat = np.asarray(table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False))
            return flat.reshape(len(table), *shape)

        triples: dict[str, Any] = {
            name: matrix(name, 3) for name in ("shape", "original_shape", "box_start", "box_stop")
        }
        affines: dict[str, Any] = {name: matrix(name, 4, 4) for name in ("affine", "original_affine")}
        numbers: dict[str, Any] = {name: table[name].to_numpy() for name in ("low", "high", "file")}
        return cls(
            folder=folder,
            record_ids=np.asarray(table["record_id"].to_pylist(), dtype=object),
            n_channels=about["n_channels"],
            masks=tuple(about["masks"]),
            quarantine=about["quarantine"],
            checksums=about.get(FRAMES, {}),
            mask_quarantine=about["mask_quarantine"],
            filled=about["filled"],
            masked=matrix("masks", len(about["masks"])).astype(bool),
            **triples,
            **affines,
            **numbers,
        )

    def __len__(self) -> int:
        """Number of volumes."""
        return len(self.record_ids)

    @property
    def spacing(self) -> Floats:
        """(R, 3) mm, of the prepared volumes."""
        lengths: Floats = np.linalg.norm(self.affine[:, :3, :3], axis=1)
        return lengths

    def has_mask(self, name: str) -> Bools:
        """Which volumes have a label map of this name, (R,).

        Raises:
            UsageError: no such column was prepared.
        """
        return self.masked[:, self._mask(name)]

    def read(self, record: int, start: Ints, size: Ints) -> NDArray[Any]:
        """Stored numbers of a part of a volume.

        Args:
            record: number of the volume.
            start: (3,) first voxel.
            size: (3,) voxels.

        Returns:
            (channels, *size) in the type of the volume.

        Raises:
            MedclError: if a part of it is not inside the volume.
        """
        self._check_inside(record, start, size)
        return self._files.read(array_name(self.file[record]), start, size)

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
        self._check_inside(record, start, size)
        part: NDArray[np.uint8] = self._files.read(array_name(self.file[record], mask), start, size)[0]
        return part

    def _mask(self, name: str) -> int:
        if name not in self.masks:
            raise UsageError(
                f"no label maps {name!r} in the store: it has {', '.join(self.masks) or 'none'}; join them with "
                "`medcl scan` and prepare the manifest again"
            )
        return self.masks.index(name)

    def _check_inside(self, record: int, start: Ints, size: Ints) -> None:
        start, stop = np.asarray(start), np.asarray(start) + size
        if (start < 0).any() or (stop <= start).any() or (stop > self.shape[record]).any():
            raise MedclError(
                f"voxels {start.tolist()} to {stop.tolist()} are outside of a volume of {self.shape[record].tolist()}"
            )


def array_name(file: int, mask: int | None = None) -> str:
    """File of a volume, or of one of its label maps."""
    return f"{file:06d}.b2nd" if mask is None else f"{file:06d}.{mask}.b2nd"
