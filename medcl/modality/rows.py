"""What a wing is told of a manifest: rows, and where the files of a record lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

    from medcl.modality.signal.config import Stated

Ints = NDArray[np.int64]


class LabelMaps(Protocol):
    """A column of label maps."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the voxel values, the background first."""


class Rows(Protocol):
    """What a wing needs of a manifest: `medcl.archive.manifest.Manifest`."""

    def __len__(self) -> int:
        """Number of records."""

    def has(self, name: str) -> bool:
        """Whether there is a column of this name."""

    def column(self, name: str) -> NDArray[Any]:
        """(records,) int64 with -1 for null, float64 with NaN, or objects with None."""

    @property
    def root(self) -> Path:
        """Of the archive."""

    @property
    def table(self) -> "pa.Table":
        """All columns."""

    @property
    def kinds(self) -> NDArray[Any]:
        """(records,) name of each record's wing."""

    @property
    def stated(self) -> "Stated":
        """What the user stated of signals whose files leave it open."""

    @property
    def masks(self) -> Mapping[str, LabelMaps]:
        """The columns of label maps by name."""

    @property
    def kept(self) -> list[Ints | None]:
        """(records,) the slices of each volume that a reduced manifest keeps; None for all."""

    @property
    def kept_axis(self) -> int:
        """The axis of RAS+ across which they lie."""


@dataclass(frozen=True)
class Source:
    """One record as the manifest names it.

    Args:
        root: of the archive.
        path: relative to the root.
        files: relative to the folder of `path`, the header first.
        format: as the manifest has it.
        row: the columns of the manifest that its wing asks for (`Wing.columns`), by name.
        stated: what the user stated of signals whose files leave it open.
    """

    root: Path
    path: str
    files: tuple[str, ...]
    format: str
    row: Mapping[str, Any]
    stated: "Stated"

    @property
    def file(self) -> Path:
        """The header, or the only file."""
        return self.root / self.path

    @property
    def part(self) -> int:
        """Which volume or image of its files the record is, from 0."""
        return max(0, int(self.row.get("part") or 0))


def of_levels(manifest: Rows, rows: Ints, levels: Sequence[str]) -> dict[str, Ints]:
    """{level: (rows,) int64} of those levels whose code is known for all rows."""
    return {
        level: manifest.column(level)[rows]
        for level in levels
        if manifest.has(level) and (manifest.column(level)[rows] >= 0).all()
    }
