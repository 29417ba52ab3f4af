"""Whom a search may look at: patients of the splits train and val, and of no other."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from medcl.archive.manifest import Manifest
from medcl.archive.split import split as divide
from medcl.errors import UsageError


@dataclass(frozen=True)
class Development:
    """The records of a search. Those of a test are in neither manifest.

    Args:
        pretraining: with the splits of the archive.
        scoring: the same records in the same order. The validation patients are those that are tested, and a quarter of
            the training patients chooses the penalty of a probe.
        patients: number of validation patients.
    """

    pretraining: Manifest
    scoring: Manifest
    patients: int

    @property
    def longest(self) -> float:
        """Length of the median record in s, infinite where records have none: no usual window exceeds it."""
        samples, rate = (self.pretraining.column(name).astype(float) for name in ("n_samples", "sampling_rate"))
        known = (samples / rate)[np.isfinite(samples / rate)]
        return float(np.median(known)) if len(known) else np.inf


def development(manifest: Manifest, target: str) -> Development:
    """Leave out of a manifest whatever a search may not look at.

    Args:
        manifest: with splits and labels.
        target: column of labels, by which the training patients are divided evenly.

    Raises:
        UsageError: there is no readable record in one of the two splits.
    """
    readable = manifest.ok()
    split = readable.column("split") if readable.has("split") else np.full(len(readable), None, dtype=object)
    own = readable.select(np.flatnonzero(np.isin(split.astype(str), ("train", "val"))))
    train, validation = (np.asarray(own.column("split") == name, dtype=bool) for name in ("train", "val"))
    for name, rows in (("train", train), ("val", validation)):
        if not rows.any():
            raise UsageError(
                f"tune: no readable record in the split {name} of the manifest: `medcl split` makes splits"
            )
    parts = divide(own.select(np.flatnonzero(train)), (0.75, 0.25, 0.0), stratify=target)
    role = np.full(len(own), "test", dtype=object)
    role[train] = parts.column("split")
    scoring = own.with_column("split", pa.array(role.tolist(), pa.string()))
    # A record without a patient is one of its own.
    codes = own.column("patient")[validation]
    return Development(own, scoring, len(np.unique(codes[codes >= 0])) + int((codes < 0).sum()))
