"""Records as the pieces that strategies look at, read from their original files, one at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.data.volume_read import read_original
from medcl.errors import UnreadableError
from medcl.readers.formats import read_signal
from medcl.readers.image import read_image
from medcl.reduce.strategy import Pieces


@dataclass(frozen=True)
class Original:
    """A record and its files.

    Args:
        row: of the manifest.
        kind: of record.
        root: of the archive.
        path: relative to the root.
        files: relative to the folder of `path`.
        part: which volume or picture of its files it is.
        format: as the manifest has it.
        modality: as the manifest has it; `ct` is in HU.
        axis: across which a volume is cut into slices; None: it is one piece.
        slices: that there are, by the manifest.
        text: of a report.
    """

    row: int
    kind: Kind
    root: Path
    path: str
    files: tuple[str, ...]
    part: int
    format: str
    modality: str
    axis: int | None
    slices: int
    text: str


def originals(manifest: Manifest, rows: Sequence[int], axis: int | None) -> list[Original]:
    """Records to read.

    Args:
        manifest: that names their files.
        rows: which records.
        axis: across which volumes are cut; None where each is one piece.
    """
    names = ("path", "files", "part", "format", "modality", "shape", "report")
    nothing = np.full(len(manifest), None, dtype=object)  # a column that an older manifest does not have
    columns = {name: manifest.column(name) if manifest.has(name) else nothing for name in names}
    kinds = manifest.kinds
    found = []
    for row in rows:
        path, files, part, form, modality, shape, text = (columns[name][row] for name in names)
        volume = kinds[row] == "volume"
        found.append(
            Original(
                row=int(row),
                kind=kinds[row],
                root=manifest.root,
                path=str(path),
                files=tuple(files or [Path(str(path)).name]),
                part=max(0, int(part or 0)),
                format=str(form),
                modality=str(modality),
                axis=axis if volume else None,
                slices=int(shape[axis]) if volume and axis is not None else 1,
                text="" if text is None else str(text),
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
    try:
        return _read(original)
    except OSError as error:
        # Without the path, which may name a patient.
        raise UnreadableError(f"cannot be read: {error.strerror or type(error).__name__}") from error
    except MemoryError as error:
        raise UnreadableError("larger than memory: reduce it on a machine with more") from error


def _read(original: Original) -> Pieces:
    if original.kind == "report":
        return [original.text]
    path = original.root / original.path
    if original.kind == "signal":
        return [read_signal(path, original.format).physical()]
    if original.kind == "image":
        return [read_image(path, original.format, original.part).data]
    where = original.root, original.path, original.files, original.part
    # What slices show is compared, and air beside the field of view shows nothing.
    volume, _ = read_original(*where, original.format, original.modality, nan="minimum")
    data: NDArray[Any] = volume.data
    if original.axis is None:
        return [data]
    count = data.shape[original.axis + 1]
    if count != original.slices:
        raise UnreadableError(f"{count} slices, not {original.slices} as when it was scanned: scan the archive again")
    return list(np.moveaxis(data, original.axis + 1, 0))
