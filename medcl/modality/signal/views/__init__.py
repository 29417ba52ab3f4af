"""Views of signals by configuration: `build` makes what a YAML file asks for."""

from collections.abc import Sequence

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
    views: list[View] = []
    if config.crop:
        views.append(Crop(config.crop))
    if config.time_warp:
        views.append(TimeWarp(config.time_warp))
    if config.permutation:
        views.append(Permutation(config.permutation))
    if config.reverse:
        views.append(Reverse(config.reverse))
    if config.frequency_shift:
        views.append(FrequencyShift(config.frequency_shift, sampling_rate))
    if config.phase_surrogate:
        views.append(PhaseSurrogate(config.phase_surrogate))
    if config.reflect:
        views.append(Reflect(config.reflect, mirror_order(channels)))
    if config.sign_flip:
        views.append(SignFlip(config.sign_flip))
    if config.scale:
        views.append(AmplitudeScale(config.scale))
    if config.jitter:
        views.append(Jitter(config.jitter))
    if config.channel_dropout:
        views.append(ChannelDropout(config.channel_dropout))
    mask = None
    if config.mask != "none":
        mask = TimestampMask(config.mask, config.mask_segments, config.mask_length, config.mask_probability)
    return Compose(views, mask)
