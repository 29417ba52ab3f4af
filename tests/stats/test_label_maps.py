"""Dice and the 95% Hausdorff distance against what their definitions say, voxel by voxel."""

import numpy as np
import pytest

from medcl.errors import MedclError
from medcl.stats.label_maps import dice, hausdorff95

SPACING = (0.7, 1.0, 2.5)


def slow_surface(inside: np.ndarray) -> list[tuple[int, ...]]:
    steps = [(axis, step) for axis in range(3) for step in (-1, 1)]
    found = []
    for at in zip(*np.nonzero(inside), strict=True):
        for axis, step in steps:
            beside = list(at)
            beside[axis] += step
            outside = not 0 <= beside[axis] < inside.shape[axis]
            if outside or not inside[tuple(beside)]:
                found.append(at)
                break
    return found


def slow_hausdorff(first: np.ndarray, second: np.ndarray) -> float:
    surfaces = [np.array(slow_surface(one)) * SPACING for one in (first, second)]
    between = np.linalg.norm(surfaces[0][:, None] - surfaces[1][None], axis=-1)
    return max(np.percentile(between.min(axis=1), 95), np.percentile(between.min(axis=0), 95))


def maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*map(np.arange, (9, 8, 7)), indexing="ij"), axis=-1)
    made = []
    for _ in range(2):
        labels = np.zeros((9, 8, 7), dtype=np.uint8)
        for k in (1, 2):
            centre, radius = rng.uniform(2, 3, 3) + 2 * (k - 1), rng.uniform(1.2, 1.8)
            labels[np.linalg.norm(grid - centre, axis=-1) < radius] = k
        made.append(labels)
    return made[0], made[1]


@pytest.mark.parametrize("seed", range(8))
def test_both_are_what_their_definitions_say(seed: int) -> None:
    truth, prediction = maps(seed)
    for k in (1, 2):
        a, b = truth == k, prediction == k
        assert dice(truth, prediction, 3)[k - 1] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
        assert hausdorff95(truth, prediction, 3, SPACING)[k - 1] == pytest.approx(slow_hausdorff(a, b))


def test_the_same_as_monai() -> None:
    import torch
    from monai.metrics import compute_hausdorff_distance

    truth, prediction = maps(1)
    hot = [torch.from_numpy(np.stack([one == k for k in (1, 2)])[None]).float() for one in (prediction, truth)]
    expected = compute_hausdorff_distance(*hot, include_background=True, percentile=95, spacing=SPACING)
    np.testing.assert_allclose(hausdorff95(truth, prediction, 3, SPACING), expected[0], rtol=1e-5)


def test_a_structure_in_neither_map_is_right_and_one_in_a_single_map_has_no_distance() -> None:
    truth, prediction = np.zeros((4, 4, 4), dtype=np.int16), np.zeros((4, 4, 4), dtype=np.uint8)
    truth[1:3, 1:3, 1:3] = 1
    np.testing.assert_array_equal(dice(truth, prediction, 3), [0, 1])
    np.testing.assert_array_equal(hausdorff95(truth, prediction, 3, SPACING), [np.nan, 0])
    np.testing.assert_array_equal(hausdorff95(prediction, truth, 3, SPACING), [np.nan, 0])


def test_a_few_voxels_far_away_change_nothing_but_the_distance() -> None:
    """They make the box around both maps much larger than the surfaces in it."""
    truth, prediction = maps(2)
    large = [np.pad(one, ((0, 20), (20, 0), (10, 10))) for one in (truth, prediction)]
    large[1][-1, 0, -1] = 1
    expected = slow_hausdorff(large[0] == 1, large[1] == 1)
    assert hausdorff95(large[0], large[1], 3, SPACING)[0] == pytest.approx(expected)


def test_scattered_voxels_and_equal_maps_in_either_way_of_looking_for_the_nearest() -> None:
    """Scattered voxels are all surface: many of them make a distance transform quicker, few a tree of points."""
    rng = np.random.default_rng(0)
    for share in (0.02, 0.4):
        truth, prediction = ((rng.random((12, 11, 10)) < share).astype(np.uint8) for _ in range(2))
        expected = slow_hausdorff(truth == 1, prediction == 1)
        assert hausdorff95(truth, prediction, 2, SPACING)[0] == pytest.approx(expected, abs=1e-9)
        assert hausdorff95(truth, truth, 2, SPACING)[0] == 0


def test_a_shift_by_one_voxel_is_as_far_as_the_voxel_is_long() -> None:
    truth = np.zeros((9, 9, 9), dtype=np.uint8)
    truth[2:5, 2:5, 2:5] = 1
    for axis, mm in enumerate(SPACING):
        assert hausdorff95(truth, np.roll(truth, 1, axis), 2, SPACING) == pytest.approx(mm)


def test_maps_that_cannot_be_compared_are_refused() -> None:
    truth = np.zeros((3, 3, 3), dtype=np.uint8)
    with pytest.raises(MedclError, match=r"\(3, 3, 2\)"):
        dice(truth, truth[..., :2], 2)
    with pytest.raises(MedclError, match="0 to 1"):
        hausdorff95(truth, truth + 2, 2, SPACING)
