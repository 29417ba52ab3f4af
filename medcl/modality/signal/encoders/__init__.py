"""Signal encoders by name: `build` makes one from its configuration."""

from collections.abc import Sequence

from medcl.errors import UsageError, did_you_mean
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.signal.encoders.bag import WindowAttention
from medcl.modality.signal.encoders.base import SignalEncoder
from medcl.modality.signal.encoders.eeg import ConformerEncoder, EEGNetEncoder, ShallowEncoder
from medcl.modality.signal.encoders.networks import DilatedEncoder, ResNetEncoder, TransformerEncoder
from medcl.modality.signal.encoders.spatial import SpatialAttention
from medcl.modality.signal.encoders.subject import SubjectLayer
from medcl.modality.signal.encoders.xresnet import XResNetEncoder
from medcl.networks import foreign
from medcl.networks.config import ForeignEncoderConfig
from medcl.networks.encoder import Encoder

__all__ = ["ENCODERS", "SignalEncoder", "build"]

ENCODERS: dict[str, type[SignalEncoder]] = {
    "dilated": DilatedEncoder,
    "resnet": ResNetEncoder,
    "transformer": TransformerEncoder,
    "xresnet": XResNetEncoder,
    "shallow": ShallowEncoder,
    "eegnet": EEGNetEncoder,
    "conformer": ConformerEncoder,
}


def build(config: SignalEncoderConfig | ForeignEncoderConfig, n_channels: int, channels: Sequence[str] = ()) -> Encoder:
    """Make the encoder that a configuration describes, with random weights.

    Args:
        config: which encoder, and its sizes.
        n_channels: C of the windows (B, C, T) that it will get.
        channels: their names (C,), by which `config.spatial` knows where they lie.

    Raises:
        UsageError: when the configuration names no encoder or holds invalid sizes.
    """
    if isinstance(config, ForeignEncoderConfig):
        return foreign.build(config, n_channels)
    if config.name not in ENCODERS:
        hint = did_you_mean(config.name, ENCODERS)
        raise UsageError(f"no encoder is called {config.name!r}; choose one of {', '.join(ENCODERS)}{hint}")
    sizes = {"n_channels": n_channels, "dim": config.dim, "hidden": config.hidden, "stride": config.stride}
    for name, size in (sizes | {"depth": config.depth}).items():
        if size < 1:
            raise UsageError(f"an encoder needs {name} of at least 1, got {name}={size}")
    if not 0 <= config.dropout < 1:
        raise UsageError(f"an encoder's dropout lies in [0, 1), got dropout={config.dropout}")
    if config.pooling not in ("max", "mean", "both"):
        raise UsageError(f"an encoder pools by 'max', 'mean' or 'both', got pooling={config.pooling!r}")
    if config.spatial < 0:
        raise UsageError(f"an encoder has 0 or more virtual channels, got spatial={config.spatial}")
    if config.bag < 0 or config.bag == 1:
        raise UsageError(f"an encoder divides a sample into 2 or more windows, or not at all (0), got bag={config.bag}")
    mapped = config.spatial or n_channels
    encoder = ENCODERS[config.name](config, mapped)
    if config.spatial:
        if len(channels) != n_channels:
            raise UsageError(f"encoder.spatial: {len(channels)} names of {n_channels} channels")
        encoder.spatial, encoder.n_channels = SpatialAttention(channels, config.spatial), n_channels
    if config.subject_layer:
        encoder.subject = SubjectLayer(mapped)
    if config.bag:
        encoder.bag = WindowAttention(config.bag, config.dim)
    return encoder
