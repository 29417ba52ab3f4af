"""EDF files field by field, as recorders write them: what edfio would not write."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ANNOTATIONS = "EDF Annotations"


def channel(label: str, unit: str = "uV", samples: int = 100, **fields: Any) -> dict[str, Any]:
    """A signal of `samples` samples in a data record, whose digital steps are 0.1 of its unit."""
    return {
        **{"label": label, "unit": unit, "samples": samples, "physical_low": "-3276.8", "physical_high": "3276.7"},
        **{"digital_low": "-32768", "digital_high": "32767", **fields},
    }


def notes(samples: int = 30) -> dict[str, Any]:
    """A signal of annotations."""
    return channel(ANNOTATIONS, unit="", samples=samples)


def digital(number: int, records: int, samples: int) -> np.ndarray:
    """What the signal of this number holds."""
    return np.random.default_rng(number).integers(-2000, 2000, records * samples).astype("<i2")


def write(
    path: Path,
    channels: Sequence[dict[str, Any]],
    *,
    records: int = 4,
    onsets: Sequence[float] | None = None,
    patient: str = "X X X X",
    **fixed: str,
) -> Path:
    """Write a file; `fixed` replaces fields of the header: length, reserved, count, duration."""
    fields = {"length": str(256 * (len(channels) + 1)), "reserved": "", "count": str(records), "duration": "1", **fixed}

    def put(value: Any, width: int) -> bytes:
        return (value if isinstance(value, bytes) else str(value).encode("latin-1"))[:width].ljust(width)

    head = put("0", 8) + put(patient, 80) + put("Startdate X X X X", 80) + put("01.01.85", 8) + put("00.00.00", 8)
    head += put(fields["length"], 8) + put(fields["reserved"], 44) + put(fields["count"], 8)
    head += put(fields["duration"], 8) + put(len(channels), 4)
    widths = {"label": 16, "transducer": 80, "unit": 8, "physical_low": 8, "physical_high": 8}
    widths |= {"digital_low": 8, "digital_high": 8, "filters": 80, "samples": 8, "reserved": 32}
    for name, width in widths.items():
        head += b"".join(put(one.get(name, ""), width) for one in channels)
    body = b""
    for record in range(records):
        for number, one in enumerate(channels):
            samples = one["samples"]
            if one["label"] == ANNOTATIONS:
                onset = onsets[record] if onsets is not None else record
                body += f"+{onset:g}\x14\x14\0".encode().ljust(2 * samples, b"\0")
            else:
                body += digital(number, records, samples)[record * samples :][:samples].tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + body)
    return path
