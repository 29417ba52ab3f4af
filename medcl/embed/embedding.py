"""Pieces and records through an encoder; a record's embedding is the mean over its pieces' pooled embeddings."""

import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medcl.modality.sampling import SampleSet

T = TypeVar("T")
_LOOK = 0.1  # seconds after which a thread that waits looks whether it is still wanted


@dataclass(frozen=True)
class _Failed:
    error: BaseException


_END = object()


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield items that a thread makes ahead, in their order; two wait at most.

    What the thread raises is raised here, behind the items that it made before.
    """
    waiting: queue.Queue[object] = queue.Queue(maxsize=2)
    stop = threading.Event()

    def put(item: object) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=_LOOK)
            except queue.Full:
                continue
            return True
        return False

    def make() -> None:
        try:
            for item in items:
                if not put(item):
                    return
        except BaseException as error:  # noqa: BLE001  (raised again where the items are taken)
            put(_Failed(error))
        else:
            put(_END)

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not _END:
            if isinstance(item, _Failed):
                raise item.error
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()


class Wide(Protocol):
    """A configuration that states the width of the embedding."""

    @property
    def dim(self) -> int:
        """Of the embedding."""


class Embeds(Protocol):
    """A network that embeds pieces: an encoder, or one with its projection."""

    training: bool

    @property
    def config(self) -> Wide:
        """Its configuration."""

    def embed(self, x: Tensor) -> Tensor:
        """(B, ...) to (B, dim)."""

    def train(self, mode: bool = True) -> Any:
        """Switch to training, or to evaluation."""


def mean_by_group(values: Tensor, group: Tensor, n_groups: int) -> Tensor:
    """Mean of rows (N, D) that share a group number (N,), as (n_groups, D)."""
    total = values.new_zeros(n_groups, values.shape[1]).index_add_(0, group, values)
    count = torch.bincount(group, minlength=n_groups).clamp(min=1).to(values.dtype)
    return total / count[:, None]


@torch.inference_mode()
def embed_pieces(
    encoder: Embeds, pieces: SampleSet, numbers: NDArray[np.int64], device: torch.device, batch: int | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """Embed pieces of these numbers (P,), `batch` at a time, by default as many as `pieces` suggest.

    The next batches are read while one is embedded. The encoder is run in evaluation mode and left as it was.

    Yields:
        Which of the P, and their embeddings (B, dim) on the device.
    """
    was_training = encoder.training
    encoder.train(False)
    step = batch or pieces.at_a_time

    def read(start: int) -> tuple[slice, Tensor]:
        part = slice(start, min(start + step, len(numbers)))
        x: Tensor = pieces.__getitems__(numbers[part].tolist())["x"]
        return part, x.pin_memory() if device.type == "cuda" else x

    try:
        for part, x in ahead(map(read, range(0, len(numbers), step))):
            yield part, encoder.embed(x.to(device, non_blocking=True))
    finally:
        encoder.train(was_training)


def on_host(embedded: Iterator[tuple[slice, Tensor]]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """What `embed_pieces` yields as arrays; a GPU goes on with the next batch while one is copied from it."""
    waiting: tuple[slice, Tensor, torch.cuda.Event | None] | None = None
    for part, z in embedded:
        host = z.float().to("cpu", non_blocking=True)
        copied = torch.cuda.Event() if z.is_cuda else None  # type: ignore[no-untyped-call]
        if copied is not None:
            copied.record()
        if waiting is not None:
            yield _arrived(*waiting)
        waiting = part, host, copied
    if waiting is not None:
        yield _arrived(*waiting)


def _arrived(part: slice, host: Tensor, copied: torch.cuda.Event | None) -> tuple[slice, NDArray[np.float32]]:
    if copied is not None:
        copied.synchronize()
    z: NDArray[np.float32] = host.numpy()
    return part, z


@torch.inference_mode()
def embed_records(
    encoder: Embeds, windows: SampleSet, rows: NDArray[np.int64], device: torch.device
) -> NDArray[np.float32]:
    """Embed records as (R, dim): rows (R,) of the manifest, each with at least one piece among the windows."""
    order = np.concatenate([windows.samples_of(int(row)) for row in rows])
    counts = np.array([len(windows.samples_of(int(row))) for row in rows])
    group = torch.from_numpy(np.repeat(np.arange(len(rows)), counts)).to(device)
    total = torch.zeros(len(rows), encoder.config.dim, device=device)
    for part, z in embed_pieces(encoder, windows, order, device):
        total.index_add_(0, group[part], z.float())
    embedded: NDArray[np.float32] = (total / torch.from_numpy(counts).to(device)[:, None]).cpu().numpy()
    return embedded
