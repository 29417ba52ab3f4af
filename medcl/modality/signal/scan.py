"""What a scan keeps of a recording, and what its summary says of recordings."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from medcl.modality.signal.record import CUT, WRONG_CHECKSUM, SignalHeader
from medcl.wording import counted, line, occurrences, unusual, usable_rows

MODALITIES = ("ecg", "eeg")
DAMAGED = (WRONG_CHECKSUM, CUT)
OWN_STUDY = False
_BETWEEN = "\x1f"  # names of channels


def columns(header: SignalHeader) -> dict[str, Any]:
    """The columns of the manifest that a header fills: rate in Hz, samples, channels, units as stated."""
    return {
        "modality": header.modality,
        "sampling_rate": header.sampling_rate,
        "n_samples": header.n_samples,
        "n_channels": len(header.channels),
        "channels": list(header.channels),
        "units": list(header.units),
        "flags": list(header.flags),
    }


@dataclass(frozen=True)
class SignalSummary:
    """Counts of usable recordings.

    Args:
        hours: of recording, one for all channels.
        sampling_rates: Hz -> recordings.
        channels: set of channels, in order -> recordings.
        flags: what is unusual, without details -> recordings.
    """

    hours: float
    sampling_rates: dict[float, int]
    channels: dict[tuple[str, ...], int]
    flags: dict[str, int]

    def __str__(self) -> str:
        lines = [
            line("hours", f"{self.hours:.2f}"),
            line("sampling rate", counted({f"{rate:g} Hz": number for rate, number in self.sampling_rates.items()})),
            line("channels", counted({_short(names): number for names, number in self.channels.items()})),
        ]
        return "\n".join([*lines, *unusual(self.flags, "recordings")])


def summary(records: pa.Table) -> SignalSummary | None:
    """Count recordings.

    Args:
        records: rows of the manifest, usable ones and others.

    Returns:
        The counts, the most frequent first, or None: none is usable.
    """
    usable = usable_rows(records)
    if not len(usable):
        return None
    seconds = pc.sum(pc.divide(pc.cast(usable["n_samples"], "double"), usable["sampling_rate"]))
    flags = Counter[str]()
    for flag, number in occurrences(pc.list_flatten(usable["flags"])).items():
        flags[flag.split(":")[0]] += number
    channels = occurrences(pc.binary_join(usable["channels"], _BETWEEN))
    return SignalSummary(
        hours=(seconds.as_py() or 0.0) / 3600,
        sampling_rates=dict(occurrences(usable["sampling_rate"]).most_common()),
        channels={tuple(names.split(_BETWEEN)): number for names, number in channels.most_common()},
        flags=dict(flags.most_common()),
    )


def _short(names: tuple[str, ...]) -> str:
    return f"{len(names)} ({' '.join(names[:12])}{' ...' if len(names) > 12 else ''})"
