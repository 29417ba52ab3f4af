"""Batches of patients x volumes x patches."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medcl.data.sampler import HierarchicalSampler, check_shares, share_of
from medcl.errors import UsageError
from medcl.modality.volume.kept_slices import starts as slices_between
from medcl.modality.volume.samples import Patch, VolumePatches

Ints = NDArray[np.int64]
_TRIES = 50
"""Draws after which a buffer is shuffled by whole batches: a patient who fills up an epoch's last batch came before."""


class PatchSampler:
    """Draws batches of patches as a pure function of (seed, step).

    Patients and their volumes come as `HierarchicalSampler` draws them: an epoch visits every patient once. Of each
    volume come `samples` patches, in a row. Along an axis where the volume is larger than a patch, the patch lies
    anywhere inside; where it is smaller, it is in the middle. Several slices of a volume are different ones, as far as
    there are enough. Of a volume that was reduced, only the slices that are kept are drawn; of a partition without any,
    the nearest.

    With S partitions (Chaitanya et al. 2020), volumes are divided along the axis of the slices (z in 3-D) into S equal
    parts, and the centre of patch i lies anywhere in part i mod S, so that a patch at an end may reach over it.

    Args:
        patches: of the volumes.
        patients: in a batch; all of them where there are fewer.
        volumes: of a patient.
        samples: patches of a volume.
        partitions: of a volume; 1 is no division.
        seed: of all draws.
        reuse: how many batches a volume is in, each time with other patches and beside other patients, before the next
            volumes come: what was read from a slow disk is still in memory. An epoch has as many times more batches.
        buffer: batches whose patients are shuffled among each other each time; fewer at the end of an epoch.

    Raises:
        UsageError: if a number is not positive, or the seed is negative.
    """

    def __init__(
        self,
        patches: VolumePatches,
        *,
        patients: int,
        volumes: int,
        samples: int,
        partitions: int = 1,
        seed: int = 0,
        reuse: int = 1,
        buffer: int = 8,
    ) -> None:
        if min(patients, volumes, samples) < 1:
            raise UsageError(
                f"batch: patients, volumes and samples must be at least 1, not {patients}, {volumes}, {samples}"
            )
        if min(partitions, reuse, buffer) < 1:
            raise UsageError(
                f"batch: partitions, reuse and buffer must be at least 1, not {partitions}, {reuse}, {buffer}"
            )
        self._patient = patches.ids.get("patient", patches.ids["volume"])
        self._volumes = HierarchicalSampler(
            self._patient,
            patches.ids["volume"],
            patients=patients,
            trials=volumes,
            samples=1,
            seed=seed,
        )
        self.seed, self.samples, self.partitions = seed, samples, partitions
        self.reuse, self.buffer = reuse, buffer
        self.patients, self.n_patients = self._volumes.patients, self._volumes.n_patients
        self._shape, self._size, self._across = patches.shape, np.array(patches.size), patches.across
        self._kept = patches.kept

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._volumes) * self.reuse

    def batches(self, start: int, stop: int, *, rank: int = 0, world: int = 1) -> Iterator[list[Patch]]:
        """The batches of the steps start to stop - 1.

        Several processes share each batch, as in `HierarchicalSampler.batches`.

        Args:
            start: first step, counted over all epochs.
            stop: the step after the last.
            rank: of this process.
            world: processes that share a batch.

        Raises:
            UsageError: if there are more processes than patients in a batch.
        """
        check_shares(world, self.patients)
        for step, by_patient in zip(range(start, stop), self._by_patient(start, stop), strict=True):
            volumes = np.concatenate(share_of(by_patient, rank, world))
            # Each volume has its own draws: they are the same whichever process cuts it.
            yield [patch for volume in volumes.tolist() for patch in self._patches(volume, step)]

    def _by_patient(self, start: int, stop: int) -> Iterator[list[Ints]]:
        """The volumes of each patient of the batches of some steps."""
        if self.reuse == 1:
            yield from self._volumes.by_patient(start, stop)
            return
        batches = len(self._volumes)
        shuffled, now = [], (-1, -1, -1)
        for step in range(start, stop):
            epoch, within = divmod(step, len(self))
            # The buffers of an epoch are apart: nobody comes twice in one, but whom the last batch is filled up with.
            first = within // (self.buffer * self.reuse) * self.buffer
            count = min(self.buffer, batches - first)
            turn, place = divmod(within - first * self.reuse, count)
            if now != (epoch, first, turn):
                now = epoch, first, turn
                held = list(self._volumes.by_patient(epoch * batches + first, epoch * batches + first + count))
                shuffled = self._shuffled(held, np.random.default_rng([self.seed, 3, *now]))
            yield shuffled[place]

    def _shuffled(self, batches: list[list[Ints]], rng: np.random.Generator) -> list[list[Ints]]:
        """Exchange the patients of some batches.

        Those who have several volumes exchange places with each other, and so do the others: every batch keeps as many
        of either kind. Where nobody comes twice in a batch, nobody does afterwards.
        """
        ends = np.cumsum([len(batch) for batch in batches])[:-1]
        patients = [volumes for batch in batches for volumes in batch]
        several = np.array([len(volumes) > 1 for volumes in patients])
        codes = self._patient[[volumes[0] for volumes in patients]]
        place = np.arange(len(patients))
        for _ in range(_TRIES):
            for kind in (several, ~several):
                place[kind] = rng.permutation(np.flatnonzero(kind))
            if all(len(np.unique(batch)) == len(batch) for batch in np.split(codes[place], ends)):
                return [[patients[one] for one in batch] for batch in np.split(place, ends)]
        return [batches[one] for one in rng.permutation(len(batches))]

    def _patches(self, volume: int, step: int) -> list[Patch]:
        rng = np.random.default_rng([self.seed, 2, step, volume])
        low, high = first_voxels(self._shape[volume], self._size)
        starts = rng.integers(low, high + 1, (self.samples, 3))
        for part in range(self.partitions):
            count = len(range(part, self.samples, self.partitions))
            first, last = int(low[self._across]), int(high[self._across])
            if self.partitions > 1:
                first, last = self._within(part, int(self._shape[volume, self._across]))
            some = slices_between(self._kept[volume], first, last)
            chosen = rng.choice(len(some), count, replace=len(some) < count)
            starts[part :: self.partitions, self._across] = some[chosen]
        return [(volume, x, y, z) for x, y, z in starts.tolist()]

    def _within(self, part: int, extent: int) -> tuple[int, int]:
        """First and last start of the patches whose centre lies in a partition; the nearest where there is none."""
        half = self._size[self._across] / 2
        first, stop, end = (
            int(np.ceil(place * extent / self.partitions - half)) for place in (part, part + 1, self.partitions)
        )
        first = min(first, end - 1)
        return first, max(first, stop - 1)


def first_voxels(shape: Ints, size: Ints) -> tuple[Ints, Ints]:
    """Where a patch may begin: anywhere inside, and along an axis where it is the larger, around the whole volume.

    Args:
        shape: (3,) voxels of the volume.
        size: (3,) voxels of the patch.

    Returns:
        (3,) the lowest and the highest first voxel.
    """
    room = shape - size
    return np.where(room < 0, room // 2, 0), np.where(room < 0, room // 2, room)
