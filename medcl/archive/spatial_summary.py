"""What a manifest holds of images and volumes, in a few lines, and how counts are written there."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from medcl.archive.manifest import Manifest
from medcl.modality.dicom.stacks import IRREGULAR


def line(name: str, text: str) -> str:
    """A line of a summary."""
    return f"{name:<15}{text}"


def counted(counts: Mapping[str, int], shown: int = 4, alone: bool = False) -> str:
    """The most frequent things with their counts.

    Args:
        counts: thing -> how often, the most frequent first.
        shown: how many are named.
        alone: whether a thing that stands alone has its count too.

    Returns:
        Such as `nifti: 260, dicom: 12`; by default a thing that stands alone goes without its count.
    """
    bare = len(counts) == 1 and not alone
    parts = [f"{name}" if bare else f"{name}: {count}" for name, count in list(counts.items())[:shown]]
    more = len(counts) - shown
    return ", ".join(parts) + (f", {more} more" if more > 0 else "") if parts else "none"


@dataclass(frozen=True)
class ImageSummary:
    """Counts of the pictures of a manifest.

    Args:
        pictures: that are usable.
        files: that they are in; a file of several frames has several pictures.
        studies: that they belong to.
        grey: of one channel.
        colour: of red, green and blue.
        smallest: shorter sides, in pixels: the least.
        largest: longer sides, in pixels: the most.
        shapes: rows and columns -> pictures.
        flags: what is unusual -> pictures.
    """

    pictures: int
    files: int
    studies: int
    grey: int
    colour: int
    smallest: int
    largest: int
    shapes: dict[tuple[int, ...], int]
    flags: dict[str, int]

    def __str__(self) -> str:
        shapes = counted({" x ".join(map(str, one)): n for one, n in self.shapes.items()}, shown=3)
        several = f"; sides of {self.smallest} to {self.largest}" if len(self.shapes) > 1 else ""
        lines = [
            line("pictures", f"{self.pictures} ({self.grey} grey, {self.colour} colour) in {self.files} files, ")
            + f"{self.studies} studies",
            line("pixels", shapes + several),
        ]
        if self.flags:
            lines.append(line("unusual", f"{sum(self.flags.values())} flags of usable pictures"))
            lines += [f"  {count:>6}  {flag}" for flag, count in self.flags.items()]
        return "\n".join(lines)


def image_summary(manifest: Manifest) -> ImageSummary | None:
    """Count the pictures of a manifest.

    Args:
        manifest: what was scanned.

    Returns:
        The counts, the most frequent first, or None: there is none that is usable.
    """
    pictures = manifest.ok().of_kind("image")
    if not len(pictures) or not pictures.has("shape"):
        return None
    shapes = [tuple(shape or (0, 0)) for shape in pictures.column("shape")]
    channels = pictures.column("n_channels")
    flags = Counter(str(flag).split(":")[0] for own in pictures.column("flags") for flag in own or ())
    return ImageSummary(
        pictures=len(pictures),
        files=len(np.unique(pictures.column("path").astype(str))),
        studies=len(np.unique(pictures.column("study"))),
        grey=int((channels == 1).sum()),
        colour=int((channels == 3).sum()),
        smallest=min(map(min, shapes)),
        largest=max(map(max, shapes)),
        shapes=dict(Counter(shapes).most_common()),
        flags=dict(flags.most_common()),
    )


ASIDE = ("localizer", "derived image")
"""Flags of volumes that a scan leaves out unless asked for all images; they are then the reason in `status`."""


@dataclass(frozen=True)
class VolumeSummary:
    """Counts of the volumes of a manifest.

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
        masks: name of a column of label maps -> usable volumes that have one.
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
    masks: dict[str, int]

    def __str__(self) -> str:
        spacings = {f"{' x '.join(f'{length:g}' for length in one)} mm": n for one, n in self.spacings.items()}
        lines = [
            line("volumes", f"{self.volumes} of {self.series} series, {self.studies} studies"),
            line("voxels", counted({" x ".join(map(str, one)): n for one, n in self.shapes.items()}, shown=3)),
            line("spacing", counted(spacings, shown=3)),
        ]
        if set(self.channels) - {1}:
            lines.append(line("channels", counted({str(number): n for number, n in self.channels.items()})))
        if self.flags:
            lines.append(line("unusual", f"{sum(self.flags.values())} flags of usable volumes"))
            lines += [f"  {count:>6}  {flag}" for flag, count in self.flags.items()]
        if self.irregular:
            lines.append(
                line(
                    "irregular",
                    f"{self.irregular} of {self.volumes} volumes lie on no even, upright grid: `medcl prepare` ",
                )
                + "leaves them out, unless --data.irregular is resample or keep"
            )
        if self.aside:
            listed = ", ".join(f"{kind}: {count}" for kind, count in self.aside.items())
            lines.append(line("not used", f"{listed} (--images all uses them)"))
        lines += [line("label maps", f"{name}: {count} of {self.volumes}") for name, count in self.masks.items()]
        return "\n".join(lines)


def volume_summary(manifest: Manifest) -> VolumeSummary | None:
    """Count the volumes of a manifest.

    Args:
        manifest: what was scanned.

    Returns:
        The counts, the most frequent first, or None: there is none that is usable or set aside.
    """
    if not manifest.has("shape"):
        return None
    volumes = manifest.of_kind("volume")
    volumes = volumes.select(np.array([shape is not None for shape in volumes.column("shape")], dtype=bool))
    status = Counter(str(text) for text in volumes.column("status"))
    aside = {kind: status[kind] for kind in ASIDE if status[kind]}
    ok = volumes.ok()
    if not len(ok) and not aside:
        return None
    flags = Counter(_kind(flag) for own in ok.column("flags") for flag in own or ())
    return VolumeSummary(
        volumes=len(ok),
        studies=len(np.unique(ok.column("study"))),
        series=len(np.unique(ok.column("series"))),
        channels=dict(Counter(ok.column("n_channels").tolist()).most_common()),
        shapes=dict(Counter(tuple(shape) for shape in ok.column("shape")).most_common()),
        spacings=dict(Counter(tuple(round(mm, 2) for mm in one) for one in ok.column("spacing")).most_common()),
        flags=dict(flags.most_common()),
        irregular=sum(any(flag.startswith(IRREGULAR) for flag in own or ()) for own in ok.column("flags")),
        aside=aside,
        masks={name: sum(path is not None for path in ok.column(name)) for name in manifest.masks},
    )


def _kind(flag: str) -> str:
    """A flag without its details: what stands behind the colon, and the angle of a gantry."""
    return re.sub(r" [\d.]+ degrees", "", flag.split(":")[0])
