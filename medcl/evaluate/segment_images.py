"""Images of a segmentation: the worst and the best test volume, and predicted label maps as NIfTI."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from medcl.embed.encoders import device
from medcl.evaluate.arms import Arm
from medcl.evaluate.cells import read
from medcl.evaluate.experiment import Fold, Planned
from medcl.evaluate.mirrored import mirrored
from medcl.evaluate.page_parts import SegmentImages, ShownVolume, scale_bar
from medcl.evaluate.segment_predict import HeldOut, predict
from medcl.evaluate.segmentation import MaskPlan, network_of
from medcl.evaluate.wording import arm_name
from medcl.show.images import data_uri, png
from medcl.wording import number

PALETTE = (
    *((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167), (0, 114, 178)),
    *((128, 62, 180), (170, 230, 120), (150, 80, 40), (255, 180, 190), (0, 90, 90)),
)
"""Okabe and Ito's colours, distinguishable to the colour-blind, then five more for label maps of many structures."""
OPACITY = 0.55
PLANES = ("sagittal", "coronal", "axial")
"""Across the axes of RAS+."""


def draw(plan: MaskPlan, fold: Fold, models: Sequence[Planned], folder: Path) -> SegmentImages:
    """Draw the worst and the best test volume, by the Dice of the first arm at the smallest fraction.

    Args:
        plan: of the experiment.
        fold: whose test volumes are drawn.
        models: finished; those of repeat 1 have their weights.
        folder: of the cells.
    """
    smallest = min(models, key=lambda one: len(one.subset.rows)).subset.label
    chosen = [one for one in models if one.repeat == 0 and one.subset.label == smallest]
    dice = {one.arm.name: read(folder, one.cell.key, ("dice",))["dice"].mean(axis=0) for one in chosen}
    held_out = _held_out(plan, fold, chosen[0].arm)
    patches, rows = held_out.patches, []
    order, axis = np.argsort(dice[chosen[0].arm.name], kind="stable"), patches.across
    networks = [(one.arm, network) for one, network in _networks(plan, chosen, folder)]
    for title, volume in (("Worst", int(order[0])), ("Best", int(order[-1]))):
        truth: NDArray[np.uint8] = patches.labels(volume).numpy()
        # The slice in which most of the structures is to be seen.
        place = int(np.argmax((truth > 0).sum(axis=tuple(i for i in range(3) if i != axis))))
        ground = _grey(patches.volume(volume)[0].numpy().take(place, axis))
        shown = {"image": ground, "truth": _overlay(ground, np.take(truth, place, axis))}
        for arm, network in networks:
            own = _held_out(plan, fold, arm).patches
            labels = predict(network.to(device()), own, volume, plan.config.segment.overlap, device())
            caption = f"{arm_name('finetune', arm.info)}, Dice {number(float(dice[arm.name][volume]), digits=2)}"
            shown[caption] = _overlay(ground, np.take(labels, place, axis))
        sides = np.delete(patches.store.spacing[patches.records[volume]], axis)
        record = held_out.manifest.column("record_id")[held_out.rows[volume]]
        about = f"{record}, {PLANES[axis]} slice {place + 1} of {truth.shape[axis]}"
        panels = tuple((caption, _png(one, sides)) for caption, one in shown.items())
        bar, share = scale_bar(float(ground.shape[0] * sides[0]))
        rows.append(ShownVolume(title, panels, about, ("A", "P") if axis == 0 else ("R", "L"), bar, share))
    names = plan.masks.classes[1:]
    return SegmentImages(tuple(rows), tuple((name, f"rgb{_colour(k)}") for k, name in enumerate(names)))


def _held_out(plan: MaskPlan, fold: Fold, arm: Arm) -> HeldOut:
    return HeldOut(arm.store, plan.manifest, fold.test, plan.masks, arm.data)


def _networks(plan: MaskPlan, models: Sequence[Planned], folder: Path) -> Iterator[tuple[Planned, nn.Module]]:
    """The networks of repeat 1 with their finished weights."""
    for one in models:
        if one.repeat == 0:
            state = read(folder, one.cell.key)
            network = network_of(one.arm, len(plan.masks.classes), one.repeat, one.seed, state)
            yield one, mirrored(network, plan.config.segment.mirror)


def save_masks(plan: MaskPlan, fold: Fold, models: Sequence[Planned], folder: Path, output: Path) -> None:
    """Write the predictions of repeat 1: OUTPUT/ARM/LABELS/RECORD.nii.gz."""
    for one, network in _networks(plan, models, folder):
        where = output / one.arm.name / one.subset.label.replace("%", " percent")
        _held_out(plan, fold, one.arm).write(network, plan.config.segment.overlap, device(), where)


def _colour(structure: int) -> tuple[int, int, int]:
    return PALETTE[structure % len(PALETTE)]


def _grey(plane: NDArray[np.float32]) -> NDArray[np.float64]:
    """A slice scaled to [0, 1], as (a, b, 3) of 0 to 255."""
    return np.repeat(255.0 * np.clip(plane, 0, 1)[:, :, None], 3, axis=2)


def _overlay(ground: NDArray[np.float64], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """A slice with its structures in colour."""
    colours = np.array([(0, 0, 0), *(_colour(k) for k in range(int(labels.max(initial=0))))], dtype=np.float64)
    mixed = (1 - OPACITY) * ground + OPACITY * colours[labels]
    return np.where((labels > 0)[:, :, None], mixed, ground)


def _png(plane: NDArray[np.float64], spacing: NDArray[np.float64]) -> str:
    """A slice as a data URI: right or front of the patient at the left, front or head upwards, voxels to scale."""
    upright = plane.transpose(1, 0, 2)[::-1, ::-1].astype(np.uint8)
    return data_uri(png(upright, spacing=(float(spacing[1]), float(spacing[0])), smooth=False))
