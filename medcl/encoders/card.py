"""What an encoder expects of its input, kept beside its weights so that it can be rebuilt and fed."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from medcl.encoders import image, signal
from medcl.encoders.config import SignalEncoderConfig
from medcl.encoders.image_config import ImageEncoderConfig


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
    """

    encoder: SignalEncoderConfig
    channels: tuple[str, ...]
    sampling_rate: float
    window: float
    standardise: str
    band: tuple[float | None, ...] | None = None
    notch: float | None = None

    def build(self) -> signal.SignalEncoder:
        """The network that the card describes, with new random weights."""
        return signal.build(self.encoder, len(self.channels))


@dataclass(frozen=True)
class VolumeCard:
    """What an encoder of volumes or of their slices expects.

    Args:
        encoder: the network's configuration.
        n_channels: values a voxel.
        modality: of the volumes: `ct`, `mr`.
        data: the `VolumeConfig` by which volumes were resampled, scaled and cut, as a dictionary.
    """

    encoder: ImageEncoderConfig
    n_channels: int
    modality: str
    data: dict[str, Any]

    def build(self) -> image.ImageEncoder:
        """The network that the card describes, with new random weights."""
        return image.build(self.encoder, self.n_channels)


Card = SignalCard | VolumeCard
_KINDS: dict[str, tuple[type[Any], type[Any]]] = {
    "signal": (SignalCard, SignalEncoderConfig),
    "volume": (VolumeCard, ImageEncoderConfig),
}


def to_json(card: Card) -> str:
    """A card as one JSON text."""
    kind = next(name for name, (one, _) in _KINDS.items() if isinstance(card, one))
    return json.dumps({"kind": kind, **asdict(card)})


def from_json(text: str) -> Card:
    """Read what `to_json` wrote.

    Raises:
        ValueError: not JSON.
        KeyError: a kind that is not known.
        TypeError: fields that the kind does not have.
    """
    fields = _frozen(json.loads(text))
    card, config = _KINDS[fields.pop("kind", "signal")]
    built: Card = card(**{**fields, "encoder": config(**_frozen(fields["encoder"]))})
    return built


def _frozen(fields: dict[str, Any]) -> dict[str, Any]:
    """Lists, as JSON has them, are tuples in a configuration."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
