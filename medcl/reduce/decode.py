"""Records as the pieces that strategies look at, read from their original files, one at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

from medcl.archive.file_state import Scanned, require_unchanged, scanned
from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.data.decode import sources
from medcl.modality import wing
from medcl.modality.rows import Source
from medcl.reduce.strategy import Pieces


@dataclass(frozen=True)
class Original:
    """A record and its files.

    Args:
        row: of the manifest.
        kind: of record.
        scanned: its files, as they were when they were scanned.
        source: the same as its wing reads them.
        axis: across which a volume is cut into slices; None: it is one piece.
    """

    row: int
    kind: Kind
    scanned: Scanned
    source: Source
    axis: int | None


def originals(manifest: Manifest, rows: Sequence[int], axis: int | None) -> list[Original]:
    """Records to read.

    Args:
        manifest: that names their files.
        rows: which records, all of one kind.
        axis: across which volumes are cut; None where each is one piece.
    """
    chosen = manifest.select(rows)
    if not len(chosen):
        return []
    kind: Kind = chosen.kinds[0]
    files = scanned(chosen)
    found = zip(rows, files, sources(chosen, wing(kind), files), strict=True)
    return [Original(int(row), kind, state, source, axis) for row, state, source in found]


def pieces_of(original: Original) -> Pieces:
    """Read a record.

    Args:
        original: where it is.

    Returns:
        As `Wing.original`.

    Raises:
        UnreadableError: the file is missing, damaged, or not the one that was scanned.
    """
    own = wing(original.kind)
    if own.reads_files:
        require_unchanged(original.scanned)
    return own.original(original.source, original.axis)
