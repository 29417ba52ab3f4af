"""What an encoder expects of its input, kept beside its weights so that it can be rebuilt and fed."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from medcl.errors import UsageError
from medcl.modality import WINGS, wing
from medcl.modality.base import frozen
from medcl.modality.report import encoders as text
from medcl.modality.report.config import TextEncoderConfig
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.signal import encoders as signal
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.spatial import encoders as image
from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.networks.captioner import CaptionerConfig
from medcl.networks.config import ForeignEncoderConfig, is_foreign
from medcl.networks.encoder import Encoder
from medcl.networks.multimodal import MultimodalEncoder


@dataclass(frozen=True)
class SignalCard:
    """What a signal encoder expects.

    Args:
        encoder: the network's configuration.
        channels: names of the input channels, in order.
        sampling_rate: of the input, in Hz.
        window: length of the windows that it was trained on, in seconds.
        standardise: how a window was scaled: by `record`, by `window` or not (`none`).
        band: pass band in Hz that the recordings were filtered to, if any.
        notch: frequency in Hz that was removed, if any.
        align: whose recordings are aligned together, as in `SignalConfig`.
        align_online: whether each by itself and those before it alone.
        reference: what channels were measured against, as in `SignalConfig`.
        interpolate: whether channels that a recording lacks were filled in.
        zero_missing: whether channels that a recording lacks were set to 0.
        delay: {channel: seconds} by which channels were put later, if any.
        clip: largest absolute value of a sample; 0 is no limit.
        overlap: of neighbouring windows of a recording, as a share of their length.
    """

    encoder: SignalEncoderConfig | ForeignEncoderConfig
    channels: tuple[str, ...]
    sampling_rate: float
    window: float
    standardise: str
    band: tuple[float | None, ...] | None = None
    notch: float | None = None
    align: str = "none"
    align_online: bool = False
    reference: str = "none"
    interpolate: bool = False
    clip: float = 0.0
    overlap: float = 0.0
    zero_missing: bool = False
    delay: dict[str, float] | None = None

    def build(self) -> Encoder:
        """The network that the card describes, with new random weights."""
        return signal.build(self.encoder, len(self.channels), self.channels)


@dataclass(frozen=True)
class GridCard:
    """What an encoder of grids of pixels or voxels expects.

    Args:
        encoder: the network's configuration.
        n_channels: values a voxel; of images 1 where they are grey, 3 in red, green and blue.
        modality: of the records: `ct`, `mr`, `xray`, `us`, several joined by `+`.
        data: the `VolumeConfig` or `ImageConfig` by which they were scaled, cut and resized, as a dictionary.
    """

    encoder: ImageEncoderConfig | ForeignEncoderConfig
    n_channels: int
    modality: str
    data: dict[str, Any]

    def build(self) -> Encoder:
        """The network that the card describes, with new random weights."""
        return image.build(self.encoder, self.n_channels)


class VolumeCard(GridCard):
    """What an encoder of volumes or of their slices expects."""


class ImageCard(GridCard):
    """What an encoder of images expects."""


@dataclass(frozen=True)
class TextCard:
    """What an encoder of texts expects.

    Args:
        encoder: the network's configuration.
        tokenizer: JSON of the tokenizer whose ids it takes, all of it.
        architecture: JSON of a transformers model's configuration, by which the network is rebuilt without a look at
            disk or network; None for one that is trained from scratch.
        data: the `TextConfig` by which reports became sequences, as a dictionary.
    """

    encoder: TextEncoderConfig
    tokenizer: str
    architecture: str | None
    data: dict[str, Any]

    def build(self) -> text.TextEncoder:
        """The network that the card describes, with new random weights.

        Raises:
            ValueError: the tokenizer is not one.
            UsageError: the parts do not fit one another.
        """
        if self.architecture is None and self.encoder.name not in text.OF_REPORTS:
            raise UsageError(f"the card of the text encoder {self.encoder.name} does not hold its architecture")
        return text.build(self.encoder, Tokenizer.from_json(self.tokenizer), self.architecture)


SideCard = SignalCard | VolumeCard | ImageCard | TextCard


@dataclass(frozen=True)
class JointCard:
    """What the encoders of several kinds of records expect, and how their embeddings are projected.

    Args:
        sides: {kind: card}, of `image`, `volume`, `signal`, `report`; where two are of one kind, by the names of their
            inputs.
        hidden: width of the hidden layer of a projection head; 0 has none.
        projection: width of a projection; 0 has none: the sides have no common space.
        local: width of the projection of dense embeddings; 0 has none.
        codes: number of codes of which embeddings of the common space are mixtures; 0 has none.
        captioners: {kind: decoder of the reports of a kind}, where there are some.
    """

    sides: dict[str, SideCard]
    hidden: int
    projection: int
    local: int = 0
    codes: int = 0
    captioners: dict[str, CaptionerConfig] = field(default_factory=dict)

    def named(self, kind: str) -> tuple[str, ...]:
        """Sides of a kind of records, or that of a name; empty where there is none."""
        return tuple(name for name, card in self.sides.items() if kind in (name, kind_of(card)))

    def build(self, kinds: Iterable[str] | None = None) -> MultimodalEncoder:
        """The network that the card describes, with new random weights.

        Args:
            kinds: the sides that are wanted, possibly none; all where it is None.

        Raises:
            UsageError: the card has no such side.
            ValueError: the tokenizer of a side is not one.
        """
        wanted = set(self.sides if kinds is None else kinds)
        if unknown := wanted - self.sides.keys():
            raise UsageError(f"there is no side {', '.join(sorted(unknown))}: the run has {', '.join(self.sides)}")
        encoders = {kind: card.build() for kind, card in self.sides.items() if kind in wanted}
        captioners = {kind: one for kind, one in self.captioners.items() if kind in wanted}
        return MultimodalEncoder(encoders, self.hidden, self.projection, self.local, self.codes, captioners)


Card = SideCard | JointCard
_JOINT = "joint"


def kind_of(card: SideCard) -> str:
    """The kind of record whose encoder a card describes: `signal`, `volume`, `image` or `report`."""
    return next(name for name in WINGS if isinstance(card, wing(name).spec))


def zero_missing(card: SideCard) -> SideCard:
    """A card that also takes recordings which lack some of the channels, as 0 (`SignalConfig.zero_missing`).

    Raises:
        UsageError: the encoder is not one of recordings.
    """
    if not isinstance(card, SignalCard):
        raise UsageError(
            f"zero_missing: is of the channels of recordings, the encoder takes {wing(kind_of(card)).plural}"
        )
    return replace(card, zero_missing=True)


def own_classes(card: Card) -> list[str]:
    """The classes of the user's own (`package.module:Class`) that the encoders of a card are built of."""
    sides = card.sides.values() if isinstance(card, JointCard) else (card,)
    return [side.encoder.name for side in sides if isinstance(side.encoder, ForeignEncoderConfig)]


def to_json(card: Card) -> str:
    """A card as one JSON text."""
    if not isinstance(card, JointCard):
        return json.dumps(_fields(card))
    sides = {kind: _fields(side) for kind, side in card.sides.items()}
    fields = {"kind": _JOINT, **asdict(card), "sides": sides}
    # What a run does not have is not written, so that versions of medcl that do not know it read the run.
    return json.dumps({name: value for name, value in fields.items() if value or name != "captioners"})


def from_json(text: str) -> Card:
    """Read what `to_json` wrote.

    Raises:
        ValueError: not JSON.
        KeyError: a kind that is not known.
        TypeError: fields that the kind does not have.
    """
    fields = json.loads(text)
    if fields.get("kind") != _JOINT:
        return _side(fields)
    del fields["kind"]
    captioners = {kind: CaptionerConfig(**one) for kind, one in fields.pop("captioners", {}).items()}
    sides = {kind: _side(side) for kind, side in fields.pop("sides").items()}
    return JointCard(sides, **fields, captioners=captioners)


def _fields(card: SideCard) -> dict[str, Any]:
    return {"kind": kind_of(card), **asdict(card)}


def _side(fields: dict[str, Any]) -> SideCard:
    values = frozen(fields)
    own = wing(values.pop("kind", "signal"))
    foreign = own.takes_arrays and is_foreign(values["encoder"])
    config = ForeignEncoderConfig if foreign else own.encoder_config
    built: SideCard = own.spec(**{**values, "encoder": config(**frozen(values["encoder"]))})
    return built
