"""How evenly the slices of a stack lie behind one another."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medcl.modality.dicom.slice import Slice

SAME_PLACE = 0.01  # mm
EVEN = 0.02
"""Of the spacing: how far slices may be off their even places."""
_UPRIGHT = 0.5  # degrees
IRREGULAR = ("gantry tilt", "missing slices", "uneven spacing", "shifted slices")
"""How the flags begin of volumes whose slices do not lie on a regular, untilted grid."""


def spacing_flags(slices: Sequence[Slice]) -> tuple[str, ...]:
    """What is unusual about the places of slices that are sorted along their normal, in words."""
    if len(slices) == 1:
        return ("single slice: its extent along the normal is not stated, 1 mm is assumed",)
    along, places = along_normal(slices), places_of(slices)
    gaps = np.diff(along)
    flags: tuple[str, ...] = ()
    path = places[-1] - places[0]
    tilt = float(np.degrees(np.arccos(np.clip((along[-1] - along[0]) / np.linalg.norm(path), -1, 1))))
    if tilt > _UPRIGHT:
        flags += (f"gantry tilt {tilt:.1f} degrees",)
    line = np.linspace(0, 1, len(places))[:, None] * path + places[0]
    off = float(np.linalg.norm(places - line, axis=1).max())
    typical, multiples, tolerance = _typical(gaps)
    if np.abs(gaps - typical).max() <= tolerance:
        return (*flags, f"shifted slices: up to {off:.1f} mm off the grid") if off > max(0.1, tolerance) else flags
    if np.abs(gaps - multiples * typical).max() <= tolerance:
        return (*flags, f"missing slices: {int(multiples.sum()) - len(gaps)}, others up to {off:.1f} mm off the grid")
    return (*flags, f"uneven spacing: {gaps.min():.2f} to {gaps.max():.2f} mm, up to {off:.1f} mm off the grid")


def step_of(slices: Sequence[Slice]) -> float:
    """Median distance of neighbouring slices along their normal, mm.

    Where every gap is a multiple of it, it is taken so that the last slice lies a whole number of steps behind the
    first: positions are often rounded to tenths of a millimetre, which adds up.
    """
    gaps = np.diff(along_normal(slices))
    typical, multiples, tolerance = _typical(gaps)
    if np.abs(gaps - multiples * typical).max() <= tolerance:
        return float(gaps.sum() / multiples.sum())
    return typical


def _typical(gaps: NDArray[np.float64]) -> tuple[float, NDArray[np.float64], float]:
    """The median gap, how many of it each gap is, and how far a gap may be off that."""
    typical = float(np.median(gaps))
    return typical, np.maximum(np.round(gaps / typical), 1), max(SAME_PLACE, EVEN * typical)


def places_of(slices: Sequence[Slice]) -> NDArray[np.float64]:
    """Positions, (slices, 3), mm, LPS."""
    return np.array([one.position for one in slices], dtype=np.float64)


def along_normal(slices: Sequence[Slice]) -> NDArray[np.float64]:
    """Positions along the normal of the first slice, (slices,), mm."""
    row, column = np.reshape(slices[0].orientation or (0.0,) * 6, (2, 3))
    along: NDArray[np.float64] = places_of(slices) @ np.cross(row, column)
    return along
