"""Who is trained on and who is tested, for `medcl reduce --evaluate`: always different patients."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.errors import UsageError

Bools = NDArray[np.bool_]
_HELD_OUT = 0.25
"""Share of the patients who are not tested by whom the probe's penalty is chosen."""


@dataclass(frozen=True)
class Fold:
    """One division of the patients.

    Args:
        number: from 0.
        manifest: of all readable records; the split `train` is pretrained on and reduced, `test` is tested.
        fit: (records,) those on which a probe is fitted.
        validation: (records,) those by which its penalty is chosen.
        test: (records,) those on which it is tested.
    """

    number: int
    manifest: Manifest
    fit: Bools
    validation: Bools
    test: Bools


def folds_of(manifest: Manifest, count: int) -> list[Fold]:
    """Divide the patients.

    Args:
        manifest: of readable records.
        count: of folds, each of which is tested once by encoders that have seen the others; 1 takes the splits of the
            manifest: pretraining and probe on `train`, the penalty by `val`, the test on `test`.

    Returns:
        The folds; the same for every call.

    Raises:
        UsageError: too few patients, or splits that are not there.
    """
    if count < 1:
        raise UsageError(f"--folds {count}: at least 1, which takes the splits of the manifest")
    if count == 1:
        return [_own(manifest)]
    code = manifest.column("patient")
    # A record without a patient is one of its own.
    patients, number = np.unique(np.where(code >= 0, code, -1 - np.arange(len(code))), return_inverse=True)
    if len(patients) < max(count, 3):
        raise UsageError(
            f"--folds {count}: the manifest has {len(patients)} patients; there must be as many as folds, and 3 at "
            "least: one to fit a probe, one to choose its penalty, one to test it"
        )
    order = np.random.default_rng(0).permutation(len(patients))
    folds = []
    for fold, tested in enumerate(np.array_split(order, count)):
        others = np.setdiff1d(order, tested)
        others = np.random.default_rng([1, fold]).permutation(others)
        held = others[: max(1, round(_HELD_OUT * len(others)))]
        test, validation = np.isin(number, tested), np.isin(number, held)
        split = np.where(test, "test", "train")
        folds.append(Fold(fold, manifest.with_column("split", pa.array(split)), ~test & ~validation, validation, test))
    return folds


def _own(manifest: Manifest) -> Fold:
    split = manifest.column("split") if manifest.has("split") else np.full(len(manifest), None, dtype=object)
    parts = [np.asarray(split == name, dtype=bool) for name in ("train", "val", "test")]
    missing = [name for name, part in zip(("train", "val", "test"), parts, strict=True) if not part.any()]
    if missing:
        raise UsageError(
            f"--folds 1: no readable record in the split {', '.join(missing)} of the manifest: `medcl split` makes "
            "splits, --folds 3 needs none"
        )
    return Fold(0, manifest, *parts)
