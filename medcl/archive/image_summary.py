"""What a manifest holds of pictures, in a few lines."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from medcl.archive.manifest import Manifest
from medcl.archive.wording import counted, line


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
