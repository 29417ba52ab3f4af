"""What a scan keeps of an image, and what its summary says of images."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from medcl.modality.image.record import ImageHeader
from medcl.modality.spatial import MODALITIES
from medcl.wording import counted, line, unusual, usable_rows

__all__ = ["DAMAGED", "MODALITIES", "OWN_STUDY", "columns", "summary"]

DAMAGED = ()
OWN_STUDY = True


def columns(header: ImageHeader) -> dict[str, Any]:
    """The columns of the manifest that a header fills.

    Args:
        header: of an image.

    Returns:
        Modality (`image` where the file states none), format, channels, shape (rows, columns), type of the numbers,
        flags.
    """
    return {
        "modality": header.modality or "image",
        "format": header.format,
        "n_channels": header.n_channels,
        "shape": [header.rows, header.columns],
        "dtype": header.dtype,
        "flags": list(header.flags),
        "part": 0,
    }


@dataclass(frozen=True)
class ImageSummary:
    """Counts of usable images.

    Args:
        images: that are usable.
        files: that they are in; a file of several frames has several images.
        studies: that they belong to.
        grey: of one channel.
        colour: of red, green and blue.
        smallest: shorter sides, in pixels: the least.
        largest: longer sides, in pixels: the most.
        shapes: rows and columns -> images.
        flags: what is unusual -> images.
    """

    images: int
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
            line("images", f"{self.images} ({self.grey} grey, {self.colour} colour) in {self.files} files, ")
            + f"{self.studies} studies",
            line("pixels", shapes + several),
        ]
        return "\n".join([*lines, *unusual(self.flags, "images")])


def summary(records: pa.Table) -> ImageSummary | None:
    """Count images.

    Args:
        records: rows of the manifest, usable ones and others.

    Returns:
        The counts, the most frequent first, or None: none is usable.
    """
    usable = usable_rows(records)
    if not len(usable) or "shape" not in usable.column_names:
        return None
    shapes = [tuple(shape or (0, 0)) for shape in usable["shape"].to_pylist()]
    channels = usable["n_channels"].to_numpy()
    flags = Counter(flag.split(":")[0] for own in usable["flags"].to_pylist() for flag in own or ())
    return ImageSummary(
        images=len(usable),
        files=len(usable["path"].unique()),
        studies=len(usable["study"].unique()),
        grey=int((channels == 1).sum()),
        colour=int((channels == 3).sum()),
        smallest=min(map(min, shapes)),
        largest=max(map(max, shapes)),
        shapes=dict(Counter(shapes).most_common()),
        flags=dict(flags.most_common()),
    )
