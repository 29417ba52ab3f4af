"""Records as the pieces that strategies look at, read from their original files, one at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.archive.file_state import Scanned, require_unchanged, scanned
from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.errors import UnreadableError
from medcl.modality.formats import read_image, read_signal
from medcl.modality.signal.stated import Stated
from medcl.modality.volume.original import read_original
from medcl.reduce.strategy import Pieces


@dataclass(frozen=True)
class Original:
    """A record and its files.

    Args:
        row: of the manifest.
        kind: of record.
        scanned: its files, as they were when they were scanned.
        part: which volume or picture of its files it is.
        modality: as the manifest has it; `ct` is in HU.
        axis: across which a volume is cut into slices; None: it is one piece.
        slices: that there are, by the manifest.
        text: of a report.
        stated: of signals whose files leave it open, as the archive was scanned.
    """

    row: int
    kind: Kind
    scanned: Scanned
    part: int
    modality: str
    axis: int | None
    slices: int
    text: str
    stated: Stated = field(default_factory=Stated)


def originals(manifest: Manifest, rows: Sequence[int], axis: int | None) -> list[Original]:
    """Records to read.

    Args:
        manifest: that names their files.
        rows: which records.
        axis: across which volumes are cut; None where each is one piece.
    """
    names = ("part", "modality", "shape", "report")
    nothing = np.full(len(manifest), None, dtype=object)  # a column that an older manifest does not have
    columns = {name: manifest.column(name) if manifest.has(name) else nothing for name in names}
    kinds = manifest.kinds
    found = []
    for row, files in zip(rows, scanned(manifest.select(rows)), strict=True):
        part, modality, shape, text = (columns[name][row] for name in names)
        volume = kinds[row] == "volume"
        found.append(
            Original(
                row=int(row),
                kind=kinds[row],
                scanned=files,
                part=max(0, int(part or 0)),
                modality=str(modality),
                axis=axis if volume else None,
                slices=int(shape[axis]) if volume and axis is not None else 1,
                text="" if text is None else str(text),
                stated=manifest.stated,
            )
        )
    return found


def pieces_of(original: Original) -> Pieces:
    """Read a record.

    Args:
        original: where it is.

    Returns:
        Of a volume its slices (C, a, b), the two other axes of RAS+ in their order, or the volume (C, x, y, z), CT in
        HU; of a picture (C, rows, columns); of a recording (C, samples) in physical units, NaN where there is no
        value; of a report its text. Slices are views of their volume.

    Raises:
        UnreadableError: the file is gone, damaged, or not the one that was scanned.
    """
    if original.kind == "report":
        return [original.text]
    require_unchanged(original.scanned)
    files = original.scanned
    path = files.root / files.path
    if original.kind == "signal":
        return [read_signal(path, files.format, original.stated).physical()]
    if original.kind == "image":
        return [read_image(path, files.format, original.part).data]
    where = files.root, files.path, files.files, original.part
    # What slices show is compared, and air beside the field of view shows nothing.
    volume, _ = read_original(*where, files.format, original.modality, nan="minimum")
    data: NDArray[Any] = volume.data
    if original.axis is None:
        return [data]
    count = data.shape[original.axis + 1]
    if count != original.slices:
        raise UnreadableError(f"{count} slices, not {original.slices} as when it was scanned: scan the archive again")
    return list(np.moveaxis(data, original.axis + 1, 0))
