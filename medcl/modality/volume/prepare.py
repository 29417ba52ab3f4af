"""Decode one volume for the store: on its grid or another, cut to its foreground, with its label maps."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medcl.archive.file_state import Scanned, require_unchanged
from medcl.data.volume_file import write_array
from medcl.engine.quiet import quiet
from medcl.errors import UnreadableError, reason
from medcl.modality.dicom import IRREGULAR
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.geometry import cropped, foreground_box, nearest, places, resampled, respaced
from medcl.modality.volume.original import read_labels, read_original
from medcl.modality.volume.record import Grid, Volume
from medcl.modality.volume.store import array_name

if TYPE_CHECKING:
    from medcl.modality.dicom.stacks import Stack


@dataclass(frozen=True)
class Job:
    """A volume to decode, and how.

    Args:
        record_id: of the manifest.
        scanned: its files, as they were when they were scanned.
        part: which volume of its files it is.
        modality: `ct` is in HU.
        dtype: of the stored numbers.
        n_channels: that every volume of the store has.
        flags: what is unusual about its geometry.
        masks: label maps, as they were when they were scanned, and their number of classes; None where there is none.
        config: of the patches.
        axis: across which slices are read, None for cubes.
        number: of its file in the store.
        folder: of the store that is being made.
    """

    record_id: str
    scanned: Scanned
    part: int
    modality: str
    dtype: str
    n_channels: int
    flags: tuple[str, ...]
    masks: tuple[tuple[Scanned, int] | None, ...]
    config: VolumeConfig
    axis: int | None
    number: int
    folder: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a volume.

    Args:
        number: of the job.
        record_id: of the manifest.
        row: for the index, empty where the volume cannot be prepared.
        reason: why not.
        mask_reasons: number of a label map -> why that one cannot be used.
        written: bytes on the disk.
        filled: voxels that were not a number.
    """

    number: int
    record_id: str
    row: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    mask_reasons: dict[int, str] = field(default_factory=dict)
    written: int = 0
    filled: int = 0


def decode_all(jobs: Sequence[Job]) -> list[Outcome]:
    """Decode volumes and write them into the store.

    Raises:
        OSError: the disk is full.
    """
    with quiet():
        return [_decode(job) for job in jobs]


def died(job: Job) -> list[Outcome]:
    """The outcome of a volume whose decoding ended the process."""
    return [
        Outcome(job.number, job.record_id, reason="damaged file, or too little memory: decoding it ends the reader")
    ]


def _decode(job: Job) -> Outcome:
    try:
        volume, slices = _read(job)
        data, start, stop, grid = _prepared(volume, job.config)
        low, high = _range(data, job.config)
    except Exception as error:
        return Outcome(job.number, job.record_id, reason=reason(error))
    if job.dtype == "uint8" and data.dtype == np.int16 and data.min() >= 0 and data.max() <= 255:
        data = data.astype(np.uint8)
    labels: dict[int, NDArray[np.uint8]] = {}
    reasons: dict[int, str] = {}
    at = places(grid, volume.grid)
    for number, mask in enumerate(job.masks):
        if mask is not None:
            try:
                labels[number] = nearest(_labels(*mask, volume.grid, slices), at)
            except Exception as error:
                reasons[number] = reason(error)
    # What goes wrong from here on is the disk of the store, not the file.
    written = write_array(job.folder / array_name(job.number), data, job.axis)
    for number, prepared in labels.items():
        written += write_array(job.folder / array_name(job.number, number), prepared[None], job.axis)
    row = {
        "record_id": job.record_id,
        "file": job.number,
        "shape": list(grid.shape),
        "affine": grid.affine.ravel(),
        "original_shape": list(volume.grid.shape),
        "original_affine": volume.grid.affine.ravel(),
        "box_start": start,
        "box_stop": stop,
        "low": low,
        "high": high,
        "masks": [number in labels for number in range(len(job.masks))],
    }
    return Outcome(job.number, job.record_id, row, "", reasons, written, volume.filled)


def _read(job: Job) -> tuple[Volume, "Stack | None"]:
    """The volume, and its slices where they were resampled onto its grid."""
    irregular = [flag for flag in job.flags if flag.startswith(IRREGULAR)]
    if irregular and job.config.irregular == "quarantine":
        raise UnreadableError(
            f"{'; '.join(irregular)}: data.irregular=resample puts it on a regular grid, keep takes it as it is"
        )
    resample = bool(irregular) and job.config.irregular == "resample"
    require_unchanged(job.scanned)
    files = job.scanned
    where = files.root, files.path, files.files, job.part, files.format, job.modality
    volume, slices = read_original(*where, resample, job.config.nan)
    if len(volume.data) != job.n_channels:
        raise UnreadableError(f"{len(volume.data)} channels, other volumes have {job.n_channels}")
    return volume, slices


def _prepared(volume: Volume, config: VolumeConfig) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], Grid]:
    """Voxels, the box of the original that they are of, and their grid."""
    start, stop = np.zeros(3, dtype=np.int64), np.array(volume.grid.shape, dtype=np.int64)
    if config.foreground:
        start, stop = foreground_box(volume.data, volume.grid.spacing)
    grid = cropped(volume.grid, start, stop)
    box = volume.data[:, start[0] : stop[0], start[1] : stop[1], start[2] : stop[2]]
    if config.spacing is None:
        return box, start, stop, grid
    fine = respaced(grid, config.spacing)
    return resampled(box, places(fine, grid)), start, stop, fine


def _range(data: NDArray[Any], config: VolumeConfig) -> tuple[float, float]:
    """The numbers that become 0 and 1."""
    if config.window is not None:
        return config.window
    if data.dtype == np.int16:
        least = int(data.min())
        counts = np.cumsum(np.bincount(data.ravel().astype(np.int32) - least))
        wanted = np.array(config.percentiles) / 100 * (data.size - 1)
        low, high = (float(value) for value in np.searchsorted(counts, wanted, side="right") + least)
    else:
        low, high = (float(value) for value in np.percentile(data, config.percentiles))
    if not high > low:
        raise UnreadableError(
            f"the percentiles {config.percentiles[0]:g} and {config.percentiles[1]:g} of its voxels are both {low:g}: "
            "nothing to see, or data.percentiles must be wider"
        )
    return low, high


def _labels(mask: Scanned, classes: int, grid: Grid, slices: "Stack | None") -> NDArray[np.uint8]:
    require_unchanged(mask)
    labels = read_labels(mask.root / mask.path, grid, slices)
    beyond = np.unique(labels[(labels < 0) | (labels >= classes)])
    if len(beyond):
        listed = ", ".join(map(str, beyond[:8].tolist()))
        raise UnreadableError(f"labels {listed} are not among its {classes} classes (0 to {classes - 1})")
    return labels.astype(np.uint8)
