"""Views of signals by configuration: `build` makes what a YAML file asks for."""

from collections.abc import Callable, Sequence

from medcl.modality.signal.config import SignalViewsConfig
from medcl.modality.signal.views.amplitude import (
    AmplitudeScale,
    ChannelDropout,
    FrequencyShift,
    Jitter,
    PhaseSurrogate,
    Reflect,
    SignFlip,
    mirror_order,
)
from medcl.modality.signal.views.timing import Crop, Permutation, Reverse, TimeWarp
from medcl.modality.views import Compose, TimestampMask, View


def build(config: SignalViewsConfig, channels: Sequence[str], sampling_rate: float) -> Compose:
    """Make the views that a configuration switches on, in the order that it documents.

    Args:
        config: which views, and how strong.
        channels: names of the channels of the windows, in their order; only `reflect` needs to know them.
        sampling_rate: of the windows (Hz).

    Raises:
        UsageError: when a setting is out of its range, or when `reflect` is asked for channels without 10-20 names.
    """
    made: tuple[tuple[float, Callable[[], View]], ...] = (
        (config.crop, lambda: Crop(config.crop)),
        (config.time_warp, lambda: TimeWarp(config.time_warp)),
        (config.permutation, lambda: Permutation(config.permutation)),
        (config.reverse, lambda: Reverse(config.reverse)),
        (config.frequency_shift, lambda: FrequencyShift(config.frequency_shift, sampling_rate)),
        (config.phase_surrogate, lambda: PhaseSurrogate(config.phase_surrogate)),
        (config.reflect, lambda: Reflect(config.reflect, mirror_order(channels))),
        (config.sign_flip, lambda: SignFlip(config.sign_flip)),
        (config.scale, lambda: AmplitudeScale(config.scale)),
        (config.jitter, lambda: Jitter(config.jitter)),
        (config.channel_dropout, lambda: ChannelDropout(config.channel_dropout)),
    )
    views = [make() for asked, make in made if asked]
    mask = None
    if config.mask != "none":
        mask = TimestampMask(config.mask, config.mask_segments, config.mask_length, config.mask_probability)
    return Compose(views, mask)
