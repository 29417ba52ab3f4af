"""What one kind of record gives to a pair: a window, a patch, a picture, a sentence, drawn anew every time."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medcl.data.volume_sampler import first_voxels
from medcl.modality.report.samples import Reports
from medcl.modality.volume.kept_slices import starts
from medcl.modality.volume.samples import VolumePatches

Ints = NDArray[np.int64]


class PairSide(Protocol):
    """The records of one kind, as they are drawn from."""

    rows: Ints
    """(R,) rows of the manifest of all kinds, ascending, without repetition."""

    def draw(self, row: int, rng: np.random.Generator) -> Any:
        """What is taken of one record this time."""

    def read(self, draws: Sequence[Any]) -> Tensor:
        """A batch (B, ...) of what was drawn."""


class Windowed(Protocol):
    """Records that are cut into numbered pieces: `SignalWindows`, `Pictures`."""

    rows: Ints

    def windows_of(self, row: int) -> Ints:
        """Numbers of the pieces of a row of its manifest."""

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        """A batch, with `x` (B, ...)."""


class Pieces:
    """Recordings or pictures: one of its windows, or the picture.

    Args:
        dataset: of the records of this kind alone.
        where: (records of this kind,) their rows in the manifest of all kinds, ascending.
    """

    def __init__(self, dataset: Windowed, where: Ints) -> None:
        self._dataset, self._where = dataset, where
        self.rows: Ints = where[np.unique(dataset.rows)]

    def draw(self, row: int, rng: np.random.Generator) -> int:
        """The number of one of its pieces."""
        pieces = self._dataset.windows_of(int(np.searchsorted(self._where, row)))
        return int(pieces[rng.integers(len(pieces))])

    def read(self, draws: Sequence[int]) -> Tensor:
        """(B, C, ...) float32."""
        x: Tensor = self._dataset.__getitems__(draws)["x"]
        return x


class Patches:
    """Volumes: a patch anywhere inside, of a reduced one a slice that is kept.

    Args:
        dataset: of the volumes alone.
        where: (volumes,) their rows in the manifest of all kinds, ascending.
    """

    def __init__(self, dataset: VolumePatches, where: Ints) -> None:
        self._dataset = dataset
        self.rows: Ints = where[dataset.rows]

    def draw(self, row: int, rng: np.random.Generator) -> tuple[int, ...]:
        """The number of the volume and the first voxel of the patch."""
        number = int(np.searchsorted(self.rows, row))
        low, high = first_voxels(self._dataset.shape[number], np.array(self._dataset.size))
        start = rng.integers(low, high + 1)
        if self._dataset.kept[number] is not None:
            across = self._dataset.across
            start[across] = rng.choice(starts(self._dataset.kept[number], int(low[across]), int(high[across])))
        return number, *start.tolist()

    def read(self, draws: Sequence[Any]) -> Tensor:
        """(B, C, ...) float32."""
        x: Tensor = self._dataset.__getitems__(draws)["x"]
        return x


class Texts:
    """Reports: a sentence, a section or the whole.

    Args:
        dataset: of the reports alone.
        where: (reports,) their rows in the manifest of all kinds, ascending.
    """

    def __init__(self, dataset: Reports, where: Ints) -> None:
        self._dataset, self._where = dataset, where
        some = [row for row in dataset.rows.tolist() if len(dataset.draws_of(row))]
        self.rows: Ints = where[np.array(some, dtype=np.int64)]

    def draw(self, row: int, rng: np.random.Generator) -> int:
        """The number of one of its draws."""
        draws = self.draws_of(row)
        return int(draws[rng.integers(len(draws))])

    def read(self, draws: Sequence[int]) -> Tensor:
        """(B, L) int64 tokens."""
        return self._dataset.tokens(np.asarray(draws, dtype=np.int64)).to(torch.int64)

    def draws_of(self, row: int) -> Ints:
        """Numbers of all draws of a report."""
        return self._dataset.draws_of(int(np.searchsorted(self._where, row)))

    def text_ids(self, draws: Sequence[int] | Ints) -> Ints:
        """(B,) the same for draws of the same text."""
        return self._dataset.draw_ids[np.asarray(draws, dtype=np.int64)]
