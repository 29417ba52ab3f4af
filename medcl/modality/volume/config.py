"""What a patch of a volume is: importable without torch, so that the command line stays quick."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class VolumeConfig:
    """How volumes become patches: random 3-D crops, or 2-D slices.

    Args:
        size: of a patch in voxels, x, y, z; a slice has size 1 along one axis, such as [192, 192, 1], and then is a
            image of the other two. What lies outside of a smaller volume is 0 after scaling.
        spacing: in mm along x, y, z, to which volumes are resampled (linear; label maps nearest); None is each
            volume's own. A null entry keeps that axis.
        window: lowest and highest HU, which become 0 and 1; what lies outside is clipped. For CT.
        percentiles: of each volume's voxels, which become 0 and 1; nothing is clipped. Used where there is no window.
        foreground: whether volumes are cut to the box around what is not background (above Otsu's threshold), with a
            margin of 10 mm.
        irregular: what becomes of volumes whose slices do not lie on a regular, untilted grid: `quarantine`,
            `resample` onto one, their label maps with them, or `keep` as if they did.
        nan: what becomes of voxels that are not a number, such as those outside of a field of view: `refuse` leaves
            their volume out, `zero` and `minimum` (the lowest number of the volume, as air in a CT) fill them.
        largest: of the store, in GB, at most; 0 is no limit but the disk.
    """

    size: tuple[int, ...] = (64, 64, 64)
    spacing: tuple[float | None, ...] | None = None
    window: tuple[float, float] | None = None
    percentiles: tuple[float, float] = (1.0, 99.0)
    foreground: bool = False
    irregular: Literal["keep", "resample", "quarantine"] = "quarantine"
    nan: Literal["refuse", "zero", "minimum"] = "refuse"
    largest: float = 0.0
