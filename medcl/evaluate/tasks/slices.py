"""Slices of volumes with label maps: every slice that is not blank, labelled by whether a voxel of it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medcl.archive.manifest import Manifest
from medcl.data.store import open_store
from medcl.errors import UsageError
from medcl.evaluate.items import Ints, Items
from medcl.evaluate.results import ResultTarget
from medcl.evaluate.tasks.base import Task
from medcl.evaluate.tasks.classes import Binary
from medcl.modality import wing_of
from medcl.modality.sampling import SampleSet
from medcl.modality.volume.samples import VolumePatches


@dataclass(frozen=True)
class BySlice:
    """The tiles of each slice.

    Args:
        row: (I,) row of the manifest of each slice, ascending.
        place: (I,) its number in the prepared volume, ascending within one.
        axis: across which slices lie.
    """

    row: Ints
    place: Ints
    axis: int

    def __call__(self, samples: SampleSet) -> tuple[Ints, Ints]:
        """See `Grouping`."""
        place = np.array(samples.places(np.arange(len(samples))), dtype=np.int64).reshape(-1, 3)[:, self.axis]
        step = 1 + int(max(place.max(), self.place.max()))
        known, wanted = samples.rows * step + place, self.row * step + self.place
        item = np.searchsorted(wanted, known).clip(max=len(wanted) - 1)
        numbers = np.flatnonzero(wanted[item] == known)
        return numbers, item[numbers]


def slices_of(manifest: Manifest, store: Path, data: Any, target: str) -> tuple[Task, Items]:
    """Whether a slice shows what a column of label maps outlines.

    Args:
        manifest: of readable records.
        store: folder of the prepared volumes.
        data: what a sample is, which has to be a slice.
        target: column of label maps.

    Raises:
        UsageError: samples are no slices, or no two slices differ in their label.
    """
    wing = wing_of(data)
    patches = VolumePatches(open_store(store, "volume"), manifest, data, mask=target) if wing.has_slices else None
    if patches is None or patches.axis is None:
        raise UsageError(f"--target {target}: of label maps slices are tested; the recipe's samples are not slices")
    axis = patches.axis
    flat = tuple(other for other in range(3) if other != axis)
    row, place, labels = [], [], []
    for volume, own in enumerate(patches.rows.tolist()):
        voxels, axes = patches.volume(volume), (0, *(other + 1 for other in flat))
        shown = np.flatnonzero((voxels.amax(axes) > voxels.amin(axes)).numpy())
        if (kept := patches.kept[volume]) is not None:
            shown = np.intersect1d(shown, kept)
        row.append(np.full(len(shown), own))
        place.append(shown)
        labels.append(patches.labels(volume).amax(flat).numpy()[shown] > 0)
    of, at, label = np.concatenate(row), np.concatenate(place), np.concatenate(labels).astype(np.int64)
    if len(np.unique(label)) < 2:
        raise UsageError(f"--target {target}: every slice that is not blank has the same label")
    records = Items.records(manifest)
    ids = np.array([f"{record}, slice {slice_}" for record, slice_ in zip(records.ids[of], at, strict=True)], object)
    task = Binary(ResultTarget(target, "binary", ("absent", "present")), label)
    return task, Items("slices", of, records.patient[of], records.split[of], ids, grouping=BySlice(of, at, axis))
