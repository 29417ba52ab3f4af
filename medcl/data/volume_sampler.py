"""Batches of patients x volumes x patches."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medcl.data.sampler import HierarchicalSampler
from medcl.data.volume_dataset import Patch, VolumePatches
from medcl.errors import UsageError

Ints = NDArray[np.int64]


class PatchSampler:
    """Draws batches of patches as a pure function of (seed, step).

    Patients and their volumes come as `HierarchicalSampler` draws them: an epoch visits every patient once. Of each
    volume come `samples` patches, in a row. Along an axis where the volume is larger than a patch, the patch lies
    anywhere inside; where it is smaller, it is in the middle. Several slices of a volume are different ones, as far as
    there are enough.

    With S partitions (Chaitanya et al. 2020), volumes are divided along the axis of the slices (z in 3-D) into S equal
    parts, and the centre of patch i lies anywhere in part i mod S, so that a patch at an end may reach over it.

    Args:
        patches: of the volumes.
        patients: in a batch; all of them where there are fewer.
        volumes: of a patient.
        samples: patches of a volume.
        partitions: of a volume; 1 is no division.
        seed: of all draws.
        reuse: how often the volumes of a batch come again, with other patches, before the next ones come: what is read
            from a slow disk serves more than once. An epoch has as many times more batches.
        buffer: batches among which those that come again are shuffled.

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
        self._volumes = HierarchicalSampler(
            patches.ids.get("patient", patches.ids["volume"]),
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
        for step in range(start, stop):
            drawn = self._drawn(step)
            for volumes in self._volumes.batches(drawn, drawn + 1, rank=rank, world=world):
                # Each volume has its own draws: they are the same whichever process cuts it.
                yield [patch for volume in volumes for patch in self._patches(volume, step)]

    def _drawn(self, step: int) -> int:
        """Which batch of volumes a step has."""
        if self.reuse == 1:
            return step
        window, within = divmod(step, self.buffer * self.reuse)
        turn, place = divmod(within, self.buffer)
        order = np.random.default_rng([self.seed, 3, window, turn]).permutation(self.buffer)
        return window * self.buffer + int(order[place])

    def _patches(self, volume: int, step: int) -> list[Patch]:
        rng = np.random.default_rng([self.seed, 2, step, volume])
        room = self._shape[volume] - self._size
        low, high = np.where(room < 0, room // 2, 0), np.where(room < 0, room // 2, room)
        starts = rng.integers(low, high + 1, (self.samples, 3))
        for part in range(self.partitions):
            count = len(range(part, self.samples, self.partitions))
            first, last = int(low[self._across]), int(high[self._across])
            if self.partitions > 1:
                first, last = self._within(part, int(self._shape[volume, self._across]))
            several = last - first + 1 >= count
            starts[part :: self.partitions, self._across] = first + rng.choice(
                last - first + 1, count, replace=not several
            )
        return [(volume, x, y, z) for x, y, z in starts.tolist()]

    def _within(self, part: int, extent: int) -> tuple[int, int]:
        """First and last start of the patches whose centre lies in a partition; the nearest where there is none."""
        half = self._size[self._across] / 2
        first, stop, end = (
            int(np.ceil(place * extent / self.partitions - half)) for place in (part, part + 1, self.partitions)
        )
        first = min(first, end - 1)
        return first, max(first, stop - 1)
