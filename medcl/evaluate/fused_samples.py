"""Samples of several inputs of an item, side by side."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from medcl.evaluate.items import Ints
from medcl.modality.sampling import SampleSet
from medcl.networks.fusion import Inputs, without


class FusedSamples:
    """Items with a sample of each input that they have; of an input with fewer samples they come again.

    Args:
        parts: samples of the records of each input, in the order of the columns.
        names: of the inputs.
        bag: (records,) the item that each record belongs to.
        row: (items,) a row of the manifest of each.
        hidden: inputs that no item is given.
    """

    codes: Ints | None = None

    def __init__(
        self, parts: Sequence[SampleSet], names: tuple[str, ...], bag: Ints, row: Ints, hidden: tuple[str, ...] = ()
    ) -> None:
        self._made, self._parts, self._names, self._hidden = (bag, row), parts, names, hidden
        own = [np.argsort(bag[part.rows], kind="stable") for part in parts]
        counts = [np.bincount(bag[part.rows], minlength=len(row)) for part in parts]
        most = np.max(counts, axis=0)
        item = np.repeat(np.arange(len(row)), most)
        place = np.arange(len(item)) - np.repeat(np.cumsum(most) - most, most)
        self._numbers = np.stack([_again(*one, item, place) for one in zip(own, counts, strict=True)], axis=1)
        # In the order of the manifest, whatever the order of the items.
        order = np.argsort(row[item], kind="stable")
        self._numbers, self.rows = self._numbers[order], row[item][order]
        self.at_a_time = min(part.at_a_time for part in parts)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.rows)

    def __getitems__(self, indices: Sequence[int]) -> Any:
        """A batch, whose `x` is `Inputs`."""
        numbers = self._numbers[np.asarray(indices, dtype=np.int64)]
        x = {
            name: part.__getitems__(own[own >= 0].tolist())["x"]
            for name, part, own in zip(self._names, self._parts, numbers.T, strict=True)
            if (own >= 0).any()
        }
        return {"x": without(Inputs(x, torch.from_numpy(numbers >= 0)), self._names, self._hidden)}

    def samples_of(self, row: int) -> Ints:
        """Numbers of the samples of one row of the manifest."""
        return np.arange(*np.searchsorted(self.rows, [row, row + 1]))

    def places(self, numbers: Ints) -> list[list[float]] | None:
        """None: each input has places of its own."""
        return None

    def hiding(self, names: tuple[str, ...]) -> "FusedSamples":
        """The same items without some inputs."""
        return FusedSamples(self._parts, self._names, *self._made, hidden=names)


def _again(order: Ints, counts: Ints, item: Ints, place: Ints) -> Ints:
    """(S,) the number of the sample at a place of an item, from the first again behind the last; -1 without one."""
    begin = np.cumsum(counts) - counts
    at = begin[item] + place % np.maximum(counts[item], 1)
    return np.where(counts[item] > 0, order[np.minimum(at, len(order) - 1)], -1)
