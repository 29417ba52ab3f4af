"""Batches on their device; on a GPU the next one is copied while the one before is computed with."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from medcl.engine.fabric import move_data_to_device
from medcl.modality.sampling import Batch

T = TypeVar("T")


def ahead(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches in order, on a device.

    On a GPU each is copied from pinned memory on a stream of its own, one batch before it is asked for. Elsewhere a
    batch is read when it is asked for.
    """
    if device.type != "cuda":
        yield from (move_data_to_device(batch, device) for batch in batches)
        return
    copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def copied(batch: Batch) -> tuple[Batch, torch.cuda.Event]:
        with torch.cuda.stream(copies):
            return move_data_to_device(batch, device), copies.record_event()

    for batch, done in one_ahead(map(copied, batches)):
        now = torch.cuda.current_stream(device)
        now.wait_event(done)
        # Their memory belongs to the stream of the copies, which may not use it again before this one has done so.
        apply_to_collection(batch, Tensor, Tensor.record_stream, now)
        yield batch


def one_ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items, each handed out once the next one is made."""
    made: list[T] = []
    for item in items:
        yield from made
        made = [item]
    yield from made
