"""From the slices of a DICOM series to stacks: slices that lie behind one another, and the grid of their voxels."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from medcl.errors import UnreadableError, UsageError
from medcl.modality.dicom.claims import CONTRAST_TERMS
from medcl.modality.dicom.slice import Slice
from medcl.modality.volume.formats.dicom_spacing import SAME_PLACE, along_normal, places_of, spacing_flags
from medcl.modality.volume.record import Grid

_SAME_SHAPE = 1e-3  # of directions, and of pixel spacings relative to one another
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Stack:
    """Slices of one orientation, size and contrast, one behind the other along their normal.

    Args:
        slices: in the order of their places along the normal (row direction x column direction).
        flags: what is unusual and was not changed, in words.
    """

    slices: tuple[Slice, ...]
    flags: tuple[str, ...]

    @property
    def grid(self) -> Grid:
        """Where the voxels (column, row, slice) lie: the first and the last slice are where the file says.

        Gantry tilt is a shear: the third axis leads from slice to slice, not along the normal. Slices in between that
        are not evenly spaced are off this grid by what a flag of the stack says.

        Raises:
            UnreadableError: no position, orientation or pixel spacing, a mosaic, or what `Grid` refuses.
        """
        first = self.slices[0]
        if "MOSAIC" in first.image_type:
            raise UnreadableError("a mosaic: several slices in one picture; convert it with dcm2niix")
        if first.position is None or first.orientation is None or first.pixel_spacing is None:
            raise UnreadableError("no position, orientation or pixel spacing: not slices of a volume")
        row, column = np.reshape(first.orientation, (2, 3))
        if abs(np.linalg.norm(row) - 1) > 0.01 or abs(np.linalg.norm(column) - 1) > 0.01 or abs(row @ column) > 0.01:
            raise UnreadableError("damaged header: its orientation is not two perpendicular directions of length 1")
        if min(first.pixel_spacing) < 0:
            raise UnreadableError("damaged header: a negative pixel spacing, which would mirror the picture")
        places = places_of(self.slices)
        # The extent of a lone slice along its normal is not stated: its thickness is no spacing.
        step = (places[-1] - places[0]) / (len(places) - 1) if len(places) > 1 else np.cross(row, column)
        affine = np.eye(4)
        affine[:3, :3] = np.stack([row * first.pixel_spacing[1], column * first.pixel_spacing[0], step], axis=1)
        affine[:3, 3] = places[0]
        affine[:3] = _LPS_TO_RAS @ affine[:3]
        return Grid((first.columns, first.rows, len(self.slices)), affine)


def stacks_of(slices: Sequence[Slice]) -> tuple[Stack, ...]:
    """Divide a series into stacks and sort each by place, never by number or slice thickness.

    Args:
        slices: of one series, in any order.

    Returns:
        The stacks, those of most slices first. A stack whose geometry cannot be used is among them: its `grid` raises.

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
