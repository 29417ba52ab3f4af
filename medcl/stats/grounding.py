"""How well a map of an image shows where a phrase is true, given the region in which it is."""

import math

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UsageError
from medcl.stats.ranking import Bools, Floats, Ranks

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Of a map that is scaled from 0 to 1, at which its overlap with the region is taken."""
METRICS = ("pointing", "cnr", "pixel_auroc", "miou", "iou_both")


def grounded(heat: NDArray[np.floating], region: Bools) -> dict[str, float]:
    """Metrics of a map (rows, columns) against the region (rows, columns) that a phrase speaks of.

    `pointing`: whether the highest value lies in the region; of several highest ones their share. `cnr`: contrast to
    noise, (mean inside - mean outside) / sqrt(variance inside + variance outside), with its sign; BioViL takes its
    absolute value. `pixel_auroc`: of pixels inside against those outside. `miou`: mean intersection over union at the
    `THRESHOLDS` of the map scaled from 0 to 1. `iou_both`: mean of the intersection over union of the region and that
    of the rest, at the threshold that divides the map's values best in two (Otsu 1979). Two different numbers are
    called mIoU in publications on phrase grounding, which are the last two, the latter with two Gaussians in the place
    of Otsu's threshold.

    A constant map shows nothing: its `cnr` is 0 and its `pixel_auroc` 0.5, and it overlaps nothing.

    Raises:
        UsageError: the shapes differ, or the region is empty or the whole image.
    """
    if heat.shape != region.shape or heat.ndim != 2:
        raise UsageError(f"a map and a region of one shape (rows, columns), got {heat.shape} and {region.shape}")
    if not region.any() or region.all():
        raise UsageError("a region that is empty, or the whole image, cannot be pointed at")
    values = heat.astype(np.float64)
    low, high = values.min(), values.max()
    scaled = (values - low) / (high - low) if high > low else np.zeros_like(values)
    highest = values == high
    inside, outside = values[region], values[~region]
    noise = math.sqrt(_variance(inside) + _variance(outside))
    contrast = inside.mean() - outside.mean()
    at = [_iou(scaled >= one, region) if high > low else 0.0 for one in THRESHOLDS]
    split = scaled > _otsu(scaled) if high > low else np.zeros_like(region)
    return {
        "pointing": float((highest & region).sum() / highest.sum()),
        "cnr": contrast / noise if noise else math.copysign(math.inf, contrast) if contrast else 0.0,
        "pixel_auroc": float(Ranks.of(region.ravel(), values.ravel()).auroc()[0]),
        "miou": float(np.mean(at)),
        "iou_both": (_iou(split, region) + _iou(~split, ~region)) / 2,
    }


def by_chance(share: float) -> dict[str, float]:
    """What a map of independent uniform noise reaches, of a region that takes a share of the image."""

    def overlap(shown: float, of: float) -> float:
        return shown * of / (shown + of - shown * of)

    return {
        "pointing": share,
        "cnr": 0.0,
        "pixel_auroc": 0.5,
        "miou": float(np.mean([overlap(1 - one, share) for one in THRESHOLDS])),
        "iou_both": (overlap(0.5, share) + overlap(0.5, 1 - share)) / 2,
    }


def _variance(values: Floats) -> float:
    return float(values.var(ddof=1)) if len(values) > 1 else 0.0


def _iou(shown: Bools, region: Bools) -> float:
    return float((shown & region).sum() / (shown | region).sum())


def _otsu(scaled: Floats) -> float:
    """The threshold by which the two parts of values from 0 to 1 differ most in their means."""
    counts, edges = np.histogram(scaled, bins=256, range=(0, 1))
    centres, below = (edges[:-1] + edges[1:]) / 2, np.cumsum(counts)
    above, sums = below[-1] - below, np.cumsum(counts * centres)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1 + int(np.nanargmax(between))])
