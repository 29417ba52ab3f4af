"""Batches for training: the same for any number of worker processes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from medcl.data.sampler import Sampler
from medcl.engine.parallel import watched_worker
from medcl.modality.sampling import Batch


def _as_it_is(batch: Any) -> Any:
    """Return a whole batch, as the data set makes it."""
    return batch


@dataclass(frozen=True)
class _Steps:
    """The sampler's batches of one process, from one step to another."""

    sampler: Sampler
    start: int
    stop: int
    rank: int
    world: int

    def __iter__(self) -> Iterator[list[Any]]:
        yield from self.sampler.batches(self.start, self.stop, rank=self.rank, world=self.world)

    def __len__(self) -> int:
        return self.stop - self.start


def loader(
    dataset: Dataset[Batch],
    sampler: Sampler,
    start: int,
    stop: int,
    workers: int = 0,
    *,
    rank: int = 0,
    world: int = 1,
) -> Iterable[Batch]:
    """The batches of steps start to stop - 1, in order and on pinned memory where there is a CUDA device.

    Args:
        dataset: that batches are made of: windows of recordings, or patches of volumes.
        sampler: which of them a batch holds.
        start: first step.
        stop: step after the last.
        workers: processes that read ahead; 0 reads in this one.
        rank: of this process among `world`.
        world: processes that train, which share each batch.

    Returns:
        Batches, each one as the data set's `__getitems__` returns it.
    """
    loaded: DataLoader[Batch] = DataLoader(
        dataset,
        batch_sampler=_Steps(sampler, start, stop, rank, world),
        num_workers=workers,
        worker_init_fn=watched_worker,
        collate_fn=_as_it_is,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=4 if workers else None,
        # A loader draws a seed for its workers, which use none: not from the generator that dropout draws from.
        generator=torch.Generator(),
    )
    return loaded
