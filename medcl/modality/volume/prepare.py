"""How volumes are decoded for the store: on their grid or another, cut to their foreground, with their label maps."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError, UsageError, reason
from medcl.modality.dicom import IRREGULAR
from medcl.modality.rows import Rows, Source
from medcl.modality.storing import Apart, DecodedRecord, LabelMap, Preparation
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.geometry import cropped, foreground_box, nearest, places, resampled, respaced
from medcl.modality.volume.original import read_labels, read_original
from medcl.modality.volume.record import Grid, Volume
from medcl.modality.volume.store import INDEX as INDEX
from medcl.modality.volume.store import VERSION, VolumeStore

if TYPE_CHECKING:
    from medcl.modality.dicom.stacks import Stack

T = TypeVar("T")
_CLASSES = 256
opened = VolumeStore.of
# Of cubes: a crop of 64^3 then decompresses about twice its voxels; what is decompressed at once fits a small buffer,
# which chunks of 64^3 do not.
_CUBES = Apart("file", chunk=(32, 32, 32), block=(16, 16, 32))
# Of slices, along their two axes, and slices that a chunk holds; a block holds one.
_WIDE_CHUNK, _WIDE_BLOCK, _THICK_CHUNK = 128, 64, 4


@dataclass(frozen=True)
class Settings:
    """What decoding a volume depends on beside its files.

    Args:
        config: of the patches.
        n_channels: that every volume of the store has.
    """

    config: VolumeConfig
    n_channels: int


def slice_axis(config: VolumeConfig) -> int | None:
    """The axis across which slices are cut, None where patches are three-dimensional.

    Raises:
        UsageError: the size of a patch is invalid.
    """
    size = tuple(config.size)
    thin = [axis for axis, voxels in enumerate(size) if voxels == 1]
    if len(size) != 3 or min(size) < 1 or len(thin) > 1:
        raise UsageError(
            f"data.size {list(size)}: three numbers of voxels, of which at most one is 1, the axis across which slices "
            "are cut, such as [192, 192, 1]"
        )
    return thin[0] if thin else None


def of_patch(values: Sequence[T], config: VolumeConfig) -> tuple[T, ...]:
    """Of one value an axis those of the axes that networks and views see: a slice has two."""
    across = slice_axis(config)
    return tuple(value for axis, value in enumerate(values) if axis != across)


def check_records(manifest: Rows, config: VolumeConfig) -> None:
    """Refuse settings that do not fit one another, or the volumes.

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


def preparation(manifest: Rows, config: VolumeConfig) -> Preparation:
    """See `Wing.preparation`. Of `size` only matters across which axis slices are cut, if any."""
    check_records(manifest, config)
    scale = ["window", *config.window] if config.window is not None else ["percentiles", *config.percentiles]
    spacing = None if config.spacing is None else list(config.spacing)
    classes = {name: masks.classes for name, masks in manifest.masks.items()}
    chosen, axis = [config.foreground, config.irregular, config.nan], slice_axis(config)
    n_channels = _n_channels(manifest)
    return Preparation(
        [VERSION, spacing, scale, *chosen, axis, {name: list(own) for name, own in classes.items()}],
        Settings(config, n_channels),
        layout_of(axis),
        n_bytes=_bytes(manifest, config),
        memory=_memory(manifest, config),
        further=_of_masks(manifest),
        about=lambda notes: _about(notes, n_channels, list(classes)),
        invalid=[_irregular(flags, config) for flags in manifest.column("flags")],
        masks=tuple(classes),
        largest=config.largest,
        remedy="take a coarser data.spacing or data.foreground",
    )


def layout_of(axis: int | None) -> Apart:
    """How volumes lie in a store.

    Args:
        axis: 0, 1 or 2 where slices across this axis are read, None where cubes are.
    """
    if axis is None:
        return _CUBES
    chunk, block = [_WIDE_CHUNK] * 3, [_WIDE_BLOCK] * 3
    chunk[axis], block[axis] = _THICK_CHUNK, 1
    return Apart(_CUBES.number, (chunk[0], chunk[1], chunk[2]), (block[0], block[1], block[2]))


def decode(source: Source, settings: Settings, masks: Sequence[LabelMap | None]) -> DecodedRecord:
    """See `Wing.decode`."""
    config = settings.config
    resample = config.irregular == "resample" and bool(_irregularities(source.row["flags"]))
    volume, slices = read_original(source, resample, config.nan)
    if len(volume.data) != settings.n_channels:
        raise UnreadableError(f"{len(volume.data)} channels, other volumes have {settings.n_channels}")
    data, start, stop, grid = _prepared(volume, config)
    low, high = _range(data, config)
    if source.row["dtype"] == "uint8" and data.dtype == np.int16 and data.min() >= 0 and data.max() <= 255:
        data = data.astype(np.uint8)
    arrays: dict[int | None, NDArray[Any]] = {None: data}
    reasons: dict[int, str] = {}
    at = places(grid, volume.grid)
    for number, mask in enumerate(masks):
        if mask is not None:
            try:
                arrays[number] = nearest(_labels(mask, volume.grid, slices), at)[None]
            except Exception as error:
                reasons[number] = reason(error)
    row = {
        "shape": list(grid.shape),
        "affine": grid.affine.ravel(),
        "original_shape": list(volume.grid.shape),
        "original_affine": volume.grid.affine.ravel(),
        "box_start": start,
        "box_stop": stop,
        "low": low,
        "high": high,
        "masks": [number in arrays for number in range(len(masks))],
    }
    notes = {"filled": volume.filled, "masks": reasons}
    return DecodedRecord(arrays, row, {name: note for name, note in notes.items() if note})


def _about(notes: Mapping[str, Mapping[str, Any]], n_channels: int, masks: list[str]) -> dict[str, Any]:
    reasons = {record: own["masks"] for record, own in notes.items() if "masks" in own}
    return {
        "n_channels": n_channels,
        "masks": masks,
        "filled": {record: own["filled"] for record, own in notes.items() if "filled" in own},
        "mask_quarantine": {
            name: {record: own[mask] for record, own in reasons.items() if mask in own}
            for mask, name in enumerate(masks)
        },
    }


def _irregularities(flags: Sequence[str] | None) -> list[str]:
    return [flag for flag in flags or () if flag.startswith(IRREGULAR)]


def _irregular(flags: Sequence[str] | None, config: VolumeConfig) -> str:
    found = _irregularities(flags) if config.irregular == "quarantine" else []
    remedy = "data.irregular=resample puts it on a regular grid, keep takes it as it is"
    return f"{'; '.join(found)}: {remedy}" if found else ""


def _of_masks(manifest: Rows) -> Iterator[bytes]:
    for name in manifest.masks:
        for path in manifest.column(name):
            yield f"\n{path}\0{_state(manifest.root / str(path)) if path is not None else ''}".encode()
        # A label map that had changed since the scan is looked at again after the next one.
        if manifest.has(f"{name}_scanned"):
            yield "\n".join(map(str, manifest.column(f"{name}_scanned"))).encode()


def _state(path: Path) -> str:
    try:
        about = path.stat()
    except OSError:
        return "missing"
    return f"{about.st_size} {about.st_mtime_ns}"


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


def _labels(mask: LabelMap, grid: Grid, slices: "Stack | None") -> NDArray[np.uint8]:
    if mask.invalid:
        raise UnreadableError(mask.invalid)
    labels = read_labels(mask.file, grid, slices)
    beyond = np.unique(labels[(labels < 0) | (labels >= mask.n_classes)])
    if len(beyond):
        listed = ", ".join(map(str, beyond[:8].tolist()))
        raise UnreadableError(f"labels {listed} are not among its {mask.n_classes} classes (0 to {mask.n_classes - 1})")
    return labels.astype(np.uint8)


def _n_channels(manifest: Rows) -> int:
    """That most volumes have; of several as frequent the fewest."""
    counts = Counter(np.maximum(1, manifest.column("n_channels")).tolist())
    return int(max(counts, key=lambda channels: (counts[channels], -channels)))


def _bytes(manifest: Rows, config: VolumeConfig) -> Any:
    """Uncompressed size of each volume in the store, about, (R,)."""
    shape = np.array([list(shape) for shape in manifest.column("shape")], dtype=np.float64)
    spacing = np.array([list(spacing) for spacing in manifest.column("spacing")], dtype=np.float64)
    if config.spacing is not None:
        wanted = np.array([np.nan if one is None else one for one in config.spacing])
        shape *= np.where(np.isnan(wanted), 1, spacing / wanted)
    return shape.prod(axis=1) * np.maximum(1, manifest.column("n_channels")) * _width(manifest)


def _memory(manifest: Rows, config: VolumeConfig) -> Any:
    """Bytes of memory that decoding each volume takes, about, (R,): as stored and in RAS+, resampled in float32."""
    voxels = np.array([np.prod(shape, dtype=np.float64) for shape in manifest.column("shape")])
    whole = voxels * np.maximum(1, manifest.column("n_channels")) * _width(manifest) * 2
    resampling = _bytes(manifest, config) / _width(manifest) * 8 if config.spacing is not None else 0
    return (whole + resampling).astype(np.int64)


def _width(manifest: Rows) -> Any:
    """Bytes of a number in the store, (R,)."""
    widths = {"uint8": 1, "int8": 2, "int16": 2, "uint16": 2}
    return np.array([widths.get(str(dtype), 4) for dtype in manifest.column("dtype")])
