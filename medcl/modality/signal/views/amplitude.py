"""Views that change values and leave time as it is: noise, scale, sign, channels, frequencies, sides of the head."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.views import Params, Sometimes, View, check_range, normal, uniform


def analytic(x: Tensor) -> Tensor:
    """Compute the analytic signal (complex, same shape) over the last axis, x + i Hilbert(x)."""
    steps = x.shape[-1]
    gain = torch.zeros(steps, device=x.device)
    gain[0] = 1
    gain[1 : (steps + 1) // 2] = 2
    if steps % 2 == 0:
        gain[steps // 2] = 1
    return cast(Tensor, torch.fft.ifft(torch.fft.fft(x) * gain))


@dataclass(frozen=True)
class FrequencyShift(View):
    """Moves the whole spectrum of a window up or down by the same number of Hz in all channels.

    By the analytic signal, Re(a(t) exp(2 pi i f t)), and unlike a change of speed it keeps the distances between
    frequencies. The mean of each channel stays. What is moved below 0 Hz is mirrored into the spectrum.

    Args:
        largest: shift, either way (Hz).
        sampling_rate: of the windows (Hz).

    Raises:
        UsageError: when the shift reaches half of the sampling rate.
    """

    name: ClassVar[str] = "frequency_shift"
    largest: float
    sampling_rate: float

    def __post_init__(self) -> None:
        if not 0 <= self.largest < self.sampling_rate / 2:
            raise UsageError(
                f"frequency_shift must lie between 0 and half of the sampling rate ({self.sampling_rate:g} Hz), "
                f"got {self.largest:g} Hz"
            )

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `shift` (B,) in Hz."""
        return {"shift": self.largest * (2 * uniform(x, x.shape[0], generator=generator) - 1)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Shift the spectra."""
        time = torch.arange(x.shape[2], device=x.device) / self.sampling_rate
        angle = 2 * math.pi * params["shift"].unsqueeze(1) * time
        turn = torch.polar(torch.ones_like(angle), angle).unsqueeze(1)
        mean = x.mean(dim=2, keepdim=True)
        return (analytic(x - mean) * turn).real + mean


@dataclass(frozen=True)
class PhaseSurrogate(View):
    """Turns the phase of each frequency by a random angle, the same one in all channels (a Fourier surrogate).

    The power spectrum of each channel stays, and so do the cross-spectra: phase differences and coherence between
    channels. The mean (0 Hz) and, for an even length, the highest frequency are real and are not turned.
    (Theiler et al. 1992; with one angle for all channels, Prichard and Theiler 1994.)

    Args:
        share: of the circle from which angles are drawn: uniform in [0, 2 pi share).
    """

    name: ClassVar[str] = "phase_surrogate"
    share: float

    def __post_init__(self) -> None:
        check_range("phase_surrogate", self.share, 0, 1)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `angle` (B, T // 2 + 1) of each frequency."""
        batch, _, steps = x.shape
        angle = 2 * math.pi * self.share * uniform(x, batch, steps // 2 + 1, generator=generator)
        angle[:, 0] = 0
        if steps % 2 == 0:
            angle[:, -1] = 0
        return {"angle": angle}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Turn the phases."""
        turn = torch.polar(torch.ones_like(params["angle"]), params["angle"]).unsqueeze(1)
        return cast(Tensor, torch.fft.irfft(torch.fft.rfft(x) * turn, n=x.shape[2]))


@dataclass(frozen=True)
class Jitter(View):
    """Adds white noise; its standard deviation is drawn for each window from 0 to `sigma`.

    Args:
        sigma: largest standard deviation, in units of the signal.
    """

    name: ClassVar[str] = "jitter"
    sigma: float

    def __post_init__(self) -> None:
        check_range("jitter", self.sigma, 0, math.inf)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `noise` (B, C, T)."""
        sigma = self.sigma * uniform(x, x.shape[0], 1, 1, generator=generator)
        return {"noise": sigma * normal(x, *x.shape, generator=generator)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Add the noise."""
        return x + params["noise"]


@dataclass(frozen=True)
class AmplitudeScale(View):
    """Multiplies each channel by its own factor, uniform in [1 - change, 1 + change].

    Args:
        change: largest relative change of an amplitude, at most 1.
    """

    name: ClassVar[str] = "scale"
    change: float

    def __post_init__(self) -> None:
        check_range("scale", self.change, 0, 1)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `factor` (B, C)."""
        return {"factor": 1 + self.change * (2 * uniform(x, *x.shape[:2], generator=generator) - 1)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Multiply by the factors."""
        return x * params["factor"].unsqueeze(2)


class SignFlip(Sometimes):
    """Reverses the sign of all channels of a window together."""

    name: ClassVar[str] = "sign_flip"

    def changed(self, x: Tensor) -> Tensor:
        """Reverse signs."""
        return -x


@dataclass(frozen=True)
class ChannelDropout(View):
    """Sets channels to 0, the mean of a standardised signal, but never all channels of a window.

    Args:
        probability: of dropping a channel.
    """

    name: ClassVar[str] = "channel_dropout"
    probability: float

    def __post_init__(self) -> None:
        check_range("channel_dropout", self.probability, 0, 1)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw which channels to `keep` (B, C)."""
        number = uniform(x, *x.shape[:2], generator=generator)
        # The channel with the largest number is the last that any probability would drop: it stays.
        last = torch.arange(x.shape[1], device=x.device) == number.argmax(dim=1, keepdim=True)
        return {"keep": (number >= self.probability) | last}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Set the dropped channels to 0."""
        return torch.where(params["keep"].unsqueeze(2), x, 0.0)


# Rows of the 10-20, 10-10 and 10-5 systems from front to back, then the ear lobes and mastoids.
ROWS = "N|Fp|AFp|AF|AFF|F|FFT|FFC|FT|FC|FTT|FCC|T|C|TTP|CCP|TP|CP|TPP|CPP|P|PPO|PO|POO|O|OI|I|A|M"
ELECTRODE = re.compile(rf"({ROWS})(z|\d+)(h?)", re.IGNORECASE)


def mirrored(electrode: str) -> str | None:
    """Name the electrode on the other side, `C3` -> `C4`, `Cz` -> `Cz`; None for a name outside the 10-5 system."""
    match = ELECTRODE.fullmatch(electrode.strip())
    if match is None or match[2] == "0":
        return None
    if match[2] in "zZ":
        return electrode.strip()
    number = int(match[2])
    return f"{match[1]}{number + 1 if number % 2 else number - 1}{match[3]}"


def mirror_channel(channel: str) -> str | None:
    """Mirror a channel's name; a bipolar one (`Fp1-F7`) by both of its electrodes. None where a name is unknown."""
    electrodes = [mirrored(electrode) for electrode in channel.split("-")]
    known = [electrode for electrode in electrodes if electrode is not None]
    return "-".join(known) if len(known) == len(electrodes) else None


def mirror_order(channels: Sequence[str]) -> tuple[int, ...]:
    """Find for each channel the index of the one on the other side, itself on the midline.

    Args:
        channels: names in the order of the data, of the 10-20 system or its extensions, in any case.

    Returns:
        The order of the channels after reflection, one index a channel.

    Raises:
        UsageError: when a name is not one of that system, as an ECG lead's is not, when its mirror is absent, or when a
            name is there twice.

    Example:
        >>> from medcl.modality.signal.views.amplitude import mirror_order
        >>> mirror_order(["C3", "Cz", "C4"])
        (2, 1, 0)
    """
    index = {channel.strip().lower(): position for position, channel in enumerate(channels)}
    if len(index) < len(channels):
        raise UsageError(f"reflect needs each channel name once, got: {', '.join(channels)}")
    mirrors = {channel: mirror_channel(channel) for channel in channels}
    unknown = [channel for channel, mirror in mirrors.items() if mirror is None]
    if unknown:
        raise UsageError(f"reflect needs EEG channels with 10-20 names; these are not: {', '.join(unknown)}")
    alone = [f"{channel} (no {mirror})" for channel, mirror in mirrors.items() if str(mirror).lower() not in index]
    if alone:
        raise UsageError(f"reflect needs both sides of each channel; missing for: {', '.join(alone)}")
    return tuple(index[str(mirrors[channel]).lower()] for channel in channels)


@dataclass(frozen=True)
class Reflect(Sometimes):
    """Exchanges the left and the right channels of an EEG.

    Args:
        probability: of reflecting a window.
        order: the index of each channel's mirror, from `mirror_order`.
    """

    name: ClassVar[str] = "reflect"
    order: tuple[int, ...]

    def changed(self, x: Tensor) -> Tensor:
        """Exchange the channels.

        Raises:
            UsageError: when `x` has another number of channels than there are names.
        """
        if x.shape[1] != len(self.order):
            raise UsageError(f"reflect knows {len(self.order)} channel names, got a batch of shape {tuple(x.shape)}")
        return x.index_select(1, torch.tensor(self.order, device=x.device))
