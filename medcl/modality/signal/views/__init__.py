"""Views of signals by configuration: `build` makes what a YAML file asks for."""

from collections.abc import Callable, Sequence

from medcl.errors import UsageError
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
from medcl.modality.signal.views.leads import ChannelMask, HeartVector, KeepChannels, Muscle, Powerline, Wander
from medcl.modality.signal.views.timing import Crop, Permutation, Reverse, TimeWarp
from medcl.modality.views import Compose, TimestampMask, View


def build(
    config: SignalViewsConfig, channels: Sequence[str], sampling_rate: float, *, physical: bool = False
) -> Compose:
    """Make the views that a configuration switches on, in the order that it documents.

    Args:
        config: which views, and how strong.
        channels: names of the channels of the windows, in their order.
        sampling_rate: of the windows (Hz).
        physical: whether windows are in one unit for all channels, so that leads follow from each other.

    Raises:
        UsageError: when a setting is out of its range, when `reflect` is asked for channels without 10-20 names, or a
            change of the heart vector for channels that are not the leads of an ECG, or for standardised ones.
    """
    names = tuple(channels)
    leads = names if physical else ()
    rate = sampling_rate
    turned = config.heart_rotation != 0 or config.heart_scale != 1
    if turned and not physical:
        raise UsageError(
            "views.heart_rotation and heart_scale make leads of each other, which standardised ones do not follow: set "
            "data.standardise to none"
        )
    made: tuple[tuple[float, Callable[[], View]], ...] = (
        (config.crop, lambda: Crop(config.crop)),
        (config.time_warp, lambda: TimeWarp(config.time_warp)),
        (config.permutation, lambda: Permutation(config.permutation)),
        (config.reverse, lambda: Reverse(config.reverse)),
        (config.frequency_shift, lambda: FrequencyShift(config.frequency_shift, sampling_rate)),
        (config.phase_surrogate, lambda: PhaseSurrogate(config.phase_surrogate)),
        (config.reflect, lambda: Reflect(config.reflect, mirror_order(channels))),
        (config.sign_flip, lambda: SignFlip(config.sign_flip)),
        (turned, lambda: HeartVector(config.heart_rotation, config.heart_scale, names, config.heart_residual)),
        (config.scale, lambda: AmplitudeScale(config.scale)),
        (config.jitter, lambda: Jitter(config.jitter)),
        (config.powerline, lambda: Powerline(config.powerline, leads, config.powerline_frequency, rate)),
        (config.wander, lambda: Wander(config.wander, leads, rate)),
        (config.muscle, lambda: Muscle(config.muscle, leads)),
        (config.channel_dropout, lambda: ChannelDropout(config.channel_dropout)),
        (config.keep_channels, lambda: KeepChannels(config.keep_channels)),
        (config.channel_mask, lambda: ChannelMask(config.channel_mask)),
    )
    views = [make() for asked, make in made if asked]
    mask = None
    if config.mask != "none":
        mask = TimestampMask(config.mask, config.mask_segments, config.mask_length, config.mask_probability)
    return Compose(views, mask)
