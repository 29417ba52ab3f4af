"""Convert the EEG of alcoholic and control subjects from the R package eegkitdata to EDF files with a label table.

Run `python datasets/eegkit_alcohol.py FOLDER_WITH_RDA OUT`, then `medcl scan OUT --card datasets/eegkit_alcohol.yaml`.
It needs the package `rdata` (MIT; tested with 1.1.0): `pip install rdata`.
"""

import argparse
import csv
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medcl.errors import MedclError, UnreadableError, UsageError, not_installed

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

SAMPLING_RATE = 256.0
"""Hz, as the data base states it; the table holds sample numbers only."""
GROUPS = {"a": "alcoholic", "c": "control"}
KEY = ["subject", "trial", "channel", "time"]


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes:
        subjects: Number of folders.
        trials: Number of EDF files.
        duplicates: Rows of the long table that were dropped because they repeat another in every column.
        error: Largest difference between a voltage in the table and in the files, uV, by EDF's 16 bits.
    """

    subjects: int
    trials: int
    duplicates: int
    error: float


def read(folder: Path) -> "pd.DataFrame":
    """Read the long table.

    Args:
        folder: That holds eegdata.rda.

    Returns:
        Columns subject, group, condition, trial, channel, time (sample number) and voltage (uV).

    Raises:
        UsageError: There is no eegdata.rda in the folder, or `rdata` is not installed.
        UnreadableError: It does not hold that table.
    """
    path = folder / "eegdata.rda"
    if not path.is_file():
        raise UsageError(f"{folder}: there is no eegdata.rda in it; it is in data/ of the R package eegkitdata")
    try:
        import rdata
    except ImportError as error:
        raise UsageError(not_installed("rdata", "reading R's data file")) from error
    try:
        table = rdata.read_rda(path)["eegdata"]
        return table[["subject", "group", "condition", "trial", "channel", "time", "voltage"]]
    except (KeyError, ValueError, TypeError, OSError, EOFError, NotImplementedError) as error:
        raise UnreadableError(f"{path}: not the long table of eegkitdata: {error!r}") from error


def convert(table: "pd.DataFrame", out: Path) -> Conversion:
    """Write one EDF file a trial, OUT/SUBJECT/SUBJECT_tTRIAL.edf, and OUT/labels.csv (record, subject, group).

    Channels keep the order of their first appearance in the table. Each has the smallest physical range of whole uV
    that holds its extremes, so a voltage is off by at most half of (range / 65535): 0.004 uV in the widest channel of
    this data, where the recorder's own step is 0.488 uV.

    Args:
        table: As `read` returns it.
        out: Where to; made if need be.

    Returns:
        Counts, and the error of quantisation.

    Raises:
        UnreadableError: A trial is not a full grid of channels and samples, holds a value that is not finite, has
            two different voltages at one place, or a subject has two groups.
    """
    distinct = table.drop_duplicates()
    twice = distinct[distinct.duplicated(KEY)]
    if len(twice):
        raise UnreadableError(f"two different voltages at one place: {dict(twice.iloc[0][KEY])}")
    channels = list(dict.fromkeys(distinct["channel"]))
    rows: list[tuple[str, str, str]] = []
    worst = 0.0
    groups: dict[str, str] = {}
    for (subject, trial), part in distinct.groupby(["subject", "trial"], sort=True, observed=True):
        where = f"subject {subject}, trial {trial}"
        letters = sorted(map(str, part["group"].unique()))
        group = GROUPS.get(letters[0], "")
        if len(letters) > 1 or not group or groups.setdefault(str(subject), group) != group:
            raise UnreadableError(f"{where}: group {', '.join(letters)}; has to be a or c, the same in all trials")
        signal = _grid(part, channels, where)
        name = f"{subject}_t{int(trial):03d}"
        worst = max(worst, _write_edf(out / str(subject) / f"{name}.edf", signal, channels, str(subject)))
        rows.append((f"{subject}/{name}", str(subject), group))
    with (out / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("record", "subject", "group"))
        writer.writerows(rows)
    return Conversion(len(groups), len(rows), len(table) - len(distinct), worst)


def _grid(part: "pd.DataFrame", channels: list[str], where: str) -> NDArray[np.float64]:
    """(channels, time) in uV of one trial."""
    wide = part.pivot(index="channel", columns="time", values="voltage").reindex(channels)
    if list(wide.columns) != list(range(wide.shape[1])):
        raise UnreadableError(f"{where}: sample numbers are missing among {wide.columns.min()} to {wide.columns.max()}")
    signal: NDArray[np.float64] = wide.to_numpy(dtype=np.float64)
    if not np.isfinite(signal).all():
        channel = channels[int(np.argmin(np.isfinite(signal).all(axis=1)))]
        raise UnreadableError(f"{where}: channel {channel} lacks samples or holds one that is not a number")
    return signal


def _write_edf(path: Path, signal: NDArray[np.float64], channels: list[str], subject: str) -> float:
    """Write one trial; returns the largest difference between what was given and what was stored, uV."""
    from edfio import Edf, EdfSignal, Patient

    # A channel that never changes still needs a range of some width.
    low, high = np.floor(signal.min(axis=1)), np.maximum(np.ceil(signal.max(axis=1)), np.floor(signal.min(axis=1)) + 1)
    written = [
        EdfSignal(row, SAMPLING_RATE, label=name, physical_dimension="uV", physical_range=(float(a), float(b)))
        for name, row, a, b in zip(channels, signal, low, high, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    Edf(written, patient=Patient(code=subject), data_record_duration=signal.shape[1] / SAMPLING_RATE).write(path)
    return max(float(np.abs(edf.data - row).max()) for edf, row in zip(written, signal, strict=True))


def main() -> int:
    """Convert as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description="Convert eegkitdata's eegdata.rda to EDF files with a label table.")
    parser.add_argument("folder", type=Path, metavar="FOLDER_WITH_RDA", help="the folder that holds eegdata.rda")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to write; made if need be")
    arguments = parser.parse_args()
    try:
        done = convert(read(arguments.folder), arguments.out)
    except MedclError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{done.trials} trials of {done.subjects} subjects -> {arguments.out}")
    print(f"{done.duplicates} duplicate rows dropped; largest quantisation error {done.error:.4f} uV")
    return 0


if __name__ == "__main__":
    sys.exit(main())
