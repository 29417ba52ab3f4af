"""What a scan keeps of a volume, and what its summary says of volumes."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from medcl.modality.dicom import ASIDE, IRREGULAR
from medcl.modality.spatial import MODALITIES
from medcl.wording import counted, line, occurrences, unusual, usable_rows

if TYPE_CHECKING:
    from medcl.modality.volume.record import VolumeHeader

__all__ = ["DAMAGED", "MODALITIES", "OWN_STUDY", "columns", "summary"]

DAMAGED = ()
OWN_STUDY = True


def columns(header: "VolumeHeader") -> dict[str, Any]:
    """The columns of the manifest that a header fills.

    Args:
        header: of a volume.

    Returns:
        Modality, format, channels, shape and spacing (mm) along the axes of RAS+, orientation as stored, type of the
        numbers, flags.
    """
    turned = header.grid.to_ras()
    return {
        "modality": header.modality,
        "format": header.format,
        "n_channels": header.n_channels,
        "shape": list(turned.shape),
        # To a millionth of a mm: what lies behind is rounding of the direction cosines.
        "spacing": [round(float(length), 6) for length in turned.spacing],
        "orientation": header.grid.orientation,
        "dtype": header.dtype,
        "flags": list(header.flags),
        "part": 0,
    }


@dataclass(frozen=True)
class VolumeSummary:
    """Counts of volumes.

    Args:
        volumes: that are usable.
        studies: that they belong to.
        series: that they belong to.
        channels: numbers a voxel -> volumes.
        shapes: voxels along the axes of RAS+ -> volumes.
        spacings: mm, to a hundredth -> volumes.
        flags: what is unusual, without numbers -> usable volumes.
        irregular: usable volumes that `data.irregular` decides about.
        aside: localizers and derived images, which are listed and not used.
    """

    volumes: int
    studies: int
    series: int
    channels: dict[int, int]
    shapes: dict[tuple[int, ...], int]
    spacings: dict[tuple[float, ...], int]
    flags: dict[str, int]
    irregular: int
    aside: dict[str, int]

    def __str__(self) -> str:
        spacings = {f"{' x '.join(f'{length:g}' for length in one)} mm": n for one, n in self.spacings.items()}
        lines = [
            line("volumes", f"{self.volumes} of {self.series} series, {self.studies} studies"),
            line("voxels", counted({" x ".join(map(str, one)): n for one, n in self.shapes.items()}, shown=3)),
            line("spacing", counted(spacings, shown=3)),
        ]
        if set(self.channels) - {1}:
            lines.append(line("channels", counted({str(number): n for number, n in self.channels.items()})))
        lines += unusual(self.flags, "volumes")
        if self.irregular:
            lines.append(
                line(
                    "irregular",
                    f"{self.irregular} of {self.volumes} volumes lie on no even, upright grid: `medcl prepare` ",
                )
                + "leaves them out, unless --data.irregular is resample or keep"
            )
        if self.aside:
            listed = ", ".join(f"{kind}: {number}" for kind, number in self.aside.items())
            lines.append(line("not used", f"{listed} (--images all uses them)"))
        return "\n".join(lines)


def summary(records: pa.Table) -> VolumeSummary | None:
    """Count volumes.

    Args:
        records: rows of the manifest, usable ones and others.

    Returns:
        The counts, the most frequent first, or None: none is usable or set aside.
    """
    if "shape" not in records.column_names:
        return None
    records = records.filter(records["shape"].is_valid())
    status = occurrences(records["status"])
    aside = {kind: status[kind] for kind in ASIDE if status[kind]}
    usable = usable_rows(records)
    if not len(usable) and not aside:
        return None
    flags = usable["flags"].to_pylist()
    kinds = Counter(_kind(flag) for own in flags for flag in own or ())
    spacings = Counter(tuple(round(mm, 2) for mm in one) for one in usable["spacing"].to_pylist())
    return VolumeSummary(
        volumes=len(usable),
        studies=len(usable["study"].unique()),
        series=len(usable["series"].unique()),
        channels=dict(occurrences(usable["n_channels"]).most_common()),
        shapes=dict(Counter(map(tuple, usable["shape"].to_pylist())).most_common()),
        spacings=dict(spacings.most_common()),
        flags=dict(kinds.most_common()),
        irregular=sum(any(flag.startswith(IRREGULAR) for flag in own or ()) for own in flags),
        aside=aside,
    )


def _kind(flag: str) -> str:
    """A flag without its details: what stands behind the colon, and the angle of a gantry."""
    return re.sub(r" [\d.]+ degrees", "", flag.split(":")[0])
