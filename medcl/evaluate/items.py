"""The items that labels belong to: records as they are; or bags of records, and time steps of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.archive.stratify import first_appearance
from medcl.errors import UsageError
from medcl.evaluate.cells import fingerprint
from medcl.modality.sampling import Batch, SampleSet

Ints = NDArray[np.int64]


class Grouping(Protocol):
    """Which samples belong to which item; importable by name, since other processes use it."""

    def __call__(self, samples: SampleSet) -> tuple[Ints, Ints]:
        """Numbers (S,) of the samples that are used, and the item (S,) of each."""


@dataclass(frozen=True)
class Bags:
    """Items that are all samples of some records.

    Args:
        bag: (records,) the item that each record belongs to.
    """

    bag: Ints

    def __call__(self, samples: SampleSet) -> tuple[Ints, Ints]:
        """See `Grouping`."""
        return np.arange(len(samples)), self.bag[samples.rows]

    def records_of(self, items: Ints) -> tuple[Ints, Ints]:
        """Rows of the records of items (R,), and the place in `items` of each."""
        own = [np.flatnonzero(self.bag == item) for item in items.tolist()]
        return np.concatenate(own), np.repeat(np.arange(len(items)), [len(one) for one in own])


@dataclass(frozen=True)
class Steps:
    """Items that are samples at time steps, known by their record and where they begin.

    Args:
        row: (I,) of the manifest.
        start: (I,) where the sample begins, in the unit of the time axis.
    """

    row: Ints
    start: NDArray[np.float64]

    def __call__(self, samples: SampleSet) -> tuple[Ints, Ints]:
        """See `Grouping`.

        Raises:
            UsageError: an item has no sample, since they are cut in another way.
        """
        items = {key: number for number, key in enumerate(zip(self.row.tolist(), self.start.tolist(), strict=True))}
        keys = zip(samples.rows.tolist(), starts_of(samples).tolist(), strict=True)
        item = np.array([items.get(key, -1) for key in keys], dtype=np.int64)
        if len(np.unique(item[item >= 0])) < len(items):
            raise UsageError("--task risk: the runs cut records into other windows; evaluate them one by one")
        return np.flatnonzero(item >= 0), item[item >= 0]


def starts_of(samples: SampleSet) -> NDArray[np.float64]:
    """Where samples begin in their records, (S,), in the unit of the time axis.

    Raises:
        UsageError: they have no place in time.
    """
    places = samples.places(np.arange(len(samples)))
    if places is None or len(places[0]) != 1:
        raise UsageError("--task risk: the run's samples have no place in time: it needs windows (data.window)")
    return np.array(places)[:, 0]


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
        about: hash of the grouping, where `ids` do not tell it.
    """

    plural: str
    row: Ints
    patient: Ints
    split: NDArray[np.object_]
    ids: NDArray[np.object_]
    groups: NDArray[Any] | None = None
    grouping: Grouping | None = None
    about: str = ""

    @classmethod
    def records(cls, manifest: Manifest) -> Self:
        """The records of a manifest."""
        ids, split = manifest.column("record_id").astype(object), manifest.column("split").astype(object)
        return cls("records", np.arange(len(manifest)), manifest.column("patient"), split, ids)

    @classmethod
    def bags(cls, manifest: Manifest, level: str) -> Self:
        """The patients or studies of a manifest, each with all samples of its records, in the order of their first.

        A record of an unknown study is a bag of its own.
        """
        records, codes = cls.records(manifest), manifest.column(level)
        codes = np.where(codes < 0, -2 - np.arange(len(codes)), codes)
        bag, _ = first_appearance(codes)
        row = np.unique(bag, return_index=True)[1]
        return cls(
            {"patient": "patients", "study": "studies"}[level],
            row,
            records.patient[row],
            records.split[row],
            codes[row].astype(str).astype(object),
            grouping=Bags(bag),
            about=fingerprint(records.ids, bag),
        )

    @classmethod
    def steps(cls, manifest: Manifest, row: Ints, start: NDArray[np.float64]) -> Self:
        """Samples at time steps, by their records (I,) and where they begin (I,)."""
        records = cls.records(manifest)
        ids = np.array([f"{records.ids[r]}@{s:g}" for r, s in zip(row, start, strict=True)], dtype=object)
        return cls("time steps", row, records.patient[row], records.split[row], ids, grouping=Steps(row, start))

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

    def __getattr__(self, name: str) -> Any:
        """What a wing's baselines ask of its samples: `store`, and methods that take numbers of samples first."""
        found = getattr(self._samples, name) if not name.startswith("_") else None
        if name == "store":
            return found
        if not callable(found):
            raise AttributeError(name)
        return lambda numbers, *rest: found(self._numbers[numbers], *rest)

    def samples_of(self, row: int) -> Ints:
        """Numbers of the samples of one item."""
        return np.arange(*np.searchsorted(self.rows, [row, row + 1]))

    def places(self, numbers: Ints) -> list[list[float]] | None:
        """See `SampleSet`."""
        return self._samples.places(self._numbers[numbers])
