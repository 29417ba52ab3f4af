"""The items that labels belong to: records as they are; or bags of records, slices and time steps of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.modality.sampling import Batch, SampleSet

Ints = NDArray[np.int64]


class Grouping(Protocol):
    """Which samples belong to which item; importable by name, since other processes use it."""

    def __call__(self, samples: SampleSet) -> tuple[Ints, Ints]:
        """Numbers (S,) of the samples that are used, and the item (S,) of each."""


@dataclass(frozen=True)
class Items:
    """What is predicted, one a label.

    Args:
        plural: in words: `records`.
        row: (I,) a row of the manifest of each.
        patient: (I,) its patient.
        split: (I,) `train`, `val`, `test` or None.
        ids: (I,) what names it in predictions.
        groups: (I,) values of a column by which folds are divided; None where there are none.
        grouping: how samples belong to items; None: item i is the record of row i.
    """

    plural: str
    row: Ints
    patient: Ints
    split: NDArray[np.object_]
    ids: NDArray[np.object_]
    groups: NDArray[Any] | None = None
    grouping: Grouping | None = None

    @classmethod
    def records(cls, manifest: Manifest) -> "Items":
        """The records of a manifest."""
        ids, split = manifest.column("record_id").astype(object), manifest.column("split").astype(object)
        return cls("records", np.arange(len(manifest)), manifest.column("patient"), split, ids)

    def samples(self, every: SampleSet) -> SampleSet:
        """The samples, in whose `rows` the number of the item stands in the place of the manifest's row."""
        return every if self.grouping is None else Regrouped(every, *self.grouping(every))


class Regrouped:
    """Samples by item.

    Args:
        samples: of the records.
        numbers: (S,) those that are used.
        item: (S,) to which each belongs.
    """

    def __init__(self, samples: SampleSet, numbers: Ints, item: Ints) -> None:
        order = np.argsort(item, kind="stable")
        self._samples, self._numbers, self.rows = samples, numbers[order], item[order]
        self.at_a_time = samples.at_a_time
        self.codes: Ints | None = None

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._numbers)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """See `SampleSet`."""
        return self._samples.__getitems__(self._numbers[np.asarray(indices, dtype=np.int64)].tolist())

    def samples_of(self, row: int) -> Ints:
        """Numbers of the samples of one item."""
        return np.arange(*np.searchsorted(self.rows, [row, row + 1]))

    def places(self, numbers: Ints) -> list[list[float]] | None:
        """See `SampleSet`."""
        return self._samples.places(self._numbers[numbers])
