"""The encoders of a run by the kind of records that they embed, and those records as pieces for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.data.prepare import prepare as decode
from medcl.data.store import open_store
from medcl.embed.embedding import Embeds
from medcl.errors import UsageError
from medcl.modality import WINGS, wing, wing_of
from medcl.modality.sampling import SampleSet
from medcl.modality.spec import Card, JointCard, SideCard, kind_of
from medcl.networks.multimodal import MultimodalEncoder
from medcl.runs import Run, load


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
        _, pooled = self.joint.encode(self.kind, x)
        return self.joint.project(self.kind, pooled)


@dataclass(frozen=True)
class Side:
    """An encoder of one kind of records.

    Args:
        kind: of the records.
        card: what the encoder expects.
        network: that embeds pieces, in evaluation mode.
        joint: whether it is one of several, whose embeddings lie in one space and have length 1.
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
    """The records of one kind, decoded, as pieces.

    Args:
        pieces: of the records that can be embedded.
        left_out: record id -> why a record of this kind has no piece.
    """

    pieces: SampleSet
    left_out: dict[str, str]


def device() -> torch.device:
    """Where networks run."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def sides_of(folder: Path, kind: str | None = None) -> list[Side]:
    """The encoders of a finished run, on the device; of one kind of records, or of all where it is None.

    Returns:
        One of a run on a single modality; of one on several its sides, each with its projection into the common space.

    Raises:
        MedclError: as `runs.load`.
        UsageError: the run has no side of this kind.
    """
    run: Run[Any, Any] = load(folder, [kind] if kind is not None else None)
    if isinstance(run.card, JointCard):
        found = {one: card for one, card in run.card.sides.items() if kind in (None, one)}
        return [
            Side(one, card, _placed(Projected(run.encoder, one, run.card.projection)), joint=True)
            for one, card in found.items()
        ]
    own = kind_of(run.card)
    if kind not in (None, own):
        raise UsageError(f"{folder}: was pretrained on {wing(own).plural}, it has no encoder of kind {kind!r}")
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


Encoder = Any
"""A network of a wing: a `torch.nn.Module` with `embed` and `config.dim`."""


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
