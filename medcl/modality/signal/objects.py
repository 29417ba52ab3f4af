"""Recordings in memory as files: arrays as .npy with a side-car, what mne has as FIF in double precision."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from medcl.errors import UsageError
from medcl.modality.objects import Given
from medcl.modality.signal.record import kept_unit, modality_of

TAKES = "arrays (channels, samples) with sampling_rate= and channels=, MNE Raw and Epochs"


def write(x: Any, place: Path, given: Given) -> bool:
    """Write a recording.

    Args:
        x: (channels, samples), or MNE Raw or Epochs.
        place: folder.
        given: sampling rate, channels and unit of an array.

    Returns:
        Whether it is one.

    Raises:
        UsageError: the sampling rate or the channels of an array are not given, or do not fit.
    """
    if hasattr(x, "get_data") and hasattr(x, "ch_names") and hasattr(x, "save"):
        # What mne names epochs has other blocks in the file, and another name.
        name = "recording-epo.fif" if hasattr(x, "selection") else "recording_raw.fif"
        x.save(place / name, fmt="double", overwrite=True, verbose="ERROR")
        return True
    if not isinstance(x, np.ndarray) or x.ndim != 2 or x.dtype.kind not in "fiu":
        return False
    if given.sampling_rate is None or not given.channels:
        missing = "sampling_rate=" if given.sampling_rate is None else "channels="
        raise UsageError(f"an array of shape {x.shape}: {missing} is missing, which a recording needs")
    if len(given.channels) != len(x):
        raise UsageError(f"{len(given.channels)} channels= for an array of shape {x.shape}: (channels, samples)")
    unit = given.unit or kept_unit("V", modality_of(given.channels, "eeg"))[0]
    about = {"sampling_rate": given.sampling_rate, "channels": list(given.channels), "unit": unit}
    np.save(place / "recording.npy", x, allow_pickle=False)
    (place / "recording.json").write_text(json.dumps(about), encoding="utf-8")
    return True
