"""Dice and the 95% Hausdorff distance of a label map of CT size, compared with monai."""

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance
from scipy.ndimage import gaussian_filter

from medcl.stats.label_maps import dice, hausdorff95

pytestmark = pytest.mark.benchmark

CLASSES, SHAPE, SPACING = 6, (160, 160, 80), (1.0, 1.0, 2.5)


def label_map(seed: int) -> np.ndarray:
    smooth = gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 12)
    edges = np.quantile(smooth, [0.7, 0.76, 0.82, 0.88, 0.94])
    return np.digitize(smooth, edges).astype(np.uint8)


def one_hot(labels: np.ndarray) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.from_numpy(labels).long(), CLASSES).movedim(-1, 0)[None].float()


def seconds(function: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def test_dice_and_hausdorff_are_faster_than_monais() -> None:
    truth, predicted = label_map(0), np.roll(label_map(0), 2, axis=0)
    ours = dice(truth, predicted, CLASSES), hausdorff95(truth, predicted, CLASSES, SPACING)

    def monai_dice() -> torch.Tensor:
        return compute_dice(one_hot(predicted), one_hot(truth), include_background=False)

    def monai_hausdorff() -> torch.Tensor:
        return compute_hausdorff_distance(
            one_hot(predicted), one_hot(truth), include_background=False, percentile=95, spacing=SPACING
        )

    np.testing.assert_allclose(ours[0], monai_dice()[0], rtol=1e-5)
    np.testing.assert_allclose(ours[1], monai_hausdorff()[0], rtol=1e-5)
    ratios = {
        "Dice": seconds(monai_dice) / seconds(lambda: dice(truth, predicted, CLASSES)),
        "95% Hausdorff": seconds(monai_hausdorff) / seconds(lambda: hausdorff95(truth, predicted, CLASSES, SPACING)),
    }
    print("\n" + ", ".join(f"{name} {ratio:.1f} x as fast as monai" for name, ratio in ratios.items()))
    assert min(ratios.values()) > 1
