"""The left-right mirror of an EEG, from the names of its channels."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.views import Params, View, check_range, uniform

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
class Reflect(View):
    """Exchanges the left and the right channels of an EEG.

    Args:
        probability: of reflecting a window.
        order: the index of each channel's mirror, from `mirror_order`.
    """

    name: ClassVar[str] = "reflect"
    probability: float
    order: tuple[int, ...]

    def __post_init__(self) -> None:
        check_range("reflect", self.probability, 0, 1)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw which windows to `flip` (B,)."""
        return {"flip": uniform(x, x.shape[0], generator=generator) < self.probability}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Exchange the channels.

        Raises:
            UsageError: when `x` has another number of channels than there are names.
        """
        if x.shape[1] != len(self.order):
            raise UsageError(f"reflect knows {len(self.order)} channel names, got a batch of shape {tuple(x.shape)}")
        order = torch.tensor(self.order, device=x.device)
        return torch.where(params["flip"][:, None, None], x.index_select(1, order), x)
