"""What a manifest holds, in a few lines."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.compute as pc

from medcl.archive.manifest import Manifest
from medcl.archive.path_ids import FLAG
from medcl.modality.dicom import ASIDE
from medcl.modality.formats import WINGS, scan_of
from medcl.wording import counted, line, occurrences

_NOBODY = "no patient id"


@dataclass(frozen=True)
class ScanSummary:
    """Counts of a manifest.

    Args:
        records: that are usable.
        patients: that they belong to; records without a patient are not counted.
        formats: format -> records.
        modalities: modality -> records.
        wings: name of a wing -> what it says of its records, of those that have any.
        masks: name of a column of label maps -> usable records that have one, and records that may.
        quarantined: reason -> records that cannot be used.
        others: suffix -> files that are no records; None if it is not known.
        skipped: why -> files and folders that were not looked at.
        alone: usable records whose patient id is a placeholder, so that each study counts as a patient of its own.
        reused: records taken over from the scan before, unopened.
    """

    records: int
    patients: int
    formats: dict[str, int]
    modalities: dict[str, int]
    wings: dict[str, Any]
    masks: dict[str, tuple[int, int]]
    quarantined: dict[str, int]
    others: dict[str, int] | None = None
    skipped: dict[str, int] = field(default_factory=dict)
    reused: int = 0
    alone: int = 0

    def __str__(self) -> str:
        lines = [
            line("records", f"{self.records} ({counted(self.formats)}; {counted(self.modalities)})"),
            line("patients", f"{self.patients}"),
        ]
        lines += map(str, self.wings.values())
        lines += [line("label maps", f"{name}: {own} of {every}") for name, (own, every) in self.masks.items()]
        if self.alone:
            lines.append(
                line(
                    "placeholders",
                    f"{self.alone} records have a placeholder patient id (such as ANONYMOUS, 0 or n/a): ",
                )
                + "each study stands alone; --id-pattern or --labels with --patient-column can tell more"
            )
        lines.append(line("quarantined", f"{sum(self.quarantined.values())}"))
        lines += [f"  {number:>6}  {reason}" for reason, number in self.quarantined.items()]
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


def summary(manifest: Manifest) -> ScanSummary:
    """Count what a manifest holds.

    Args:
        manifest: scanned records.

    Returns:
        The counts, the most frequent first. Reasons of the quarantine are counted without their details (what stands
        behind the colon).
    """
    ok = manifest.ok()
    kinds = manifest.kinds
    usable = Counter(map(str, ok.kinds))
    there = sorted((wing for wing in WINGS if (kinds == wing).any()), key=lambda wing: -usable[wing])
    wings = {wing: scan_of(wing).summary(manifest.select(kinds == wing).table) for wing in there}
    reasons = Counter[str]()
    for reason, number in occurrences(manifest.table.column("status")).items():
        if reason not in ("ok", *ASIDE):
            reasons[str(reason).split(":")[0]] += number
    about = manifest.metadata.get("scan", {})
    return ScanSummary(
        records=len(ok),
        patients=len(np.unique(ok.table.column("patient").drop_null().to_numpy())),
        formats=dict(occurrences(ok.table.column("format")).most_common()),
        modalities=dict(occurrences(ok.table.column("modality")).most_common()),
        wings={wing: one for wing, one in wings.items() if one is not None},
        masks={name: (len(ok) - ok.table.column(name).null_count, len(ok)) for name in manifest.masks},
        quarantined=dict(reasons.most_common()),
        others=about.get("others"),
        skipped=about.get("skipped", {}),
        reused=about.get("reused", 0),
        alone=occurrences(pc.list_flatten(ok.table.column("flags")))[FLAG] if ok.has("flags") else 0,
    )


def _shown(others: dict[str, int]) -> dict[str, int]:
    """Suffixes by count, the most frequent first; what is too long or too odd for a suffix may be a name."""
    shown: Counter[str] = Counter()
    for suffix, number in others.items():
        plain = re.fullmatch(r"\.[a-z0-9]{1,6}(\.gz)?", suffix) is not None
        shown[suffix if plain else "another suffix" if suffix else "without suffix"] += number
    return dict(sorted(shown.items(), key=lambda one: (-one[1], one[0])))
