"""Simple baselines: features by hand, which an encoder has to beat, and how they are averaged over a record."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from medcl.modality.rows import Ints
from medcl.modality.sampling import SampleSet

Floats = NDArray[np.float64]
State = dict[str, NDArray[Any]]
"""What a baseline learned: arrays of numbers, or of unicode strings, which `numpy.savez` keeps without pickling."""
Features = Callable[[Any], Floats]
"""Samples (B, ...) -> (B, dim)."""


class Baseline(Protocol):
    """A simple set of features of records, of one wing. It is a value: what it learns is returned, not kept."""

    @property
    def title(self) -> str:
        """In words, for tables: `16 x 16 pixels`."""

    def fit(self, samples: SampleSet, rows: Ints) -> State:
        """What it learns of training records without their labels, such as a mean; nothing where it learns nothing.

        Args:
            samples: of a manifest.
            rows: (R,) of the manifest, each with at least one sample.
        """

    def transform(self, samples: SampleSet, rows: Ints, state: State) -> Floats:
        """The features of records, (R, dim), finite.

        Args:
            samples: of a manifest; it need not be that of `fit`.
            rows: (R,) of the manifest, each with at least one sample.
            state: that `fit` returned.
        """


@runtime_checkable
class Supervised(Baseline, Protocol):
    """A baseline whose features are learned of labels in the end: of classes, by a probe's own labelled records."""

    def learn(self, z: Floats, classes: Ints) -> State:
        """What it learns of the features (R, dim) of labelled records.

        Args:
            z: that `transform` returned.
            classes: (R,) numbers of their classes, at least two of them.
        """

    def apply(self, z: Floats, state: State) -> Floats:
        """The features (R, new dim), finite, of features (R, dim), by what `learn` returned."""


class Fixed:
    """A baseline that learns nothing: the mean of the features of a record's samples.

    Args:
        title: in words, for tables.
        features: samples (B, ...) as tensors -> (B, dim).
    """

    def __init__(self, title: str, features: Features) -> None:
        self.title, self._features = title, features

    def fit(self, samples: SampleSet, rows: Ints) -> State:
        """Nothing."""
        return {}

    def transform(self, samples: SampleSet, rows: Ints, state: State) -> Floats:
        """See `Baseline.transform`."""
        return mean_of_records(samples, rows, self._features)


def batches(samples: SampleSet, rows: Ints, read: Callable[[Ints], Any] | None = None) -> Iterator[tuple[Ints, Any]]:
    """The samples of rows (R,) of a manifest, as many at a time as they suggest.

    Args:
        samples: of a manifest.
        rows: (R,) of the manifest.
        read: samples by their numbers (B,); None takes them as an encoder does, as tensors.

    Yields:
        (B,) the place in `rows` that each sample belongs to, and the samples (B, ...).
    """
    own = [samples.samples_of(int(row)) for row in rows]
    place = np.repeat(np.arange(len(rows)), [len(one) for one in own])
    numbers = np.concatenate(own) if own else np.empty(0, dtype=np.int64)
    for start in range(0, len(numbers), samples.at_a_time):
        part = slice(start, start + samples.at_a_time)
        x = samples.__getitems__(numbers[part].tolist())["x"] if read is None else read(numbers[part])
        yield place[part], x


def mean_of_records(
    samples: SampleSet, rows: Ints, features: Features, read: Callable[[Ints], Any] | None = None
) -> Floats:
    """The mean of the features of each record's samples, (R, dim).

    Args:
        samples: of a manifest.
        rows: (R,) of the manifest.
        features: samples (B, ...) -> (B, dim).
        read: as of `batches`.
    """
    total, count = np.zeros((len(rows), 0)), np.zeros(len(rows))
    for place, x in batches(samples, rows, read):
        found = features(x)
        if not total.size:
            total = np.zeros((len(rows), found.shape[1]))
        np.add.at(total, place, found)
        count += np.bincount(place, minlength=len(rows))
    mean: Floats = total / np.maximum(count, 1)[:, None]
    return mean
