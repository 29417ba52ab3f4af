"""From the slices of a DICOM series to stacks: slices that lie behind one another, and how evenly they do."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError, UsageError
from medcl.modality.dicom.header import CONTRAST_TERMS
from medcl.modality.dicom.slice import Slice

SAME_PLACE = 0.01  # mm
EVEN = 0.02
"""Of the spacing: how far slices may be off their even places."""
_UPRIGHT = 0.5  # degrees


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


_SAME_SHAPE = 1e-3  # of directions, and of pixel spacings relative to one another


@dataclass(frozen=True)
class Stack:
    """Slices of one orientation, size and contrast, one behind the other along their normal.

    Args:
        slices: in the order of their places along the normal (row direction x column direction).
        flags: what is unusual and was not changed, in words.
    """

    slices: tuple[Slice, ...]
    flags: tuple[str, ...]


@dataclass(frozen=True)
class SeriesRecord:
    """A record that slices of a DICOM series make up.

    Args:
        slices: of the record, and what is unusual about them.
        header: of the record, as its wing has it.
        frame: its number in the file, of a record that is one frame; None of one that is all of the slices together.
    """

    slices: Stack
    header: Any
    frame: int | None = None


def stacks_of(slices: Sequence[Slice]) -> tuple[Stack, ...]:
    """Divide a series into stacks and sort each by place, never by number or slice thickness.

    Returns:
        The stacks, those of most slices first, whether or not their geometry can be used.

    Raises:
        UsageError: slices of several series, or none.
        UnreadableError: a series with several patients.
    """
    if len({one.series for one in slices}) != 1:
        raise UsageError("give the slices of one series: group them by `series` first")
    patients = len({one.patient for one in slices})
    if patients > 1:
        raise UnreadableError(f"{patients} patients in one series: it cannot be told whose volume it is")
    kinds: dict[tuple[object, ...], list[Slice]] = defaultdict(list)
    for one in sorted(slices, key=lambda one: (one.acquisition, one.instance, one.file, one.frame)):
        kinds[_kind(one)].append(one)
    groups = [group for kind in kinds.values() for group in _alike(kind)]
    several = (f"series of {len(groups)} stacks: orientation, size or contrast differ",) if len(groups) > 1 else ()
    stacks = [stack for group in groups for stack in _stacks_of_kind(group, several)]
    return tuple(sorted(stacks, key=lambda stack: -len(stack.slices)))


def _kind(one: Slice) -> tuple[object, ...]:
    """What slices of a stack have in common exactly."""
    contrasts = frozenset(one.image_type[2:]) & CONTRAST_TERMS
    derived = "DERIVED" in one.image_type[:1]
    shown = (one.modality, one.photometric, derived, "LOCALIZER" in one.image_type, contrasts)
    echo = None if one.echo is None else round(one.echo, 2)
    return (one.rows, one.columns, one.frame_of_reference, echo, one.b_value, one.temporal_position, *shown)


def _alike(slices: Iterable[Slice]) -> list[list[Slice]]:
    """Groups of one orientation and pixel spacing, but for rounding."""
    groups: list[list[Slice]] = []
    for one in slices:
        for group in groups:
            if _close(one.orientation, group[0].orientation) and _close(one.pixel_spacing, group[0].pixel_spacing):
                group.append(one)
                break
        else:
            groups.append([one])
    return groups


def _close(one: tuple[float, ...] | None, other: tuple[float, ...] | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(abs(a - b) <= _SAME_SHAPE * max(1.0, abs(b)) for a, b in zip(one, other, strict=True))


def _stacks_of_kind(slices: list[Slice], flags: tuple[str, ...]) -> list[Stack]:
    kept = list(
        {(one.sop or one.file, one.frame, one.position, one.instance): one for one in reversed(slices)}.values()
    )
    if len(kept) < len(slices):
        flags += (f"duplicate SOP instances: {len(slices) - len(kept)} left out",)
    if len({(one.sop or one.file, one.frame) for one in kept}) < len(kept):
        flags += ("one SOP instance UID for different slices",)
    kept.reverse()
    first = kept[0]
    flags += tuple(
        words
        for words, holds in (
            ("localizer", "LOCALIZER" in first.image_type),
            ("derived image", "DERIVED" in first.image_type[:1]),
            ("burned-in annotation", any(one.burned_in for one in kept)),
        )
        if holds
    )
    placed = [one for one in kept if one.position is not None and one.orientation is not None]
    stacks = [] if len(placed) == len(kept) else [Stack(tuple(one for one in kept if one not in placed), flags)]
    if not placed:
        return stacks
    order = np.argsort(along_normal(placed), kind="stable")
    places = along_normal(placed)[order]
    # The k-th slice at a place, in the order of acquisition, belongs to the k-th stack.
    layers: list[list[Slice]] = []
    for together in np.split(order, np.flatnonzero(np.diff(places) > SAME_PLACE) + 1):
        layers += [[] for _ in range(len(together) - len(layers))]
        for layer, index in zip(layers, sorted(together), strict=False):
            layer.append(placed[index])
    for number, members in enumerate(layers, 1):
        repeated = (f"repeated positions: stack {number} of {len(layers)}",) if len(layers) > 1 else ()
        stacks.append(Stack(tuple(members), flags + repeated + spacing_flags(members)))
    return stacks
