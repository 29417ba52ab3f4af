"""Decode the volumes of an archive once, into a store that crops are read from."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from tqdm.auto import tqdm

from medcl.archive.file_state import scanned, scanned_masks
from medcl.archive.manifest import Manifest
from medcl.archive.schema import scanned_column
from medcl.data.matching import only
from medcl.data.publish import in_words, publish
from medcl.engine.parallel import run_chunks
from medcl.errors import MedclError, UsageError
from medcl.modality.foreign import available
from medcl.modality.formats import DECODED_APART
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.prepare import Job, Outcome, decode_all, died
from medcl.modality.volume.store import VOLUME_INDEX, VOLUME_STORE_VERSION, VolumeStore

_CLASSES = 256
_KEYED = ("record_id", "checksum", "size", "mtime_ns")


def prepare_volumes(
    manifest: Manifest, config: VolumeConfig, folder: Path, *, jobs: int = -1, strict: bool = False
) -> VolumeStore:
    """Decode every readable volume of a manifest, once, and its label maps.

    A store is found again by its key: the records with their checksums, sizes and times, their label maps with sizes
    and times, and all settings that change what is stored. Others lie beside it, so that changed settings never meet
    stale data. It is published at the end in one step.

    Volumes of several modalities share a store where each is scaled by its own percentiles; a window of HU is for CT.

    Args:
        manifest: what was scanned.
        config: of the patches; of `size` only matters across which axis slices are cut, if any.
        folder: that holds the stores.
        jobs: processes that decode; the store is the same for any number.
        strict: see `unchanged.scanned`.

    Returns:
        The store. Volumes that cannot be prepared are in its `quarantine`, label maps that cannot be used in its
        `mask_quarantine`, with the reason.

    Raises:
        UsageError: the settings do not fit the archive, or one another.
        MedclError: nothing can be decoded, the disk is full or the store grows beyond `largest`.
    """
    manifest = only(manifest, "volume")
    check(manifest, config)
    key = _key(manifest, config)
    sizes = _bytes(manifest, config)
    room = available()
    # What does not fit into memory is not decoded: what its header claims is no reason to refuse the others.
    needed = int(sizes.sum() if room is None else sizes[_memory(manifest, config) <= room].sum())
    made = publish(folder, key, needed, lambda partial: _make(manifest, config, partial, key, jobs, strict))
    return VolumeStore.open(made)


def slice_axis(config: VolumeConfig) -> int | None:
    """The axis across which slices are cut, None where patches are three-dimensional.

    Raises:
        UsageError: a size that is none of a patch.
    """
    size = tuple(config.size)
    thin = [axis for axis, voxels in enumerate(size) if voxels == 1]
    if len(size) != 3 or min(size) < 1 or len(thin) > 1:
        raise UsageError(
            f"data.size {list(size)}: three numbers of voxels, of which at most one is 1, the axis across which slices "
            "are cut, such as [192, 192, 1]"
        )
    return thin[0] if thin else None


def check(manifest: Manifest, config: VolumeConfig) -> None:
    """Whether settings fit one another and the volumes.

    Raises:
        UsageError: they do not.
    """
    slice_axis(config)
    kinds = sorted(set(map(str, manifest.column("modality"))))
    if config.spacing is not None:
        given = [spacing for spacing in config.spacing if spacing is not None]
        if len(config.spacing) != 3 or not all(spacing > 0 for spacing in given):
            raise UsageError(
                f"data.spacing {list(config.spacing)}: three numbers of mm above 0, or null to keep an axis"
            )
    low, high = config.percentiles
    if not 0 <= low < high <= 100:
        raise UsageError(f"data.percentiles {low:g}, {high:g}: two between 0 and 100, the lower first")
    if config.window is not None:
        if not config.window[0] < config.window[1]:
            raise UsageError(f"data.window {list(config.window)}: the lowest and the highest HU, in this order")
        if kinds != ["ct"]:
            raise UsageError(
                f"data.window is in HU, the manifest holds {', '.join(kinds)}: leave it out and set data.percentiles"
            )
    many = [name for name, masks in manifest.masks.items() if len(masks.classes) > _CLASSES]
    if many:
        raise UsageError(f"label maps {many[0]!r}: more than {_CLASSES} classes")


def _key(manifest: Manifest, config: VolumeConfig) -> str:
    scale = ["window", *config.window] if config.window is not None else ["percentiles", *config.percentiles]
    spacing = None if config.spacing is None else list(config.spacing)
    classes = {name: masks.classes for name, masks in manifest.masks.items()}
    chosen = [config.foreground, config.irregular, config.nan]
    settings = [VOLUME_STORE_VERSION, spacing, scale, *chosen, slice_axis(config), classes]
    digest = hashlib.blake2b(json.dumps(settings).encode(), digest_size=10)
    for name in _KEYED:
        digest.update("\n".join(map(str, manifest.column(name))).encode())
    for name in classes:
        for path in manifest.column(name):
            digest.update(f"\n{path}\0{_state(manifest.root / str(path)) if path is not None else ''}".encode())
        # A label map that had changed since the scan is looked at again after the next one.
        if manifest.has(scanned_column(name)):
            digest.update("\n".join(map(str, manifest.column(scanned_column(name)))).encode())
    return digest.hexdigest()


def _state(path: Path) -> str:
    try:
        about = path.stat()
    except OSError:
        return "missing"
    return f"{about.st_size} {about.st_mtime_ns}"


def _make(manifest: Manifest, config: VolumeConfig, folder: Path, key: str, jobs: int, strict: bool) -> None:
    outcomes = sorted(_outcomes(manifest, config, folder, jobs, strict), key=lambda outcome: outcome.number)
    rows = [outcome.row for outcome in outcomes if outcome.row]
    quarantine = {outcome.record_id: outcome.reason for outcome in outcomes if not outcome.row}
    if not rows:
        first = next(iter(quarantine.values()))
        raise MedclError(f"none of {len(manifest)} volumes can be prepared; the first: {first}")
    names = list(manifest.masks)
    about = {
        "key": key,
        "n_channels": _n_channels(manifest),
        "masks": names,
        "quarantine": quarantine,
        "filled": {outcome.record_id: outcome.filled for outcome in outcomes if outcome.filled},
        "mask_quarantine": {
            name: {one.record_id: one.mask_reasons[mask] for one in outcomes if mask in one.mask_reasons}
            for mask, name in enumerate(names)
        },
    }
    VOLUME_INDEX.write(folder, {name: [row[name] for row in rows] for name in rows[0]}, about)


def _outcomes(manifest: Manifest, config: VolumeConfig, folder: Path, jobs: int, strict: bool) -> Iterator[Outcome]:
    """What became of each volume, in any order."""
    work = _jobs(manifest, config, folder, strict)
    needs, room = _memory(manifest, config), available()
    processes = min(joblib.cpu_count() if jobs == -1 else max(1, jobs), len(work))
    together: list[Job] = []
    alone: list[Job] = []
    written = 0
    with tqdm(total=len(work), desc="prepare", unit="volume", disable=None) as bar:
        for job, need in zip(work, needs.tolist(), strict=True):
            if room is not None and need > room:
                bar.update()
                yield Outcome(
                    job.number,
                    job.record_id,
                    reason=f"larger than memory: decoding it takes {in_words(need)}, {in_words(room)} are free; "
                    "prepare it on a machine with more, or cut it into parts",
                )
            elif room is not None and need * processes > room:
                alone.append(job)
            else:
                together.append(job)
        # One volume a call: each is worth it, and the processes end at about the same time.
        for part, many in ((together, jobs), (alone, 1)):
            apart = any(job.scanned.format in DECODED_APART for job in part)
            for (outcome,) in run_chunks(decode_all, part, jobs=many, chunk=1, instead=died, apart=apart):
                written += outcome.written
                if config.largest and written > config.largest * 1e9:
                    raise MedclError(
                        f"{folder.parent}: the store grows beyond the {config.largest:g} GB of data.largest: raise it, "
                        "prepare fewer volumes, a coarser data.spacing or data.foreground"
                    )
                bar.update()
                yield outcome


def _jobs(manifest: Manifest, config: VolumeConfig, folder: Path, strict: bool) -> list[Job]:
    n_channels, axis = _n_channels(manifest), slice_axis(config)
    masks = [
        (scanned_masks(manifest, name, strict=strict), len(masks.classes)) for name, masks in manifest.masks.items()
    ]
    names = ("record_id", "part", "modality", "dtype", "flags")
    jobs = []
    files = scanned(manifest, strict=strict)
    for row, (record_id, part, modality, dtype, flags) in enumerate(zip(*map(manifest.column, names), strict=True)):
        own = tuple(None if (mask := column[row]) is None else (mask, classes) for column, classes in masks)
        jobs.append(
            Job(
                record_id=str(record_id),
                scanned=files[row],
                part=max(0, int(part)),
                modality=str(modality),
                dtype=str(dtype),
                n_channels=n_channels,
                flags=tuple(flags or ()),
                masks=own,
                config=config,
                axis=axis,
                number=row,
                folder=folder,
            )
        )
    return jobs


def _n_channels(manifest: Manifest) -> int:
    """That most volumes have; of several as frequent the fewest."""
    counts = Counter(np.maximum(1, manifest.column("n_channels")).tolist())
    return int(max(counts, key=lambda channels: (counts[channels], -channels)))


def _bytes(manifest: Manifest, config: VolumeConfig) -> Any:
    """Uncompressed size of each volume in the store, about, (R,)."""
    shape = np.array([list(shape) for shape in manifest.column("shape")], dtype=np.float64)
    spacing = np.array([list(spacing) for spacing in manifest.column("spacing")], dtype=np.float64)
    if config.spacing is not None:
        wanted = np.array([np.nan if one is None else one for one in config.spacing])
        shape *= np.where(np.isnan(wanted), 1, spacing / wanted)
    return shape.prod(axis=1) * np.maximum(1, manifest.column("n_channels")) * _width(manifest)


def _memory(manifest: Manifest, config: VolumeConfig) -> Any:
    """Bytes of memory that decoding each volume takes, about, (R,): as stored and in RAS+, resampled in float32."""
    voxels = np.array([np.prod(shape, dtype=np.float64) for shape in manifest.column("shape")])
    whole = voxels * np.maximum(1, manifest.column("n_channels")) * _width(manifest) * 2
    resampling = _bytes(manifest, config) / _width(manifest) * 8 if config.spacing is not None else 0
    return (whole + resampling).astype(np.int64)


def _width(manifest: Manifest) -> Any:
    """Bytes of a number in the store, (R,)."""
    widths = {"uint8": 1, "int8": 2, "int16": 2, "uint16": 2}
    return np.array([widths.get(str(dtype), 4) for dtype in manifest.column("dtype")])
