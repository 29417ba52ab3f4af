"""Reading what a sampler drew: the batches of some steps, in order, by worker processes or in this one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from medcl.data.sampler import Sampler
from medcl.engine.parallel import watched_worker
from medcl.modality.sampling import Batch


def _whole(batch: Any) -> Any:
    """A batch as the data set makes it."""
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
    dataset: Dataset[Batch], sampler: Sampler, start: int, stop: int, workers: int = 0, *, rank: int = 0, world: int = 1
) -> Iterable[Batch]:
    """The batches of steps start to stop - 1, in order and on pinned memory where there is a CUDA device.

    Each is as the data set's `__getitems__` returns it. So many workers read ahead; 0 reads in this process, which has
    a rank among the `world` processes that share each batch.
    """
    loaded: DataLoader[Batch] = DataLoader(
        dataset,
        batch_sampler=_Steps(sampler, start, stop, rank, world),
        num_workers=workers,
        worker_init_fn=watched_worker,
        collate_fn=_whole,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=4 if workers else None,
        # A loader draws a seed for its workers, which use none: not from the generator that dropout draws from.
        generator=torch.Generator(),
    )
    return loaded
