"""The parts of each modality of a multimodal run: prepared records, an encoder, views, a card."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from medcl import runs
from medcl.archive.identity import is_name, site_salt
from medcl.archive.links import taking_part
from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.data.image_prepare import prepare_images
from medcl.data.matching import Prepared
from medcl.data.pair_sides import PairSide, Patches, Pieces, Texts
from medcl.data.prepare import prepare
from medcl.data.report_prepare import prepare_reports
from medcl.data.volume_prepare import prepare_volumes
from medcl.errors import MedclError, UsageError
from medcl.modality.image.samples import Pictures
from medcl.modality.report.encoders import build as text
from medcl.modality.report.encoders.tokens import Tokenizer, common_words
from medcl.modality.report.samples import Reports
from medcl.modality.signal.encoders import build as signal
from medcl.modality.signal.samples import SignalWindows
from medcl.modality.signal.views import build as signal_views
from medcl.modality.spatial.encoders import build as image
from medcl.modality.spatial.views import build as image_views
from medcl.modality.spec import ImageCard, JointCard, SideCard, TextCard, VolumeCard, kind_of
from medcl.modality.views.compose import Compose
from medcl.modality.volume.samples import VolumePatches
from medcl.pretrain.loop import for_images
from medcl.pretrain.multimodal_config import (
    ImageSide,
    MultimodalPretrainConfig,
    ReportSide,
    Side,
    SignalSide,
    VolumeSide,
)
from medcl.pretrain.plan import in_splits, plain
from medcl.pretrain.signals import card_of
from medcl.pretrain.volumes import views_of
from medcl.runs import Run

WORDS: dict[str, str] = {"image": "images", "volume": "volumes", "signal": "recordings", "report": "reports"}


@dataclass(frozen=True)
class Given:
    """What a side is prepared from.

    Args:
        every: all readable records of its kind, which are prepared.
        chosen: those that are trained on.
        where: (chosen,) their rows in the manifest of all kinds.
        store: folder in which records are prepared once.
        initial: the run whose encoder it starts from, if any.
        jobs: processes that prepare.
    """

    every: Manifest
    chosen: Manifest
    where: NDArray[np.int64]
    store: Path
    initial: Run[Any, Any] | None
    jobs: int
    strict: bool


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

    store: Prepared
    draws: PairSide
    encoder: Callable[[], nn.Module]
    views: Compose | None
    card: SideCard
    side: Side
    missing: int


def prepare_sides(
    config: MultimodalPretrainConfig, manifest: Manifest, store: Path, jobs: int = -1, strict: bool = False
) -> dict[str, Made]:
    """Prepare all records of a recipe, as its training would.

    Args:
        config: the recipe.
        manifest: of all kinds.
        store: folder in which records are prepared once.
        jobs: processes that prepare; -1 is one a core.
        strict: see `unchanged.scanned`.

    Raises:
        UsageError: as `make`.
        MedclError: as `make`.
    """
    manifest = manifest.ok()
    chosen = in_splits(manifest, config.splits)
    return {
        kind: make(kind, side, manifest, chosen, store, jobs=jobs, strict=strict) for kind, side in config.sides.items()
    }


def make(
    kind: str, side: Side, manifest: Manifest, chosen: Manifest, store: Path, *, jobs: int = -1, strict: bool = False
) -> Made:
    """Prepare one side.

    Args:
        kind: of its records.
        side: its configuration.
        manifest: of all kinds, all that is readable.
        chosen: what is trained on.
        store: folder in which records are prepared once.
        jobs: processes that prepare; -1 is one a core.
        strict: see `unchanged.scanned`.

    Raises:
        UsageError: the settings do not fit the archive, or `init` is of another kind.
        MedclError: there are no such records, or none can be prepared.
    """
    counted = taking_part(chosen, side.reports) if isinstance(side, ReportSide) else np.ones(len(chosen), dtype=bool)
    where = np.flatnonzero((chosen.kinds == kind) & counted)
    if not len(where):
        there = ", ".join(f"{((chosen.kinds == one) & counted).sum()} {word}" for one, word in WORDS.items())
        raise MedclError(f"no {WORDS[kind]} to train on: the chosen splits of the manifest have {there}")
    initial = runs.load(Path(side.init)) if side.init else None
    if initial is not None:
        card_in(initial, kind)
    given = Given(manifest.of_kind(cast(Kind, kind)), chosen.select(where), where, store, initial, jobs, strict)
    if isinstance(side, ImageSide):
        return _images(side, given)
    if isinstance(side, VolumeSide):
        return _volumes(side, given)
    return _signals(side, given) if isinstance(side, SignalSide) else _reports(side, given)


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


def _images(side: ImageSide, given: Given) -> Made:
    store = prepare_images(given.every, side.data, given.store, jobs=given.jobs, strict=given.strict)
    images = Pictures(store, given.chosen, side.data)
    modality = "+".join(sorted({str(one) for one in given.chosen.column("modality")[images.rows]}))
    return Made(
        store,
        Pieces(images, given.where),
        lambda: for_images(image.build(side.encoder, store.n_channels), side.encoder.dims),
        image_views.build(side.views),
        ImageCard(side.encoder, store.n_channels, modality, plain(side.data)),
        side,
        len(given.chosen) - len(images),
    )


def _volumes(side: VolumeSide, given: Given) -> Made:
    store = prepare_volumes(given.every, side.data, given.store, jobs=given.jobs, strict=given.strict)
    patches = VolumePatches(store, given.chosen, side.data)
    modality = "+".join(sorted({str(one) for one in given.chosen.column("modality")[patches.rows]}))
    return Made(
        store,
        Patches(patches, given.where),
        lambda: for_images(image.build(side.encoder, store.n_channels), side.encoder.dims),
        views_of(side.views, side.data),
        VolumeCard(side.encoder, store.n_channels, modality, plain(side.data)),
        side,
        len(given.chosen) - len(patches),
    )


def _signals(side: SignalSide, given: Given) -> Made:
    store = prepare(given.every, side.data, given.store, jobs=given.jobs, strict=given.strict)
    windows = SignalWindows(store, given.chosen, side.data)
    data = replace(side.data, sampling_rate=store.sampling_rate, channels=list(store.channels))
    return Made(
        store,
        Pieces(windows, given.where),
        lambda: signal.build(side.encoder, len(store.channels)),
        signal_views.build(side.views, store.channels, store.sampling_rate),
        card_of(side.encoder, store, data),
        replace(side, data=data),
        len(given.chosen) - len(np.unique(windows.rows)),
    )


def _reports(side: ReportSide, given: Given) -> Made:
    tokenizer = _tokenizer(side, given)
    store = prepare_reports(given.every, side.data, tokenizer, tokenizer.fingerprint, given.store, jobs=given.jobs)
    reports = Reports(store, given.chosen, side.data)
    # Of a transformers model, the card keeps what the built network says it is.
    architecture = None if side.encoder.name == text.FROM_SCRATCH else text.build(side.encoder, tokenizer).architecture
    return Made(
        store,
        Texts(reports, given.where),
        lambda: text.build(side.encoder, tokenizer),
        None,
        TextCard(side.encoder, tokenizer.to_json(), architecture, plain(side.data)),
        side,
        len(given.chosen) - len(reports.rows),
    )


def _tokenizer(side: ReportSide, given: Given) -> Tokenizer:
    if given.initial is not None:
        card = card_in(given.initial, "report")
        assert isinstance(card, TextCard)
        return Tokenizer.from_json(card.tokenizer)
    if side.encoder.name != text.FROM_SCRATCH:
        return Tokenizer.of_model(side.encoder.name, side.encoder.download)
    columns = zip(given.chosen.column("report"), given.chosen.column("patient").tolist(), strict=True)
    texts, patients = zip(*((str(one), patient) for one, patient in columns if one is not None), strict=True)
    named = is_name(given.every, site_salt())
    common = common_words(texts, np.array(patients, dtype=np.int64), side.encoder.patients, named)
    return Tokenizer.train(common, side.encoder.vocabulary)
