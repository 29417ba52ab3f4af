"""Views of ECGs: rotations of the heart vector, noise as electrodes pick it up, and leads hidden in part."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.signal.channels import listed
from medcl.modality.views import Params, View, check_range, integers, normal, uniform

INDEPENDENT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
LIMB = {"III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}
"""Lead -> its shares of I and II (Einthoven, Goldberger)."""
INVERSE_DOWER = (
    (0.156, -0.009, -0.172, -0.073, 0.122, 0.231, 0.239, 0.193),
    (-0.227, 0.886, 0.057, -0.019, -0.106, -0.022, 0.040, 0.048),
    (0.021, 0.102, -0.228, -0.310, -0.245, -0.063, 0.054, 0.108),
)
"""x, y, z of the heart vector from the independent leads (Edenbrandt and Pahlm, 1988)."""
WANDER = (0.01, 0.2)
WAVES = 3


def from_independent(channels: Sequence[str]) -> Tensor:
    """What makes the leads of an ECG of the eight independent ones, (C, 8).

    Raises:
        UsageError: an independent lead is absent, or a channel is not one of the twelve leads.
    """
    absent = [name for name in INDEPENDENT if name not in channels]
    other = [name for name in channels if name not in INDEPENDENT and name not in LIMB]
    if absent or other:
        raise UsageError(
            f"views.heart_rotation and heart_scale need the leads {listed(INDEPENDENT)}, and no channel that is not "
            f"one of the twelve; {f'missing: {listed(absent)}' if absent else f'not one of them: {listed(other)}'}"
        )
    rows = torch.zeros(len(channels), len(INDEPENDENT))
    for row, name in zip(rows, channels, strict=True):
        if name in LIMB:
            row[:2] = torch.tensor(LIMB[name])
        else:
            row[INDEPENDENT.index(name)] = 1
    return rows


def spread(channels: Sequence[str]) -> Tensor:
    """What an electrode's noise does to the channels, (C, C): limb leads have that of I and II, others their own."""
    rows = torch.eye(len(channels))
    if "I" in channels and "II" in channels:
        for place, name in enumerate(channels):
            if name in LIMB:
                rows[place, place] = 0
                rows[place, [channels.index("I"), channels.index("II")]] = torch.tensor(LIMB[name])
    return rows


@lru_cache(8)
def _dower(channels: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Heart vector (3, C) from the leads, of which it reads the independent ones, and leads (C, 3) from the vector."""
    inverse = torch.tensor(INVERSE_DOWER, dtype=torch.float64)
    leads = from_independent(channels).double() @ torch.linalg.pinv(inverse)
    reads = torch.zeros(3, len(channels), dtype=torch.float64)
    reads[:, [channels.index(name) for name in INDEPENDENT]] = inverse
    return reads.float(), leads.float()


def rotations(angles: Tensor) -> Tensor:
    """Rotation matrices (B, 3, 3) from Euler angles (B, 3) about z, y and x, in this order (radians)."""
    cos, sin = angles.cos(), angles.sin()
    one, zero = torch.ones_like(cos[:, 0]), torch.zeros_like(cos[:, 0])
    z = torch.stack([cos[:, 0], -sin[:, 0], zero, sin[:, 0], cos[:, 0], zero, zero, zero, one], 1)
    y = torch.stack([cos[:, 1], zero, sin[:, 1], zero, one, zero, -sin[:, 1], zero, cos[:, 1]], 1)
    x = torch.stack([one, zero, zero, zero, cos[:, 2], -sin[:, 2], zero, sin[:, 2], cos[:, 2]], 1)
    return z.view(-1, 3, 3) @ y.view(-1, 3, 3) @ x.view(-1, 3, 3)


@dataclass(frozen=True)
class HeartVector(View):
    """Turns and stretches the heart vector, from which all leads are made again (3KG, Gopal et al. 2021).

    The vector is read from the eight independent leads by the inverse Dower matrix Di, changed to S R v, and brought
    back by its pseudo-inverse D. What no dipole explains is lost in D Di; with `residual` it is added back unchanged,
    which the paper does not do. Windows are in one unit for all leads, not standardised each.

    Args:
        angle: largest rotation about each axis, either way (degrees).
        scale: largest factor of each axis; factors are uniform in [1, scale].
        channels: of the windows: all eight independent leads, and any of the four that follow from them.
        residual: keep what no dipole explains.

    Raises:
        UsageError: for other channels, or settings out of their range.
    """

    name: ClassVar[str] = "heart"
    angle: float
    scale: float
    channels: tuple[str, ...]
    residual: bool = False

    def __post_init__(self) -> None:
        check_range("heart_rotation", self.angle, 0, 180)
        check_range("heart_scale", self.scale, 1, 10)
        from_independent(self.channels)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the Euler `angles` (B, 3) in degrees and the `factor` (B, 3) of each axis."""
        angles = self.angle * (2 * uniform(x, x.shape[0], 3, generator=generator) - 1)
        return {"angles": angles, "factor": 1 + (self.scale - 1) * uniform(x, x.shape[0], 3, generator=generator)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Make the leads of the changed vectors."""
        reads, leads = (part.to(x) for part in _dower(self.channels))
        change = params["factor"].unsqueeze(2) * rotations(torch.deg2rad(params["angles"]))
        made: Tensor = (leads @ change.to(x.dtype) @ reads) @ x
        return made + (x - (leads @ reads) @ x) if self.residual else made


@dataclass(frozen=True)
class Noise(View):
    """Adds noise to the channels.

    Args:
        largest: amplitude, in units of the signal; that of each channel is uniform from 0.
        channels: of the windows, where limb leads are to get what follows from the noise of I and II; else each channel
            gets its own.
    """

    largest: float
    channels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_range(self.name, self.largest, 0, math.inf)

    def amplitude(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw amplitudes (B, C, 1)."""
        return self.largest * uniform(x, *x.shape[:2], 1, generator=generator)

    def added(self, x: Tensor, noise: Tensor) -> Tensor:
        """Add the noise (B, C, T) of each channel."""
        return x + (spread(self.channels).to(noise) @ noise if self.channels else noise)


@dataclass(frozen=True)
class Powerline(Noise):
    """The hum of the mains, a sine with a phase for each window and an amplitude for each channel.

    Args:
        frequency: of the mains, 50 or 60 Hz.
        sampling_rate: of the windows (Hz).

    Raises:
        UsageError: when windows of this sampling rate cannot hold that frequency.
    """

    name: ClassVar[str] = "powerline"
    frequency: float = 50.0
    sampling_rate: float = 500.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.frequency < self.sampling_rate / 2:
            raise UsageError(
                f"views.powerline: {self.frequency:g} Hz is not below half of the sampling rate, "
                f"{self.sampling_rate:g} Hz: such windows hold no hum of the mains"
            )

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `amplitude` (B, C, 1) and the `phase` (B, 1, 1)."""
        phase = 2 * math.pi * uniform(x, x.shape[0], 1, 1, generator=generator)
        return {"amplitude": self.amplitude(x, generator), "phase": phase}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Add the sine."""
        time = torch.arange(x.shape[2], device=x.device) / self.sampling_rate
        wave = torch.sin(2 * math.pi * self.frequency * time + params["phase"])
        return self.added(x, (params["amplitude"] * wave).to(x.dtype))


@dataclass(frozen=True)
class Wander(Noise):
    """Wander of the baseline: the mean of three cosines of 0.01 to 0.2 Hz, of another amplitude in each channel.

    Args:
        sampling_rate: of the windows (Hz).
    """

    name: ClassVar[str] = "wander"
    sampling_rate: float = 500.0

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `amplitude` (B, C, 1), and of each cosine the `frequency` and the `phase` (B, 3)."""
        low, high = WANDER
        frequency = low + (high - low) * uniform(x, x.shape[0], WAVES, generator=generator)
        phase = 2 * math.pi * uniform(x, x.shape[0], WAVES, generator=generator)
        return {"amplitude": self.amplitude(x, generator), "frequency": frequency, "phase": phase}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Add the cosines."""
        time = torch.arange(x.shape[2], device=x.device) / self.sampling_rate
        angle = 2 * math.pi * params["frequency"].unsqueeze(2) * time + params["phase"].unsqueeze(2)
        wave = angle.cos().mean(dim=1, keepdim=True)
        return self.added(x, (params["amplitude"] * wave).to(x.dtype))


@dataclass(frozen=True)
class Muscle(Noise):
    """Muscle activity: white noise with a standard deviation for each channel."""

    name: ClassVar[str] = "muscle"

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `noise` (B, C, T)."""
        return {"noise": self.amplitude(x, generator) * normal(x, *x.shape, generator=generator)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Add the noise."""
        return self.added(x, params["noise"].to(x.dtype))


@dataclass(frozen=True)
class ChannelMask(View):
    """Sets a run of time steps of each channel to 0; it goes on at the beginning where it reaches the end (3KG).

    Args:
        share: of the window that is hidden in each channel, at a place of its own.
    """

    name: ClassVar[str] = "channel_mask"
    share: float

    def __post_init__(self) -> None:
        check_range("channel_mask", self.share, 0, 1)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw where the run of each channel begins, `start` (B, C, 1)."""
        return {"start": integers(x, *x.shape[:2], 1, low=0, high=x.shape[2], generator=generator)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Hide the runs."""
        steps = x.shape[2]
        place = (torch.arange(steps, device=x.device) - params["start"]) % steps
        return torch.where(place < round(self.share * steps), 0.0, x)


@dataclass(frozen=True)
class KeepChannels(View):
    """Keeps some channels, drawn for each window, and sets the others to 0.

    With one, two views of a window are two of its leads: the positives of CLOCS' CMLC.

    Args:
        count: channels that stay; of fewer channels all do.
    """

    name: ClassVar[str] = "keep_channels"
    count: int

    def __post_init__(self) -> None:
        check_range("keep_channels", self.count, 1, math.inf)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw which channels to `keep` (B, C)."""
        order = uniform(x, *x.shape[:2], generator=generator).argsort(dim=1, stable=True)
        return {"keep": order.argsort(dim=1, stable=True) < self.count}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Set the others to 0."""
        return torch.where(params["keep"].unsqueeze(2), x, 0.0)
