"""What a window of a signal is: importable without torch, so that the command line stays quick."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SignalConfig:
    """How recordings become windows.

    Args:
        sampling_rate: in Hz; recordings at another rate are resampled (polyphase). None is the archive's own rate,
            which must be one.
        channels: names in the order wanted; None is the channels that the first recording has, which all must have.
            Channels that a scan has set aside (of other sampling rates, markers) can be named too and are resampled.
        channel_names: name in the files -> name it is wanted by, where they are not two spellings of one name.
        window: length in seconds.
        stride: from one window to the next, in seconds.
        band: pass band [low, high] in Hz, a null end being open; None does not filter.
        notch: frequency in Hz to remove, 50 or 60 for the mains; None does not filter.
        standardise: to mean 0 and standard deviation 1 per channel: over the whole `record`, over each `window`, or
            `none`.
    """

    sampling_rate: float | None = None
    channels: list[str] | None = None
    channel_names: dict[str, str] | None = None
    window: float = 2.5
    stride: float = 1.25
    band: list[float | None] | None = None
    notch: float | None = None
    standardise: Literal["record", "window", "none"] = "record"
