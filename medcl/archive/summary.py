"""What a manifest holds, in a few lines."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medcl.archive.manifest import Manifest
from medcl.archive.path_ids import FLAG
from medcl.archive.spatial_summary import (
    ASIDE,
    ImageSummary,
    VolumeSummary,
    counted,
    image_summary,
    line,
    volume_summary,
)

_BETWEEN = "\x1f"  # names of channels
_NOBODY = "no patient id"


@dataclass(frozen=True)
class Summary:
    """Counts of a manifest.

    Args:
        records: that are usable.
        patients: that they belong to; records without a patient are not counted.
        hours: of recording, one for all channels.
        formats: format -> records.
        modalities: modality -> records.
        sampling_rates: Hz -> records.
        channels: set of channels, in order -> records.
        flags: what is unusual about recordings, without details -> usable records.
        quarantined: reason -> records that cannot be used.
        others: suffix -> files that are no records; None if it is not known.
        skipped: why -> files and folders that were not looked at.
        alone: usable records whose patient id is a placeholder, so that each study counts as a patient of its own.
        reused: records taken over from the scan before, unopened.
        volumes: what there is of volumes; None without any.
        images: what there is of pictures; None without any.
    """

    records: int
    patients: int
    hours: float
    formats: dict[str, int]
    modalities: dict[str, int]
    sampling_rates: dict[float, int]
    channels: dict[tuple[str, ...], int]
    flags: dict[str, int]
    quarantined: dict[str, int]
    others: dict[str, int] | None = None
    skipped: dict[str, int] = field(default_factory=dict)
    reused: int = 0
    alone: int = 0
    volumes: VolumeSummary | None = None
    images: ImageSummary | None = None

    def __str__(self) -> str:
        lines = [
            line("records", f"{self.records} ({counted(self.formats)}; {counted(self.modalities)})"),
            line("patients", f"{self.patients}"),
        ]
        if self.channels or (self.volumes is None and self.images is None):
            lines += [
                line("hours", f"{self.hours:.2f}"),
                line("sampling rate", counted({f"{rate:g} Hz": count for rate, count in self.sampling_rates.items()})),
                line("channels", counted({_short(names): count for names, count in self.channels.items()})),
            ]
        if self.flags:
            lines.append(line("unusual", f"{sum(self.flags.values())} flags of usable recordings"))
            lines += [f"  {count:>6}  {flag}" for flag, count in self.flags.items()]
        if self.volumes is not None:
            lines.append(str(self.volumes))
        if self.images is not None:
            lines.append(str(self.images))
        if self.alone:
            lines.append(
                line(
                    "placeholders",
                    f"{self.alone} records have a placeholder patient id (such as ANONYMOUS, 0 or n/a): ",
                )
                + "each study stands alone; --id-pattern or --labels with --patient-column can tell more"
            )
        lines.append(line("quarantined", f"{sum(self.quarantined.values())}"))
        lines += [f"  {count:>6}  {reason}" for reason, count in self.quarantined.items()]
        if _NOBODY in self.quarantined:
            lines.append(
                f"          {_NOBODY}: say where it stands with --id-pattern or with --labels and --patient-column, or "
                "that every record is a patient of its own with --patient-per-record"
            )
        if self.reused:
            lines.append(line("unchanged", f"{self.reused} records as in the last scan, not opened again"))
        if self.others is not None:
            listed = f" ({counted(_shown(self.others), shown=8, alone=True)})" if self.others else ""
            lines.append(line("other files", f"{sum(self.others.values())}{listed}"))
        if self.skipped:
            lines.append(line("not looked at", counted(self.skipped, shown=8, alone=True)))
        return "\n".join(lines)


def summary(manifest: Manifest) -> Summary:
    """Count what a manifest holds.

    Args:
        manifest: scanned records.

    Returns:
        The counts, the most frequent first. Reasons of the quarantine are counted without their details (what stands
        behind the colon).
    """
    ok = manifest.ok()
    signals = ok.select(ok.table.column("channels").is_valid().to_numpy())
    seconds = pc.sum(
        pc.divide(pc.cast(signals.table.column("n_samples"), "double"), signals.table.column("sampling_rate"))
    )
    channels = _count(pc.binary_join(signals.table.column("channels"), _BETWEEN))
    reasons, flags = Counter[str](), Counter[str]()
    for reason, count in _count(manifest.table.column("status")).items():
        if reason not in ("ok", *ASIDE):
            reasons[str(reason).split(":")[0]] += count
    for flag, count in _count(pc.list_flatten(signals.table.column("flags"))).items():
        flags[flag.split(":")[0]] += count
    about = manifest.metadata.get("scan", {})
    return Summary(
        records=len(ok),
        patients=len(np.unique(ok.table.column("patient").drop_null().to_numpy())),
        hours=(seconds.as_py() or 0.0) / 3600,
        formats=dict(_count(ok.table.column("format")).most_common()),
        modalities=dict(_count(ok.table.column("modality")).most_common()),
        sampling_rates=dict(_count(signals.table.column("sampling_rate")).most_common()),
        channels={tuple(names.split(_BETWEEN)): count for names, count in channels.most_common()},
        flags=dict(flags.most_common()),
        quarantined=dict(reasons.most_common()),
        others=about.get("others"),
        skipped=about.get("skipped", {}),
        reused=about.get("reused", 0),
        alone=_count(pc.list_flatten(ok.table.column("flags")))[FLAG] if ok.has("flags") else 0,
        volumes=volume_summary(manifest),
        images=image_summary(manifest),
    )


def _count(values: pa.ChunkedArray) -> Counter[Any]:
    """How often each value occurs, without an object a row."""
    return Counter({one["values"].as_py(): one["counts"].as_py() for one in pc.value_counts(values)})


def _shown(others: dict[str, int]) -> dict[str, int]:
    """Suffixes by count, the most frequent first; what is too long or too odd for a suffix may be a name."""
    shown: Counter[str] = Counter()
    for suffix, count in others.items():
        plain = re.fullmatch(r"\.[a-z0-9]{1,6}(\.gz)?", suffix) is not None
        shown[suffix if plain else "another suffix" if suffix else "without suffix"] += count
    return dict(sorted(shown.items(), key=lambda one: (-one[1], one[0])))


def _short(names: tuple[str, ...]) -> str:
    return f"{len(names)} ({' '.join(names[:12])}{' ...' if len(names) > 12 else ''})"
