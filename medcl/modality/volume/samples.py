"""Patches of prepared volumes, 3-D crops or 2-D slices, as batches of tensors; which slices are kept."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from medcl.errors import MedclError, UsageError
from medcl.modality.rows import Rows, of_levels
from medcl.modality.sampling import Batch
from medcl.modality.storing import records_of
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.geometry import places
from medcl.modality.volume.prepare import slice_axis
from medcl.modality.volume.store import VolumeStore

Ints = NDArray[np.int64]


def kept_places(manifest: Rows, rows: Ints, store: VolumeStore, records: Ints, axis: int | None) -> list[Ints | None]:
    """Where the kept slices of volumes lie after preparation.

    Each slice that is kept is the nearest of the prepared ones; those outside of the foreground box are none. `rows`
    (V,) are volumes of the manifest, `records` (V,) their numbers in the store; slices are cut across `axis`, None for
    three-dimensional patches.

    Returns:
        (V,) numbers of prepared slices, ascending, perhaps none; None where all of a volume is kept.

    Raises:
        UsageError: slices were kept, and patches are three-dimensional or cut across another axis, or volumes were
            resampled onto another number of slices than were looked at.
    """
    every = manifest.kept
    found: list[Ints | None] = [every[row] for row in rows.tolist()]
    if all(one is None for one in found):
        return found
    if axis != manifest.kept_axis:
        cut = "patches are three-dimensional" if axis is None else f"slices are cut across {'xyz'[axis]}"
        raise UsageError(
            f"the manifest was reduced to slices across {'xyz'[manifest.kept_axis]}, but {cut}: take a recipe for "
            f"these slices (1 at that place of data.size), the manifest from before `medcl reduce`, or reduce it by "
            "whole volumes (`--unit record`)"
        )
    counted = manifest.column("shape")
    return [
        None if kept is None else _prepared(kept, store, record, axis, int(counted[row][axis]))
        for kept, row, record in zip(found, rows.tolist(), records.tolist(), strict=True)
    ]


def _prepared(kept: Ints, store: VolumeStore, record: int, axis: int, counted: int) -> Ints:
    before = store.original_grid(record)
    if before.shape[axis] != counted:
        raise UsageError(
            f"volume {store.record_ids[record]}: slices of {counted} were kept, but it was resampled onto "
            f"{before.shape[axis]} (data.irregular): reduce it by whole volumes (`--unit record`)"
        )
    after = store.grid(record)
    at = np.rint(places(before, after)[axis][kept]).astype(np.int64)
    return np.unique(at[(at >= 0) & (at < after.shape[axis])])


def starts(kept: Ints | None, first: int, last: int) -> Ints:
    """Where patches of a range may begin across slices: all of it that is kept (None: all), else the nearest that is.

    Args:
        kept: slices that may be drawn.
        first: of the range.
        last: of the range, inclusive.
    """
    if kept is None:
        return np.arange(first, last + 1)
    inside = kept[(kept >= first) & (kept <= last)]
    if len(inside):
        return inside
    away = np.where(kept < first, first - kept, kept - last)
    nearest: Ints = kept[away == away.min()]
    return nearest


Patch = tuple[int, int, int, int]
"""Number of a volume in the order of `VolumePatches.rows`, and the first voxel along x, y, z, which may be outside."""
_LEVELS = ("patient", "study", "series")
_SLICES_OF_A_VOLUME = 1 << 20
"""A slice's id is row * this + place, so that it does not depend on which other volumes there are."""


class VolumePatches(Dataset[Batch]):
    """Patches of a fixed size, anywhere in the volumes of a manifest.

    Voxels are scaled so that `store.low` becomes 0 and `store.high` 1, and clipped to that range where there is a
    window. What lies outside of a volume is 0 after scaling, and background in its label map.

    Args:
        store: prepared volumes.
        manifest: whose records are cut; those that the store has quarantined are left out.
        config: size of the patches, and whether there is a window.
        mask: name of a column of label maps that come with the patches; volumes without one are left out.

    Attributes:
        rows: (V,) rows of the manifest, ascending.
        records: (V,) their numbers in the store.
        shape: (V, 3) voxels of each along x, y, z.
        ids: {level: (V,) int64} for patient, study and series where known for all, and volume.
        size: of a patch.
        axis: across which slices are cut; None for 3-D.
        across: the axis of positions: that of the slices, z in 3-D.
        kept: (V,) the slices of each that a reduced manifest keeps, ascending; None for all.

    Raises:
        UsageError: the size of a patch is invalid, no such label maps in the store, or a manifest that was reduced to
            other slices.
        MedclError: the store was prepared from other records, or no volume is left.
    """

    counted = "volumes"

    def __init__(self, store: VolumeStore, manifest: Rows, config: VolumeConfig, *, mask: str | None = None) -> None:
        self.store, self.mask = store, mask
        self.axis = slice_axis(config)
        self.across = 2 if self.axis is None else self.axis
        x, y, z = (int(voxels) for voxels in config.size)
        self.size = (x, y, z)
        self._clip = config.window is not None
        records = records_of(store, manifest, "volume")
        there = records >= 0
        if mask is not None:
            there[there] = store.has_mask(mask)[records[there]]
        self.rows: Ints = np.flatnonzero(there)
        self.records: Ints = records[self.rows]
        kept = kept_places(manifest, self.rows, store, self.records, self.axis)
        some = np.array([one is None or len(one) > 0 for one in kept], dtype=bool)
        self.rows, self.records = self.rows[some], self.records[some]
        self._missing = int((manifest.kinds == "volume").sum()) - len(self.rows)
        self.kept = [one for one in kept if one is None or len(one)]
        if not len(self.rows):
            raise MedclError("there is no volume" + (f" with a label map {mask!r}" if mask is not None else ""))
        self.shape: Ints = store.shape[self.records]
        self.ids: dict[str, Ints] = of_levels(manifest, self.rows, _LEVELS)
        trial = manifest.column("trial")[self.rows] if manifest.has("trial") else np.full(len(self.rows), -1)
        # Where a manifest knows no code of a volume, each is one of its own.
        self.ids["volume"] = trial if (trial >= 0).all() else self.rows

    def __len__(self) -> int:
        """Number of volumes."""
        return len(self.rows)

    def __getitem__(self, patch: Patch) -> Batch:
        """One patch as a batch of one."""
        return self.__getitems__([patch])

    def __getitems__(self, patches: Sequence[Patch]) -> Batch:
        """A batch.

        Args:
            patches: (B,) volumes and first voxels.

        Returns:
            `x` (B, C, *size) float32, scaled; of slices (B, C, a, b), the two other axes in their order. `index` (B,)
            rows of the manifest. `ids` {level: (B,) int64}, among them "slice", the place of the patch's centre in its
            volume. `position` (B,) float32: that place from 0 to 1. With a mask `y` (B, *spatial) uint8.
        """
        where = np.asarray(patches, dtype=np.int64).reshape(-1, 4)
        numbers, starts = where[:, 0], where[:, 1:]
        x = np.zeros((len(where), self.store.n_channels, *self.size), dtype=np.float32)
        y = np.zeros((len(where), *self.size), dtype=np.uint8) if self.mask is not None else None
        for i, (number, start) in enumerate(zip(numbers.tolist(), starts, strict=True)):
            first = np.maximum(start, 0)
            size = np.minimum(start + self.size, self.shape[number]) - first
            if (size <= 0).any():
                continue
            record = int(self.records[number])
            a, b, c = (slice(at, at + count) for at, count in zip(first - start, size, strict=True))
            self._scale(self.store.read(record, first, size), record, x[i, :, a, b, c])
            if y is not None and self.mask is not None:
                y[i, a, b, c] = self.store.read_mask(self.mask, record, first, size)
        extent = self.shape[numbers, self.across]
        centre = starts[:, self.across] + self.size[self.across] / 2
        place = np.clip(np.floor(centre).astype(np.int64), 0, extent - 1)
        ids = {level: of[numbers] for level, of in self.ids.items()}
        ids["slice"] = self.rows[numbers] * _SLICES_OF_A_VOLUME + place
        batch: Batch = {
            "x": torch.from_numpy(x if self.axis is None else x.squeeze(self.axis + 2)),
            "index": torch.from_numpy(self.rows[numbers]),
            "ids": {level: torch.from_numpy(of) for level, of in ids.items()},
            "position": torch.from_numpy(np.clip(centre / extent, 0, 1).astype(np.float32)),
        }
        if y is not None:
            batch["y"] = torch.from_numpy(y if self.axis is None else y.squeeze(self.axis + 1))
        return batch

    @property
    def patients(self) -> Ints:
        """(V,) id of the patient of each volume; where it is not known, each is of one of its own."""
        return self.ids.get("patient", self.ids["volume"])

    @property
    def units(self) -> Ints:
        """(V,) id of each volume."""
        return self.ids["volume"]

    @property
    def id_names(self) -> tuple[str, ...]:
        """Levels."""
        return (*self.ids, "slice")

    @property
    def left_out(self) -> dict[str, int]:
        """Volumes that are not trained on."""
        return {"volumes could not be prepared": self._missing}

    @property
    def note(self) -> str:
        """A sentence on patches that hold a border of zeros around every volume; empty where they do not."""
        axes = [name for name, sizes, side in zip("xyz", self.shape.T, self.size, strict=True) if sizes.max() < side]
        where = f"data.size {list(self.size)} is larger than every volume along {', '.join(axes)}"
        return f"{where}: what lies outside is 0, and a smaller size costs less" if axes else ""

    def draw(self, number: int, count: int, *, seed: int, step: int, partitions: int = 1) -> list[Patch]:
        """Draw patches of a volume, as a function of all arguments.

        Along an axis where the volume is larger than a patch, the patch lies anywhere inside; where it is smaller, it
        is in the middle. Several slices of a volume are different ones, as far as there are enough. Of a volume that
        was reduced, only the slices that are kept are drawn; of a partition without any, the nearest.

        With S partitions (Chaitanya et al. 2020), volumes are divided along the axis of the slices (z in 3-D) into S
        equal parts, and the centre of patch i lies anywhere in part i mod S, so that a patch at an end may reach over
        it.

        Args:
            number: of the volume, in the order of `rows`.
            count: of patches.
            seed: of the run.
            step: for which they are drawn.
            partitions: of a volume; 1 is no division.
        """
        rng = np.random.default_rng([seed, 2, step, number])
        low, high = first_voxels(self.shape[number], np.array(self.size))
        drawn = rng.integers(low, high + 1, (count, 3))
        for part in range(partitions):
            own = len(range(part, count, partitions))
            first, last = int(low[self.across]), int(high[self.across])
            if partitions > 1:
                first, last = self._within(part, partitions, int(self.shape[number, self.across]))
            some = starts(self.kept[number], first, last)
            drawn[part::partitions, self.across] = some[rng.choice(len(some), own, replace=len(some) < own)]
        return [(number, x, y, z) for x, y, z in drawn.tolist()]

    def _within(self, part: int, partitions: int, extent: int) -> tuple[int, int]:
        """First and last start of the patches whose centre lies in a partition; the nearest where there is none."""
        half = self.size[self.across] / 2
        first, stop, end = (int(np.ceil(place * extent / partitions - half)) for place in (part, part + 1, partitions))
        first = min(first, end - 1)
        return first, max(first, stop - 1)

    def volume(self, number: int) -> Tensor:
        """A whole prepared volume by its number in `rows`, (C, X, Y, Z) float32, scaled."""
        record = int(self.records[number])
        native = self.store.read(record, np.zeros(3, dtype=np.int64), self.shape[number])
        x = np.empty(native.shape, dtype=np.float32)
        self._scale(native, record, x)
        return torch.from_numpy(x)

    def labels(self, number: int) -> Tensor:
        """The label map of a whole volume, (X, Y, Z) uint8.

        Args:
            number: of the volume, in the order of `rows`.

        Raises:
            MedclError: these are patches without label maps.
        """
        if self.mask is None:
            raise MedclError("these patches were made without label maps")
        record = int(self.records[number])
        whole = self.store.read_mask(self.mask, record, np.zeros(3, dtype=np.int64), self.shape[number])
        return torch.from_numpy(whole)

    def _scale(self, native: NDArray[Any], record: int, out: NDArray[np.float32]) -> None:
        """Scale stored numbers (C, x, y, z) into a place of this shape."""
        low, high = float(self.store.low[record]), float(self.store.high[record])
        np.subtract(native, np.float32(low), out=out, dtype=np.float32, casting="unsafe")
        out *= np.float32(1 / (high - low))
        if self._clip:
            np.clip(out, 0, 1, out=out)


def first_voxels(shape: Ints, size: Ints) -> tuple[Ints, Ints]:
    """Where a patch may begin: anywhere inside, and along an axis where it is the larger, around the whole volume.

    Takes voxels of the volume (3,) and of the patch (3,), returns (3,) the lowest and the highest first voxel.
    """
    room = shape - size
    return np.where(room < 0, room // 2, 0), np.where(room < 0, room // 2, room)
