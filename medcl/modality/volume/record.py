"""What a reader of volumes returns: voxels in RAS+, spacing in mm, the way back to the file; and what a scan keeps."""

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medcl.errors import UnreadableError, UsageError
from medcl.modality.dicom import ASIDE, IRREGULAR
from medcl.modality.spatial import MODALITIES as MODALITIES
from medcl.wording import counted, line, occurrences, unusual, usable_rows

Affine = NDArray[np.float64]
Nan = Literal["refuse", "zero", "minimum"]
"""What becomes of voxels that are not a number (NaN), such as those outside of a field of view: the volume is refused,
or they become 0 or the lowest number of the volume. Infinite voxels are always refused."""
_RAS = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])  # as nibabel has it: each axis stays, in its direction
SPACINGS = (1e-6, 1e5)
"""mm: from below a cell's organelle to beyond a body; what lies outside is in another unit or damaged."""


@dataclass(frozen=True)
class Grid:
    """The voxels of a file: how many along each of its axes, and where they lie.

    Args:
        shape: of the three spatial axes, as stored.
        affine: (4, 4), voxel index -> mm to the right, to the front, upwards.

    Raises:
        UnreadableError: an axis without voxels, a spacing of 0, axes that lie in one plane, or numbers that are none.
    """

    shape: tuple[int, int, int]
    affine: Affine

    def __post_init__(self) -> None:
        if self.affine.shape != (4, 4) or not np.isfinite(self.affine).all():
            raise UnreadableError("its geometry is not a finite 4 x 4 matrix")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise UnreadableError(f"an axis without voxels: shape {tuple(self.shape)}")
        if not (self.spacing > 0).all():
            raise UnreadableError("zero spacing: the voxels of an axis lie on one another")
        if self.spacing.min() < SPACINGS[0] or self.spacing.max() > SPACINGS[1]:
            raise UnreadableError(f"spacing of {self.spacing.min():g} to {self.spacing.max():g} mm: is the unit mm?")
        if abs(np.linalg.det(self.affine[:3, :3] / self.spacing)) < 1e-3:
            raise UnreadableError("its axes lie in one plane")

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Distance of neighbouring voxels along each axis, mm, (3,); with gantry tilt, along the sheared axis."""
        with np.errstate(over="ignore"):  # of a damaged file, which is then refused
            lengths: NDArray[np.float64] = np.linalg.norm(self.affine[:3, :3], axis=0)
        return lengths

    @property
    def orientation(self) -> str:
        """Where each axis leads, such as `LPS`; the nearest direction where the axes are oblique."""
        from nibabel import aff2axcodes

        return "".join(aff2axcodes(self.affine))

    def to_ras(self) -> "Grid":
        """The grid of the same voxels with axes in the order and direction of RAS+."""
        from nibabel.orientations import inv_ornt_aff, io_orientation

        turn = io_orientation(self.affine)
        shape = tuple(int(self.shape[int(axis)]) for axis in np.argsort(turn[:, 0]))
        return Grid((shape[0], shape[1], shape[2]), self.affine @ inv_ornt_aff(turn, self.shape))


@dataclass(frozen=True)
class VolumeHeader:
    """What a volume says of itself, without its voxels.

    Args:
        modality: `ct`, `mr`, `pt`, ...; `mr` where the format leaves it open and nobody says otherwise.
        format: `nifti`, `dicom`, `nrrd`, `metaimage` or `mgh`.
        grid: as stored.
        n_channels: values a voxel: time points, echoes; 1 as a rule.
        dtype: of the stored numbers, such as `int16`.
        unit: `HU` for CT, `stored` for MR.
        ids: clear ids that the header carries: patient, study, series. Never a name or a birth date.
        files: every file of the volume: of DICOM relative to the archive's root, else to the folder of the first.
        flags: what is unusual and was not changed, in words: `gantry tilt 13.6 degrees`, `missing slices: 2`.
    """

    modality: str
    format: str
    grid: Grid
    n_channels: int
    dtype: str
    unit: str
    ids: dict[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Volume:
    """Voxels in physical units on axes of RAS+.

    Args:
        data: (channels, x, y, z): x to the patient's right, y to the front, z upwards; HU for CT, for MR the
            intensity that the file states, its slope and intercept applied. int16 where the numbers are, else float32.
            Which axis runs fastest in memory is that of the file.
        grid: of `data`, in RAS+.
        stored: the grid of the file, for the way back.
        unit: of the numbers.
        filled: voxels that were not a number, and got the one that the caller asked for.

    Raises:
        UnreadableError: voxels that are not a number, or a shape that is not that of the grid.
    """

    data: NDArray[Any]
    grid: Grid
    stored: Grid
    unit: str
    filled: int = 0

    def __post_init__(self) -> None:
        if self.data.ndim != 4 or self.data.shape[1:] != self.grid.shape:
            raise UnreadableError(f"voxels {self.data.shape} do not fit a grid of {self.grid.shape}")
        finite(self.data)

    @classmethod
    def of(cls, stored_data: NDArray[Any], stored: Grid, unit: str, nan: Nan = "refuse") -> "Volume":
        """A volume from voxels (channels, i, j, k) on the axes of the file.

        Raises:
            UnreadableError: as `finite`.
        """
        from nibabel.orientations import apply_orientation, io_orientation, ornt_transform

        # Refused when the volume is made, so that its voxels are looked through once.
        stored_data, filled = (stored_data, 0) if nan == "refuse" else finite(stored_data, nan)
        turn = ornt_transform(io_orientation(stored.affine), _RAS)
        turned = np.moveaxis(apply_orientation(np.moveaxis(stored_data, 0, -1), turn), -1, 0)
        if any(stride < 0 for stride in turned.strides) or not turned.flags.writeable:
            turned = turned.copy(order="K")  # torch takes no flipped view, and a map of a file ends with the file
        return cls(turned, stored.to_ras(), stored, unit, filled)

    def as_stored(self, data: NDArray[Any]) -> NDArray[Any]:
        """Voxels (x, y, z) on the axes of this volume, such as a predicted mask, on those of its file, (i, j, k).

        Raises:
            UsageError: when the shape is another one.
        """
        from nibabel.orientations import apply_orientation, io_orientation, ornt_transform

        if data.shape != self.grid.shape:
            raise UsageError(f"a mask of shape {data.shape} does not fit the volume's {self.grid.shape}")
        turn = ornt_transform(_RAS, io_orientation(self.stored.affine))
        turned: NDArray[Any] = np.ascontiguousarray(apply_orientation(data, turn))
        return turned


def distance(one: Affine, other: Affine, shape: tuple[int, ...]) -> float:
    """How far the voxels of two grids of one shape lie apart at most, mm: at one of their corners."""
    corners = np.array(list(product(*((0, length - 1) for length in shape))), dtype=np.float64)
    apart = corners @ (one - other)[:3, :3].T + (one - other)[:3, 3]
    return float(np.linalg.norm(apart, axis=1).max())


def finite(data: NDArray[Any], nan: Nan = "refuse") -> tuple[NDArray[Any], int]:
    """Voxels of which each is a number.

    Returns:
        The same array where every voxel is a number, else a copy that is filled; and how many were filled.

    Raises:
        UnreadableError: infinite voxels, voxels that are not a number where these are refused, or no other ones.
    """
    if data.dtype.kind != "f" or np.isfinite(_sum(data)):
        return data, 0
    infinite = int(np.isinf(data).sum())
    if infinite:
        raise UnreadableError(
            f"{infinite} of {data.size} voxels are infinite: the file was computed or written wrongly"
        )
    missing = np.isnan(data)
    count = int(missing.sum())
    if not count:
        return data, 0
    if nan == "refuse":
        raise UnreadableError(
            f"{count} of {data.size} voxels are not a number (NaN): data.nan=zero or data.nan=minimum fills them"
        )
    if count == data.size:
        raise UnreadableError("every voxel is not a number (NaN)")
    return np.where(missing, data.dtype.type(0) if nan == "zero" else np.nanmin(data), data), count


def _sum(data: NDArray[Any]) -> Any:
    """Finite only where every number is; a fast first look, for it may also overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        return data.sum()


DAMAGED = ()
OWN_STUDY = True


def columns(header: "VolumeHeader") -> dict[str, Any]:
    """The columns of the manifest that a header fills.

    Returns:
        Modality, format, channels, shape and spacing (mm) along the axes of RAS+, orientation as stored, type of the
        numbers, flags.
    """
    turned = header.grid.to_ras()
    return {
        "modality": header.modality,
        "format": header.format,
        "n_channels": header.n_channels,
        "shape": list(turned.shape),
        # To a millionth of a mm: what lies behind is rounding of the direction cosines.
        "spacing": [round(float(length), 6) for length in turned.spacing],
        "orientation": header.grid.orientation,
        "dtype": header.dtype,
        "flags": list(header.flags),
        "part": 0,
    }


def summary(records: pa.Table) -> str | None:
    """See `WingScan.summary`: of usable volumes, and of localizers and derived images that are set aside."""
    if "shape" not in records.column_names:
        return None
    records = records.filter(records["shape"].is_valid())
    status = occurrences(records["status"])
    aside = {kind: status[kind] for kind in ASIDE if status[kind]}
    usable = usable_rows(records)
    if not len(usable) and not aside:
        return None
    # To a hundredth of a mm.
    spacings = Counter(" x ".join(f"{round(mm, 2):g}" for mm in one) + " mm" for one in usable["spacing"].to_pylist())
    shapes = Counter(" x ".join(map(str, one)) for one in usable["shape"].to_pylist())
    channels = occurrences(usable["n_channels"])
    flags = usable["flags"].to_pylist()
    irregular = sum(any(flag.startswith(IRREGULAR) for flag in own or ()) for own in flags)
    series, studies = (len(usable[level].unique()) for level in ("series", "study"))
    lines = [
        line("volumes", f"{len(usable)} of {series} series, {studies} studies"),
        line("voxels", counted(dict(shapes.most_common()), shown=3)),
        line("spacing", counted(dict(spacings.most_common()), shown=3)),
    ]
    if set(channels) - {1}:
        lines.append(line("channels", counted({str(number): n for number, n in channels.most_common()})))
    lines += unusual(dict(Counter(_kind(flag) for own in flags for flag in own or ()).most_common()), "volumes")
    if irregular:
        where = f"{irregular} of {len(usable)} volumes lie on no even, upright grid: `medcl prepare` leaves them out, "
        lines.append(line("irregular", where) + "unless --data.irregular is resample or keep")
    if aside:
        listed = ", ".join(f"{kind}: {number}" for kind, number in aside.items())
        lines.append(line("not used", f"{listed} (--images all uses them)"))
    return "\n".join(lines)


def _kind(flag: str) -> str:
    """A flag without its details: what stands behind the colon, and the angle of a gantry."""
    return re.sub(r" [\d.]+ degrees", "", flag.split(":")[0])
