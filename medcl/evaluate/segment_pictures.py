"""Slices of the worst and the best test volume: image, truth, prediction of both networks, as pictures in the page.

The volumes are those of the first repeat at the smallest fraction, ranked by the mean Dice from pretrained weights.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medcl.evaluate.segment_drawings import Pictures, Row
from medcl.evaluate.segment_experiment import INITS, Setting, Work, device, kept
from medcl.evaluate.segment_predict import predict
from medcl.evaluate.segment_results import Cell
from medcl.evaluate.segment_summary import PROTOCOL
from medcl.evaluate.wording import init_name
from medcl.show.images import data_uri, png
from medcl.show.wording import number

PALETTE = (
    *((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167), (0, 114, 178)),
    *((128, 62, 180), (170, 230, 120), (150, 80, 40), (255, 180, 190), (0, 90, 90)),
)
"""Okabe and Ito's colours, which the colour-blind tell apart, then five more for label maps of many structures."""
OPACITY = 0.55


def draw(setting: Setting, work: Sequence[Work], cells: Sequence[Cell]) -> Pictures:
    """Draw the worst and the best test volume.

    Args:
        setting: what was evaluated.
        work: of all networks.
        cells: their numbers, in the same order.

    Returns:
        The pictures; none where the weights of the networks cannot be had any more.
    """
    smallest = min(work, key=lambda one: len(one.subset.rows)).subset.label
    chosen = [one for one in work if one.repeat == 0 and one.subset.label == smallest]
    networks = {one.init: network.to(device()) for one, network in kept(setting, chosen)}
    if len(networks) < 2:
        return Pictures()
    dice = {
        cell.init: np.mean(list(cell.dice.values()), axis=0)
        for one, cell in zip(work, cells, strict=True)
        if one.repeat == 0 and one.subset.label == smallest
    }
    patches, rows = setting.held_out.patches, []
    order, axis = np.argsort(dice["pretrained"], kind="stable"), patches.across
    for title, volume in (("Worst", int(order[0])), ("Best", int(order[-1]))):
        truth: NDArray[np.uint8] = patches.labels(volume).numpy()
        # The slice in which most of the structures is to be seen.
        place = int(np.argmax((truth > 0).sum(axis=tuple(i for i in range(3) if i != axis))))
        ground = _grey(patches.volume(volume)[0].numpy().take(place, axis))
        shown = {"image": ground, "truth": _overlay(ground, np.take(truth, place, axis))}
        for init in INITS:
            labels = predict(networks[init], patches, volume, setting.config.segment.overlap, device())
            caption = f"{init_name(PROTOCOL, init)}, Dice {number(float(dice[init][volume]), digits=2)}"
            shown[caption] = _overlay(ground, np.take(labels, place, axis))
        sides = np.delete(patches.store.spacing[patches.records[volume]], axis)
        rows.append(Row(title, tuple((caption, _png(one, sides)) for caption, one in shown.items())))
    names = setting.masks.classes[1:]
    return Pictures(tuple(rows), tuple((name, f"rgb{_colour(k)}") for k, name in enumerate(names)))


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
    """A slice as a data URI: its first axis to the right, its second upwards, its voxels as long as they are."""
    upright = plane.transpose(1, 0, 2)[::-1].astype(np.uint8)
    return data_uri(png(upright, spacing=(float(spacing[1]), float(spacing[0])), smooth=False))
