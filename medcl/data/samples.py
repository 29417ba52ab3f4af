"""Samples in memory: arrays, torch data sets and MNE epochs, without an archive."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from medcl.errors import UsageError
from medcl.modality.sampling import Batch
from medcl.spelling import not_a_choice

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Samples:
    """Samples of one input.

    Args:
        x: (N, C, ...) array or tensor, scaled as the encoder shall take it: signals (N, C, T), images (N, C, rows,
            columns), volumes (N, C, x, y, z). Or a torch data set whose items are such samples, alone or first of a
            tuple, or as `x` of a mapping.
        ids: {level or column: (N,)}: integers of levels, such as `patient`, `trial`, `session`; labels and values for
            `label:COLUMN` and `value:COLUMN`. Without `patient` each sample is of another one.
        sampling_rate: of signals, in Hz.
        channels: names of the channels of signals, in order.
        present: (N,) bool, of several inputs which samples have this one; None: all.
    """

    x: Any
    ids: Mapping[str, Any] = field(default_factory=dict)
    sampling_rate: float | None = None
    channels: Sequence[str] = ()
    present: Any = None

    @classmethod
    def of(cls, given: Any, where: str) -> "Samples":
        """From what a user hands in.

        Args:
            given: `Samples`; a mapping of their arguments; MNE `Epochs`, whose metadata are the ids; an array, a tensor
                or a data set; or (x, ids).
            where: name of the input, for messages.

        Raises:
            UsageError: it is nothing of these, or lengths differ.
        """
        if isinstance(given, Mapping):
            known = ("x", "ids", "sampling_rate", "channels", "present")
            for name in given:
                if name not in known:
                    raise UsageError(f"samples[{where!r}]: {not_a_choice(name, known)}")
            made = cls(**given)
        elif hasattr(given, "get_data") and hasattr(given, "ch_names"):
            made = _epochs(given)
        elif isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], Mapping):
            made = cls(*given)
        else:
            made = given if isinstance(given, cls) else cls(given)
        if not hasattr(made.x, "__len__") or not hasattr(made.x, "__getitem__"):
            raise UsageError(f"samples[{where!r}]: takes an array, a tensor, MNE Epochs or a data set with a length")
        for name, values in made.ids.items():
            if len(values) != len(made):
                raise UsageError(f"samples[{where!r}].ids[{name!r}]: {len(values)} values of {len(made)} samples")
        return made

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.x)

    def read(self, numbers: Sequence[int]) -> Tensor:
        """A batch (B, C, ...) float32.

        Raises:
            UsageError: a sample is not finite.
        """
        if isinstance(self.x, Dataset) or not hasattr(self.x, "shape"):
            items = [_sample(self.x[int(one)]) for one in numbers]
            x = torch.stack([torch.as_tensor(one) for one in items]).float()
        else:
            x = torch.as_tensor(np.asarray(self.x[np.asarray(numbers)])).float()
        if not torch.isfinite(x).all():
            wrong = int(torch.as_tensor(numbers)[~torch.isfinite(x).flatten(1).all(dim=1)][0])
            raise UsageError(f"samples: sample {wrong} has a value that is not finite")
        return x


class InMemory(Dataset[Batch]):
    """Samples of one or several inputs as batches, row i of each belonging together.

    Args:
        samples: {input: samples}, of one length.
    """

    counted = "samples"
    note = ""

    def __init__(self, samples: Mapping[str, Samples]) -> None:
        self.samples = dict(samples)
        lengths = {name: len(one) for name, one in samples.items()}
        if len(set(lengths.values())) > 1:
            raise UsageError(f"samples: row i of each input is of one item, got lengths {lengths}")
        self.count = next(iter(lengths.values()))
        self.columns = {name: np.asarray(one) for own in samples.values() for name, one in own.ids.items()}
        rows = np.arange(self.count)
        self.patients: Ints = np.asarray(self.columns.get("patient", rows), dtype=np.int64)
        unit = next((self.columns[level] for level in ("trial", "series", "study") if level in self.columns), rows)
        self.units: Ints = np.unique(np.asarray(unit), return_inverse=True)[1].astype(np.int64)
        levels = {name: one for name, one in self.columns.items() if one.dtype.kind in "iu"}
        self.ids = {**levels, "patient": self.patients, "sample": rows}
        self.present = {
            name: np.ones(self.count, dtype=bool) if one.present is None else np.asarray(one.present, dtype=bool)
            for name, one in samples.items()
        }
        several = {"item": rows, **{name: np.where(there, rows, -2 - rows) for name, there in self.present.items()}}
        self.ids |= several if len(samples) > 1 else {}

    @property
    def id_names(self) -> tuple[str, ...]:
        """Of the ids of a batch."""
        return tuple(self.ids)

    def __len__(self) -> int:
        """Number of samples."""
        return self.count

    def __getitem__(self, number: int) -> Batch:
        """One sample as a batch of one."""
        return self.__getitems__([number])

    def __getitems__(self, numbers: Sequence[int]) -> Batch:
        """A batch of these samples."""
        rows = np.asarray(numbers, dtype=np.int64)
        batch: Batch = {
            "index": torch.from_numpy(rows),
            "ids": {name: torch.from_numpy(np.ascontiguousarray(one[rows])) for name, one in self.ids.items()},
        }
        if len(self.samples) == 1:
            batch["x"] = next(iter(self.samples.values())).read(rows.tolist())
            return batch
        there = {name: one[rows] for name, one in self.present.items()}
        batch["inputs"] = {
            name: one.read(rows[there[name]].tolist()) for name, one in self.samples.items() if there[name].any()
        }
        batch["present"] = {name: torch.from_numpy(one) for name, one in there.items()}
        return batch

    def has(self, name: str) -> bool:
        """Whether there is a column of this name."""
        return name in self.columns or name == "patient"

    def column(self, name: str) -> NDArray[Any]:
        """One column, (N,)."""
        return self.patients if name == "patient" else self.columns[name]

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.columns)


def _epochs(epochs: Any) -> Samples:
    """MNE epochs in uV, as recordings of EEG are prepared; columns of their metadata are ids."""
    metadata = epochs.metadata
    ids = {} if metadata is None else {str(name): metadata[name].to_numpy() for name in metadata.columns}
    codes = {
        name: one if one.dtype.kind in "iuf" else np.unique(one.astype(str), return_inverse=True)[1]
        for name, one in ids.items()
    }
    ids |= {name: codes[name] for name in ("patient", "session", "trial") if name in codes}
    return Samples(epochs.get_data() * 1e6, ids, float(epochs.info["sfreq"]), tuple(epochs.ch_names))


def _sample(item: Any) -> Any:
    if isinstance(item, Mapping):
        return item["x"]
    return item[0] if isinstance(item, tuple | list) else item
