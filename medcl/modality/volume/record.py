"""What a reader of volumes returns: a header, voxels in RAS+ with spacing in mm, and the way back to the file."""

from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray

from medcl.errors import UnreadableError, UsageError

Affine = NDArray[np.float64]
Nan = Literal["refuse", "zero", "minimum"]
"""What becomes of voxels that are not a number (NaN), such as those outside of a field of view: the volume is refused,
or they become 0 or the lowest number of the volume. Infinite voxels are always refused."""
RAS = axcodes2ornt("RAS")
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
        return "".join(nib.aff2axcodes(self.affine))

    def to_ras(self) -> "Grid":
        """The grid of the same voxels with axes in the order and direction of RAS+."""
        turn = io_orientation(self.affine)
        shape = tuple(int(self.shape[int(axis)]) for axis in np.argsort(turn[:, 0]))
        return Grid((shape[0], shape[1], shape[2]), self.affine @ nib.orientations.inv_ornt_aff(turn, self.shape))


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
        # Refused when the volume is made, so that its voxels are looked through once.
        stored_data, filled = (stored_data, 0) if nan == "refuse" else finite(stored_data, nan)
        turn = ornt_transform(io_orientation(stored.affine), RAS)
        turned = np.moveaxis(apply_orientation(np.moveaxis(stored_data, 0, -1), turn), -1, 0)
        if any(stride < 0 for stride in turned.strides) or not turned.flags.writeable:
            turned = turned.copy(order="K")  # torch takes no flipped view, and a map of a file ends with the file
        return cls(turned, stored.to_ras(), stored, unit, filled)

    def as_stored(self, data: NDArray[Any]) -> NDArray[Any]:
        """Voxels (x, y, z) on the axes of this volume, such as a predicted mask, on those of its file, (i, j, k).

        Raises:
            UsageError: when the shape is another one.
        """
        if data.shape != self.grid.shape:
            raise UsageError(f"a mask of shape {data.shape} does not fit the volume's {self.grid.shape}")
        turn = ornt_transform(RAS, io_orientation(self.stored.affine))
        turned: NDArray[Any] = np.ascontiguousarray(apply_orientation(data, turn))
        return turned


def distance(one: Affine, other: Affine, shape: tuple[int, ...]) -> float:
    """How far the voxels of two grids of one shape lie apart at most, mm: at one of their corners."""
    corners = np.array(list(product(*((0, length - 1) for length in shape))), dtype=np.float64)
    apart = corners @ (one - other)[:3, :3].T + (one - other)[:3, 3]
    return float(np.linalg.norm(apart, axis=1).max())


def finite(data: NDArray[Any], nan: Nan = "refuse") -> tuple[NDArray[Any], int]:
    """Voxels of which each is a number.

    Args:
        data: of any shape.
        nan: what becomes of those that are none.

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
