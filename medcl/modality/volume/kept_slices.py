"""The slices of prepared volumes that a reduced manifest keeps."""

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UsageError
from medcl.modality.rows import Rows
from medcl.modality.volume.geometry import places
from medcl.modality.volume.store import VolumeStore

Ints = NDArray[np.int64]


def kept_places(manifest: Rows, rows: Ints, store: VolumeStore, records: Ints, axis: int | None) -> list[Ints | None]:
    """Where the kept slices of volumes lie after preparation.

    Each slice that is kept is the nearest of the prepared ones; those outside of the foreground box are none.

    Args:
        manifest: that may have been reduced.
        rows: (V,) of the volumes.
        store: in which they are prepared.
        records: (V,) their numbers there.
        axis: across which slices are cut; None for three-dimensional patches.

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
    """Where patches of a range may begin across slices.

    Args:
        kept: slices that may be drawn; None for all.
        first: of the range.
        last: of the range, inclusive.

    Returns:
        All of the range that may be drawn; where it has none, the nearest that may.
    """
    if kept is None:
        return np.arange(first, last + 1)
    inside = kept[(kept >= first) & (kept <= last)]
    if len(inside):
        return inside
    away = np.where(kept < first, first - kept, kept - last)
    nearest: Ints = kept[away == away.min()]
    return nearest
