"""Convert pre-epoched recordings of BCI Competition IV data set 2b (MATLAB files) to one array a trial, with labels.

Run `python datasets/bci_iv_2b.py FOLDER_WITH_MAT OUT`, then `medcl scan OUT --card datasets/bci_iv_2b.yaml`.
"""

import argparse
import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from medcl.errors import MedclError, UnreadableError, UsageError

HANDS = {1: "left", 2: "right"}
SIDECAR: dict[str, Any] = {"sampling_rate": 250, "channels": ["C3", "Cz", "C4"], "unit": "uV"}
"""What the files do not state: rate and channels are those of the competition; the unit is an assumption."""

SAMPLES = 1000  # of a trial


def convert(folder: Path, out: Path, seconds: tuple[float, float] = (0.0, 4.0)) -> int:
    """Write OUT/SUBJECT/SESSION/tNNN.npy (3, samples) float32 with a sidecar, and OUT/labels.csv.

    Args:
        folder: holds `B{subject}{session}{T or E}.mat`, each with `data` (samples, 3, trials) and `label` (trials, 1).
        out: new folder.
        seconds: of each trial, from and to.

    Returns:
        Number of trials.

    Raises:
        UsageError: there is no such file in the folder, or the seconds are none of a trial.
        UnreadableError: a file does not hold these arrays.
        FileExistsError: the output folder exists.
    """
    from scipy.io import loadmat

    paths = [path for path in sorted(folder.rglob("B*.mat")) if re.fullmatch(r"B\d{4}[TE]", path.stem)]
    if not paths:
        raise UsageError(f"{folder}: holds no recording named as B0103T.mat")
    first, last = (round(second * SIDECAR["sampling_rate"]) for second in seconds)
    if not 0 <= first < last <= SAMPLES:
        raise UsageError(f"--seconds {seconds[0]:g} {seconds[1]:g}: a trial has the seconds from 0 to 4")
    out.mkdir(parents=True)
    rows = []
    for path in paths:
        subject, session = path.stem[1:3], path.stem[3:]
        try:
            content = loadmat(path)
            trials, hands = content["data"].transpose(2, 1, 0), content["label"].ravel()
        except (KeyError, ValueError, NotImplementedError, TypeError, OSError) as error:
            raise UnreadableError(f"{path}: not a recording of this data set: {error}") from error
        place = out / subject / session
        place.mkdir(parents=True)
        for number, (trial, hand) in enumerate(zip(trials, hands, strict=True)):
            name = place / f"t{number:03d}.npy"
            np.save(name, trial[:, first:last].astype(np.float32))
            name.with_suffix(".json").write_text(json.dumps(SIDECAR), encoding="utf-8")
            record = name.relative_to(out).as_posix()
            rows.append((record, subject, session, f"{subject}-{session}", HANDS[int(hand)]))
    with (out / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("record", "subject", "session", "visit", "hand"))
        writer.writerows(rows)
    return len(rows)


def main(words: list[str]) -> int:
    """The command line: 0 done, 1 failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder that holds the MATLAB files")
    parser.add_argument("out", type=Path, help="new folder")
    parser.add_argument(
        "--seconds", type=float, nargs=2, default=(0.0, 4.0), help="part of each trial that is kept (default: all)"
    )
    arguments = parser.parse_args(words)
    try:
        count = convert(arguments.folder, arguments.out, tuple(arguments.seconds))
    except (MedclError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{count} trials: {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
