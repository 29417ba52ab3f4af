"""The encoders of a run by the kind of records that they embed, and those records as pieces for them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.data.report_prepare import prepare_reports
from medcl.embed import pieces as of_arrays
from medcl.embed.embedding import Embeds
from medcl.embed.pieces import Pieces
from medcl.embed.projected import Projected
from medcl.embed.report_pieces import ReportPieces, reading
from medcl.errors import UsageError
from medcl.modality.image.samples import Pictures
from medcl.modality.report.samples import Reports
from medcl.modality.signal.samples import SignalWindows
from medcl.modality.spec import JointCard, SideCard, TextCard, kind_of
from medcl.modality.volume.tiles import VolumeTiles
from medcl.runs import Run, load

WORDS: dict[Kind, str] = {"image": "pictures", "volume": "volumes", "signal": "recordings", "report": "reports"}


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

    pieces: Pieces
    left_out: dict[str, str]


def device() -> torch.device:
    """Where networks run."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def sides_of(folder: Path, kind: str | None = None) -> list[Side]:
    """The encoders of a finished run, on the device.

    Args:
        folder: of the run.
        kind: of records, where one side is wanted; all where it is None.

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
            Side(cast(Kind, one), card, _placed(Projected(run.encoder, one, run.card.projection)), joint=True)
            for one, card in found.items()
        ]
    own = cast(Kind, kind_of(run.card))
    if kind not in (None, own):
        raise UsageError(f"{folder}: was pretrained on {WORDS[own]}, it has no encoder of kind {kind!r}")
    return [Side(own, run.card, _placed(run.encoder))]


def of_kinds(sides: Sequence[Side], manifest: Manifest, what: str) -> list[Side]:
    """The encoders that a manifest has readable records for.

    Args:
        sides: of a run.
        manifest: of any records.
        what: the encoders are called in the message: the run's folder.

    Raises:
        UsageError: there are only records of other kinds.
    """
    held = set(manifest.ok().kinds)
    found = [side for side in sides if side.kind in held]
    if not found:
        listed = " and ".join(WORDS[side.kind] for side in sides)
        have = ", ".join(WORDS[one] for one in WORDS if one in held) or "no readable record"
        raise UsageError(f"{what}: embeds {listed}; the manifest holds {have}")
    return found


def prepare(side: Side, every: Manifest, manifest: Manifest, store: Path, jobs: int) -> Prepared:
    """Decode the records of a side's kind once, or find them decoded.

    Args:
        side: whose encoder says how.
        every: records of all kinds that the store is made of.
        manifest: those of them that are wanted; other kinds are passed over.
        store: folder of prepared records.
        jobs: processes that decode.

    Raises:
        UsageError: the records do not fit the encoder's settings.
        MedclError: none can be decoded, or none is long enough.
    """
    parts = _parts(side.card, every, manifest, store, jobs)
    found = np.unique(parts.rows)
    missing = np.setdiff1d(np.flatnonzero(manifest.kinds == side.kind), found)
    ids, status = manifest.column("record_id"), manifest.column("status")
    known = _store_of(parts).quarantine
    reasons = {
        str(ids[row]): str(status[row]) if status[row] != "ok" else known.get(str(ids[row]), _REASONS[side.kind])
        for row in missing.tolist()
    }
    return Prepared(parts, reasons)


def places(parts: Pieces, numbers: NDArray[np.int64]) -> list[list[float]] | None:
    """Where pieces begin in their records.

    Args:
        parts: of one kind of records.
        numbers: (n,) of pieces.

    Returns:
        (n,) of windows [seconds], of tiles the first voxel along x, y, z of the prepared volume; None where a piece is
        the whole of its record.
    """
    if isinstance(parts, SignalWindows):
        return [[float(start)] for start in parts.starts[numbers] / parts.store.sampling_rate]
    if isinstance(parts, VolumeTiles):
        found: list[list[float]] = parts.starts[numbers].astype(np.float64).tolist()
        return found
    return None


_REASONS: dict[Kind, str] = {
    "signal": "shorter than a window of the encoder, or no window without gaps",
    "volume": "none of its slices is kept",
    "image": "not prepared",
    "report": "not prepared",
}


def _placed(network: Any) -> Embeds:
    placed: Embeds = network.to(device()).eval()
    return placed


def _parts(card: SideCard, every: Manifest, manifest: Manifest, store: Path, jobs: int) -> Pieces:
    if isinstance(card, TextCard):
        tokenizer, config = reading(card)
        # The whole report, whatever was drawn from it in pretraining.
        whole = replace(config, draw="whole")
        made = prepare_reports(every, whole, tokenizer, tokenizer.fingerprint, store, jobs=jobs)
        return ReportPieces(Reports(made, manifest, whole))
    settings = of_arrays.config_of(card)
    return of_arrays.pieces(of_arrays.prepared(every, settings, store, jobs), manifest, settings)


def _store_of(parts: Pieces) -> Any:
    if isinstance(parts, VolumeTiles):
        return parts.patches.store
    if isinstance(parts, ReportPieces):
        return parts.reports.store
    assert isinstance(parts, SignalWindows | Pictures)
    return parts.store
