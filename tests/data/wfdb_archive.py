"""Small WFDB archives, written at test time."""

from pathlib import Path

import numpy as np
import wfdb

from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest

LEADS = ["I", "II", "V1"]


def write_record(
    folder: Path,
    patient: str,
    name: str,
    signal: np.ndarray,
    rate: float = 100,
    unit: str = "mV",
    fmt: str = "16",
    names: list[str] | None = None,
) -> None:
    """One record of (time, leads) in a folder of its patient."""
    (folder / patient).mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        name,
        fs=rate,
        units=[unit] * signal.shape[1],
        sig_name=names or LEADS[: signal.shape[1]],
        p_signal=signal,
        fmt=[fmt] * signal.shape[1],
        adc_gain=[1000.0] * signal.shape[1],
        baseline=[0] * signal.shape[1],
        write_dir=str(folder / patient),
    )


def noise(seconds: float, rate: float = 100, seed: int = 0, leads: int = 3) -> np.ndarray:
    """(time, leads) in mV."""
    return np.random.default_rng(seed).normal(0, 0.5, (round(seconds * rate), leads)).round(3)


def scanned(folder: Path) -> Manifest:
    """The manifest of an archive whose folders are patients."""
    output = folder.with_suffix(".parquet")
    build_manifest(
        ScanRequest(
            folder=folder, output=output, id_pattern=r"(?P<patient>[^/]+)/(?P<trial>[^/.]+)", modality="ecg", jobs=1
        )
    )
    return Manifest.read(output)


def archive(folder: Path, patients: int = 4, trials: int = 2, seconds: float = 6.0) -> Manifest:
    """Patients with noise of `seconds` seconds."""
    for p in range(patients):
        for t in range(trials):
            write_record(folder, f"p{p}", f"r{t}", noise(seconds + t, seed=10 * p + t))
    return scanned(folder)
