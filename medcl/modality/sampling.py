"""Samples of a wing's records: in a fixed order, or drawn at random, as batches of tensors."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypedDict

import numpy as np

from medcl.modality.rows import Ints

if TYPE_CHECKING:
    from torch import Tensor


class Batch(TypedDict, total=False):
    """Samples as tensors."""

    x: "Tensor"
    """(B, ...) of one wing."""
    inputs: "dict[str, Tensor]"
    """Of linked records: {wing: (B', ...)} of those samples that have a record of it."""
    present: "dict[str, Tensor]"
    """Of linked records: {wing: (B,) bool}."""
    index: "Tensor"
    """(B,) int64 rows of the manifest."""
    ids: "dict[str, Tensor]"
    """{level: (B,) int64}."""
    position: "Tensor"
    """(B,) float32: the place of a slice or crop in its volume, from 0 to 1; where a window begins, in seconds."""
    y: "Tensor"
    """(B, *spatial) uint8: label map."""


class SampleSet(Protocol):
    """The samples of many records: windows, tiles of a volume, images, texts."""

    rows: Ints
    """(S,) row of the manifest of each sample, ascending."""
    at_a_time: int
    """Samples that an encoder takes together where nothing else is said."""
    codes: Ints | None
    """(S,) int64 of their content, the same for samples of the same content; None where no two count as the same."""

    def __len__(self) -> int:
        """Number of samples."""

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A batch: `x` (B, ...)."""

    def samples_of(self, row: int) -> Ints:
        """Numbers of the samples of one row of the manifest."""

    def places(self, numbers: Ints) -> list[list[float]] | None:
        """Where samples begin in their records; None where a sample is the whole of its record."""


class LevelSamples(Protocol):
    """Samples whose levels are distinguished: windows of recordings, patches of volumes.

    Where it has a method `draw`, as `medcl.data.sampler.Drawable`, samples are drawn from its records; else it is a
    `SampleSet`.
    """

    counted: str
    """What it is a number of, in words."""

    def __len__(self) -> int:
        """Number of them."""

    @property
    def patients(self) -> Ints:
        """The patient of each."""

    @property
    def units(self) -> Ints:
        """The record of each."""

    @property
    def id_names(self) -> tuple[str, ...]:
        """Of the ids of a batch."""

    @property
    def left_out(self) -> dict[str, int]:
        """Number of records that are not trained on, by what they are."""

    @property
    def note(self) -> str:
        """What else there is to say; empty where there is nothing."""


class Codes(NamedTuple):
    """Which numbered samples have the same content.

    Args:
        rows: (S,) row of the manifest of each sample.
        values: (S,) int64, the same for samples of the same content.
    """

    rows: Ints
    values: Ints


class Draws(Protocol):
    """The records of one wing, as samples are drawn from them at random: what training on linked records uses."""

    @property
    def rows(self) -> Ints:
        """(R,) rows of the manifest that can be drawn from, ascending, without repetition."""

    @property
    def codes(self) -> Codes | None:
        """Of samples that `draw` gives by their numbers; None where no two count as the same."""

    def draw(self, row: int, rng: np.random.Generator) -> Any:
        """One sample of a record."""

    def read(self, draws: Sequence[Any]) -> "Tensor":
        """A batch (B, ...) of what was drawn."""


class NumberedSamples(ABC):
    """A `SampleSet`: windows, images, tables or texts, numbered in the order of the rows of a manifest.

    Attributes:
        rows: (S,) row of the manifest of each sample, ascending.
        ids: {level: (S,) int64} of the levels that are known.
    """

    rows: Ints
    ids: dict[str, Ints]
    at_a_time = 256
    codes: Ints | None = None

    @abstractmethod
    def read(self, numbers: Ints) -> "Tensor":
        """Samples by their numbers (B,), (B, ...)."""

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        """One sample as a batch of one."""
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A batch of samples, (B,) numbers: `x` as `read` says, `index` (B,) and `ids` {level: (B,) int64}."""
        import torch

        chosen = np.asarray(indices, dtype=np.int64)
        ids = {level: torch.from_numpy(own[chosen]) for level, own in self.ids.items()}
        return {"x": self.read(chosen), "index": torch.from_numpy(self.rows[chosen]), "ids": ids}

    def samples_of(self, row: int) -> Ints:
        """Numbers of the samples of one row of the manifest, in their order."""
        first, last = np.searchsorted(self.rows, [row, row + 1])
        return np.arange(first, last)

    def places(self, numbers: Ints) -> list[list[float]] | None:
        """Where samples begin in their records; None where that is not known, or a sample is the whole record."""
        return None


class Numbered:
    """Records whose samples are numbered: windows, images, texts.

    Args:
        samples: of the records.
    """

    def __init__(self, samples: SampleSet) -> None:
        self._samples = samples
        self.rows: Ints = np.unique(samples.rows)
        self.codes = None if samples.codes is None else Codes(samples.rows, samples.codes)

    def draw(self, row: int, rng: np.random.Generator) -> int:
        """The number of one of the samples of a record."""
        own = self._samples.samples_of(row)
        return int(own[rng.integers(len(own))])

    def read(self, draws: Sequence[int]) -> "Tensor":
        """(B, ...) of numbered samples."""
        return self._samples.__getitems__(draws)["x"]


def within(counts: Ints) -> Ints:
    """Numbers from 0 on within each of some groups, one behind the other.

    Args:
        counts: (G,) numbers in each.
    """
    found: Ints = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return found
