"""The encoders of a run by the kind of records that they embed, and pieces and records through them."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.data.prepare import prepare as decode
from medcl.data.store import open_store
from medcl.engine.progress import progress
from medcl.errors import UsageError
from medcl.modality import WINGS, wing, wing_of
from medcl.modality.sampling import SampleSet
from medcl.modality.spec import Card, JointCard, SideCard, kind_of
from medcl.networks.multimodal import MultimodalEncoder
from medcl.runs import Run, load

T = TypeVar("T")


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield items that a thread makes ahead, in their order; three at most are made or wait.

    What the thread raises is raised here, behind the items that it made before.
    """
    source, end = iter(items), object()
    pool = ThreadPoolExecutor(1, "ahead")
    try:
        waiting = deque(pool.submit(next, source, end) for _ in range(3))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, source, end))
            yield item  # type: ignore[misc]
    finally:
        pool.shutdown(cancel_futures=True)


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
        own = numbers[part].tolist()
        # A batch of one is computed by other kernels: what comes of a piece would depend on how many there are.
        x: Tensor = pieces.__getitems__(own * 2 if len(own) == 1 < step else own)["x"]
        return part, x.pin_memory() if device.type == "cuda" else x

    try:
        for part, x in ahead(map(read, range(0, len(numbers), step))):
            yield part, encoder.embed(x.to(device, non_blocking=True))[: part.stop - part.start]
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
    return part, np.asarray(host.numpy())


@torch.inference_mode()
def embed_records(
    encoder: Embeds, windows: SampleSet, rows: NDArray[np.int64], device: torch.device, title: str = ""
) -> NDArray[np.float32]:
    """Embed records (R,), each with a piece among the windows, as (R, dim); a title shows how far it has come."""
    order = np.concatenate([windows.samples_of(int(row)) for row in rows])
    counts = np.array([len(windows.samples_of(int(row))) for row in rows])
    group = torch.from_numpy(np.repeat(np.arange(len(rows)), counts)).to(device)
    total = torch.zeros(len(rows), encoder.config.dim, device=device)
    with progress(title, len(order), "window", hidden=not title) as bar:
        for part, z in embed_pieces(encoder, windows, order, device):
            total.index_add_(0, group[part], z.float())
            bar.update(len(z))
    return np.asarray((total / torch.from_numpy(counts).to(device)[:, None]).cpu().numpy())


def embed_samples(
    encoder: Embeds, samples: SampleSet, rows: NDArray[np.int64], device: torch.device
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Embed every sample of rows (R,) of the manifest, (N, dim); and the place in `rows` of each, (N,)."""
    own = [samples.samples_of(int(row)) for row in rows]
    embedded = on_host(embed_pieces(encoder, samples, np.concatenate(own), device))
    return np.concatenate([z for _, z in embedded]), np.repeat(np.arange(len(rows)), [len(one) for one in own])


@dataclass(frozen=True)
class Width:
    """Of a projection, as an encoder's configuration states it."""

    dim: int


class Projected(nn.Module):
    """One side of a multimodal encoder with its head, as an encoder of records."""

    def __init__(self, joint: MultimodalEncoder, kind: str, projection: int) -> None:
        super().__init__()
        self.joint, self.kind, self.config = joint, kind, Width(projection)

    def embed(self, x: Tensor) -> Tensor:
        """(B, ...) to (B, projection) of length 1."""
        return self.joint.embed(self.kind, x)


@dataclass(frozen=True)
class Side:
    """An encoder of one kind of records, in evaluation mode.

    One of several is joint: their embeddings lie in one space and have length 1.
    """

    kind: Kind
    card: SideCard
    network: Embeds
    joint: bool = False

    @property
    def dim(self) -> int:
        """Width of an embedding."""
        return int(self.network.config.dim)


@dataclass(frozen=True)
class Prepared:
    """The records of one kind, decoded, as pieces; {record id: why a record of this kind has none}."""

    pieces: SampleSet
    left_out: dict[str, str]


def device() -> torch.device:
    """Where networks run."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def sides_of(folder: Path, kind: str | None = None, name: str = "") -> list[Side]:
    """The encoders of a finished run, on the device; of one kind of records, or of all where it is None.

    Args:
        folder: of the run.
        kind: of records.
        name: of a side, where several are of one kind; empty takes the first of each kind.

    Returns:
        One of a run on a single modality; of one on several its sides, each with its projection into the common space
        where there is one.

    Raises:
        MedclError: as `runs.load`.
        UsageError: the run has no side of this kind.
    """
    return sides_in(load(folder, [name or kind] if name or kind else None), kind, name)  # type: ignore[list-item]


def sides_in(run: Run[Any, Any], kind: str | None = None, name: str = "") -> list[Side]:
    """See `sides_of`, of a run that is loaded."""
    if isinstance(run.card, JointCard):
        found: dict[str, Side] = {}
        for one, card in run.card.sides.items():
            own = kind_of(card)
            if kind not in (None, own) or name not in ("", one) or own in found:
                continue
            joint = bool(run.card.projection)
            network = Projected(run.encoder, one, run.card.projection) if joint else run.encoder.side(one)
            found[own] = Side(own, card, _placed(network), joint=joint)
        return list(found.values())
    own = kind_of(run.card)
    if name:
        raise UsageError(f"{run.folder}: was pretrained on {wing(own).plural} alone, it has no encoder {name!r}")
    if kind not in (None, own):
        raise UsageError(f"{run.folder}: was pretrained on {wing(own).plural}, it has no encoder of kind {kind!r}")
    return [Side(own, run.card, _placed(run.encoder))]


def of_kinds(sides: Sequence[Side], manifest: Manifest, what: str) -> list[Side]:
    """The encoders that a manifest has readable records for.

    Raises:
        UsageError: there are only records of other kinds.
    """
    held = set(manifest.ok().kinds)
    found = [side for side in sides if side.kind in held]
    if not found:
        listed = " and ".join(wing(side.kind).plural for side in sides)
        have = ", ".join(wing(one).plural for one in WINGS if one in held) or "no readable record"
        raise UsageError(f"{what}: embeds {listed}; the manifest holds {have}")
    return found


def prepare(
    side: Side, every: Manifest, manifest: Manifest, store: Path, jobs: int, *, cluster: str | None = None
) -> Prepared:
    """Decode the records of a side's kind once, or find them decoded: `every` record that the store is made of.

    Of the manifest of those that are wanted, other kinds are passed over.

    Raises:
        UsageError: the records do not fit the encoder's settings.
        MedclError: none can be decoded, or none is long enough.
    """
    own = wing(side.kind)
    config = own.data_of(side.card)
    made = decode(every, config, store, jobs=jobs, cluster=cluster)
    samples = own.samples(made, manifest, config)
    missing = np.setdiff1d(np.flatnonzero(manifest.kinds == side.kind), np.unique(samples.rows))
    ids, status = manifest.column("record_id"), manifest.column("status")
    reasons = {
        str(ids[row]): str(status[row]) if status[row] != "ok" else made.quarantine.get(str(ids[row]), own.no_sample)
        for row in missing.tolist()
    }
    return Prepared(samples, reasons)


def _placed(network: Any) -> Embeds:
    placed: Embeds = network.to(device()).eval()
    return placed


def config_of(card: Card) -> Any:
    """What a sample is for an encoder in evaluation: as in pretraining, without overlap.

    Raises:
        UsageError: the encoder is one of several modalities.
    """
    if isinstance(card, JointCard):
        raise UsageError("the run's encoder is one of several modalities: it cannot be fine-tuned on labels")
    return wing(kind_of(card)).data_of(card)


def prepared(manifest: Manifest, config: Any, store: Path, jobs: int) -> Path:
    """Prepare the records once; the folder of the prepared store."""
    folder: Path = decode(manifest, config, store, jobs=jobs).folder
    return folder


def samples_in(folder: Path, manifest: Manifest, config: Any) -> SampleSet:
    """The samples of the records of a prepared store."""
    own = wing_of(config)
    return own.samples(open_store(folder, own.name), manifest, config)
