"""The parts of each modality of a multimodal run: prepared records, an encoder, views, a card."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from medcl import runs
from medcl.archive.identity import is_name, site_salt
from medcl.archive.links import taking_part
from medcl.archive.manifest import Manifest
from medcl.data.pairs import Linkable
from medcl.data.prepare import prepare
from medcl.errors import MedclError, UsageError
from medcl.modality import WINGS, wing
from medcl.modality.base import Training
from medcl.modality.spec import JointCard, SideCard, kind_of
from medcl.modality.storing import PreparedRecords
from medcl.modality.views import Compose
from medcl.pretrain.multimodal_config import MultimodalPretrainConfig, Side
from medcl.pretrain.plan import in_splits
from medcl.runs import Run


@dataclass(frozen=True)
class Made:
    """A side, ready to train.

    Args:
        store: of all its records that could be prepared.
        draws: those that are trained on.
        encoder: makes the network, with new weights.
        views: random changes, if any.
        card: what the encoder expects.
        side: its configuration, completed by what the archive says.
        missing: number of chosen records that could not be prepared.
    """

    store: PreparedRecords
    draws: Linkable
    encoder: Callable[[], nn.Module]
    views: Compose | None
    card: SideCard
    side: Side
    missing: int


def prepare_sides(
    config: MultimodalPretrainConfig,
    manifest: Manifest,
    store: Path,
    jobs: int = -1,
    strict: bool = False,
    cluster: str | None = None,
) -> dict[str, Made]:
    """Prepare all records of a recipe, as its training would.

    Args:
        config: the recipe.
        manifest: of all kinds.
        store: folder in which records are prepared once.
        jobs: processes that prepare; -1 is one a core.
        strict: see `file_state.scanned`.
        cluster: see `prepare`.

    Raises:
        UsageError: as `make`.
        MedclError: as `make`.
    """
    manifest = manifest.ok()
    chosen = in_splits(manifest, config.splits)
    return {
        kind: make(kind, side, manifest, chosen, store, jobs=jobs, strict=strict, cluster=cluster)
        for kind, side in config.sides.items()
    }


def make(
    kind: str,
    side: Side,
    manifest: Manifest,
    chosen: Manifest,
    store: Path,
    *,
    jobs: int = -1,
    strict: bool = False,
    cluster: str | None = None,
) -> Made:
    """Prepare one side.

    Args:
        kind: of its records.
        side: its configuration.
        manifest: of all kinds, all that is readable.
        chosen: what is trained on.
        store: folder in which records are prepared once.
        jobs: processes that prepare; -1 is one a core.
        strict: see `file_state.scanned`.
        cluster: see `prepare`.

    Raises:
        UsageError: the settings do not fit the archive, or `init` is of another kind.
        MedclError: there are no such records, or none can be prepared.
    """
    own, kinds = wing(kind), chosen.kinds
    # Which reports are used, those of one record or of a whole study.
    reports: Any = getattr(side, "reports", "")
    counted = taking_part(chosen, reports) if reports else np.ones(len(chosen), dtype=bool)
    where = np.flatnonzero((kinds == kind) & counted)
    if not len(where):
        there = ", ".join(f"{((kinds == one) & counted).sum()} {wing(one).plural}" for one in WINGS)
        raise MedclError(f"no {own.plural} to train on: the chosen splits of the manifest have {there}")
    begun = card_in(runs.load(Path(side.init)), kind) if side.init else None
    every, trained = manifest.select(manifest.kinds == kind), chosen.select(where)
    training = Training(side.encoder, trained, begun, lambda: is_name(every, site_salt()))
    data = own.completed(side.data, every, training)
    made = prepare(every, data, store, jobs=jobs, strict=strict, cluster=cluster)
    draws = own.draws(made, trained, data)
    modality = "+".join(sorted({str(one) for one in trained.column("modality")[draws.rows]}))
    card = own.spec_of(side.encoder, data, made, modality)
    views: Any = getattr(side, "views", None)
    plain: Any = {"data": data} if type(data) is type(side.data) else {}
    return Made(
        made,
        Linkable(draws, where),
        lambda: own.encoder(card),
        own.views(views, data, made) if views is not None else None,
        card,
        replace(side, **plain),
        len(trained) - len(draws.rows),
    )


def card_in(run: Run[Any, Any], kind: str) -> SideCard:
    """The card of the encoder of one kind in a finished run.

    Raises:
        UsageError: it has none.
    """
    cards = run.card.sides if isinstance(run.card, JointCard) else {kind_of(run.card): run.card}
    if kind not in cards:
        raise UsageError(f"{kind}.init: {run.folder} was trained on {', '.join(cards)}, it has no encoder of {kind}")
    card: SideCard = cards[kind]
    return card


def encoder_in(run: Run[Any, Any], kind: str) -> nn.Module:
    """The encoder of one kind in a finished run."""
    encoder: nn.Module = run.encoder.side(kind) if isinstance(run.card, JointCard) else run.encoder
    return encoder
