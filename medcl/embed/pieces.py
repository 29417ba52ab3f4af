"""Records as the pieces that an encoder takes: windows of a recording, tiles of a volume, whole pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.data.image_prepare import prepare_images
from medcl.data.prepare import prepare
from medcl.data.volume_prepare import prepare_volumes
from medcl.errors import UsageError
from medcl.modality.image.config import ImageConfig
from medcl.modality.image.samples import Pictures
from medcl.modality.image.store import ImageStore
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.encoders.build import SignalEncoder
from medcl.modality.signal.samples import SignalWindows
from medcl.modality.signal.store import SignalStore
from medcl.modality.spatial.encoders.base import ImageEncoder
from medcl.modality.spec import Card, ImageCard, SignalCard, VolumeCard
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.samples import VolumePatches
from medcl.modality.volume.store import VolumeStore
from medcl.modality.volume.tiles import VolumeTiles

Encoder = SignalEncoder | ImageEncoder
PieceConfig = SignalConfig | VolumeConfig | ImageConfig


class Pieces(Protocol):
    """The pieces of many records."""

    rows: NDArray[np.int64]
    """(W,) row of the manifest of each piece, ascending."""

    def windows_of(self, row: int) -> NDArray[np.int64]:
        """Numbers of the pieces of one row of the manifest."""

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        """A batch: `x` (B, ...)."""


def config_of(card: Card) -> PieceConfig:
    """What a piece is for an encoder in evaluation: as in pretraining, windows side by side without overlap."""
    if isinstance(card, VolumeCard):
        return volume_config(card)
    if isinstance(card, ImageCard):
        return image_config(card)
    if isinstance(card, SignalCard):
        return _signal_config(card)
    raise UsageError("the run's encoder is none of recordings, volumes or pictures: it cannot be fine-tuned on labels")


def kind_of(config: PieceConfig) -> Kind:
    """The kind of records that pieces are of."""
    if isinstance(config, VolumeConfig):
        return "volume"
    return "image" if isinstance(config, ImageConfig) else "signal"


def volume_config(card: VolumeCard) -> VolumeConfig:
    """What a patch is for an encoder: as in pretraining."""
    return VolumeConfig(**_fields(card.data))


def image_config(card: ImageCard) -> ImageConfig:
    """What a picture is for an encoder: as in pretraining."""
    return ImageConfig(**_fields(card.data))


def prepared(manifest: Manifest, config: PieceConfig, store: Path, jobs: int) -> Path:
    """Prepare the records once; the folder of the prepared store."""
    if isinstance(config, VolumeConfig):
        return prepare_volumes(manifest, config, store, jobs=jobs).folder
    if isinstance(config, ImageConfig):
        return prepare_images(manifest, config, store, jobs=jobs).folder
    return prepare(manifest, config, store, jobs=jobs).folder


def pieces(folder: Path, manifest: Manifest, config: PieceConfig) -> Pieces:
    """The pieces of the records of a prepared store."""
    if isinstance(config, VolumeConfig):
        return VolumeTiles(VolumePatches(VolumeStore.open(folder), manifest, config))
    if isinstance(config, ImageConfig):
        return Pictures(ImageStore.open(folder), manifest, config)
    return SignalWindows(SignalStore.open(folder), manifest, config)


def _fields(data: dict[str, Any]) -> dict[str, Any]:
    """Lists, as JSON has them, are tuples in a configuration."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}


def _signal_config(card: SignalCard) -> SignalConfig:
    return SignalConfig(
        sampling_rate=card.sampling_rate,
        channels=list(card.channels),
        window=card.window,
        stride=card.window,
        band=list(card.band) if card.band else None,
        notch=card.notch,
        standardise=card.standardise,  # type: ignore[arg-type]
    )
