"""Batches of patients x records with their partners."""

from collections.abc import Iterator

import numpy as np

from medcl.data.pairs import Pairs, Place
from medcl.data.sampler import HierarchicalSampler


class PairSampler:
    """Draws batches of linked records as a pure function of (seed, step).

    Patients come as `HierarchicalSampler` draws them: an epoch visits every patient once, in a new order. Of each come
    up to `records` anchors, with their partners.

    Args:
        pairs: what is drawn from.
        patients: in a batch; all of them where there are fewer.
        records: of a patient.
        seed: of all draws.

    Raises:
        UsageError: if a number is not positive, or the seed is negative.
    """

    def __init__(self, pairs: Pairs, *, patients: int, records: int, seed: int = 0) -> None:
        numbers = np.arange(len(pairs))
        self._items = HierarchicalSampler(
            pairs.patients, numbers, patients=patients, trials=records, samples=1, seed=seed
        )
        self.patients, self.n_patients = self._items.patients, self._items.n_patients

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._items)

    def batches(self, start: int, stop: int, *, rank: int = 0, world: int = 1) -> Iterator[list[Place]]:
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
        steps = range(start, stop)
        for step, items in zip(steps, self._items.batches(start, stop, rank=rank, world=world), strict=True):
            yield [(item, step) for item in items]
