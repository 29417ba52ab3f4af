"""The configuration of the views of signals: importable without torch, so that the command line stays quick."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SignalViewsConfig:
    """Which random views of a window are made, and how strong they are; 0 switches a view off.

    They are applied in the order: crop, time warp, permutation, reversal, frequency shift, phase surrogate, reflection,
    sign flip, scale, jitter, channel dropout.

    Args:
        mask: time steps hidden from the encoder: `none`, `continuous` (random segments, COMET's default) or
            `binomial` (each step on its own).
        mask_segments: segments of the continuous mask.
        mask_length: length of each segment as a share of the window.
        mask_probability: probability of hiding a step by the binomial mask.
        crop: smallest share of the window that is cut out and stretched to the whole length.
        time_warp: standard deviation of the logarithm of the local speed of time.
        permutation: segments, at most, that are put in random order.
        reverse: probability of reversing time.
        frequency_shift: largest shift of the spectrum, either way (Hz).
        phase_surrogate: share of the circle from which the new phases of the spectrum are drawn; 1 draws them all anew.
        reflect: probability of exchanging the left and right EEG channels, by their 10-20 names.
        sign_flip: probability of reversing the sign of all channels.
        scale: largest relative change of a channel's amplitude.
        jitter: largest standard deviation of added white noise, in units of the standardised signal.
        channel_dropout: probability of setting a channel to 0.
    """

    mask: Literal["none", "continuous", "binomial"] = "none"
    mask_segments: int = 5
    mask_length: float = 0.1
    mask_probability: float = 0.5
    crop: float = 0.0
    time_warp: float = 0.0
    permutation: int = 0
    reverse: float = 0.0
    frequency_shift: float = 0.0
    phase_surrogate: float = 0.0
    reflect: float = 0.0
    sign_flip: float = 0.0
    scale: float = 0.0
    jitter: float = 0.0
    channel_dropout: float = 0.0
