"""Metrics of maps: known values of maps that are right, wrong or empty, and a slow computation of every pair."""

import math

import numpy as np
import pytest

from medcl.errors import UsageError
from medcl.stats.grounding import METRICS, THRESHOLDS, by_chance, grounded

REGION = np.zeros((6, 8), dtype=bool)
REGION[1:3, 2:6] = True


def test_a_map_of_the_region_is_perfect_and_its_opposite_is_not() -> None:
    right, wrong = grounded(REGION.astype(float), REGION), grounded(1.0 - REGION, REGION)
    assert (right["pointing"], right["pixel_auroc"], right["miou"], right["iou_both"]) == (1, 1, 1, 1)
    assert right["cnr"] == math.inf
    assert (wrong["pointing"], wrong["pixel_auroc"], wrong["miou"], wrong["iou_both"]) == (0, 0, 0, 0)
    assert wrong["cnr"] == -math.inf


def test_a_constant_map_shows_nothing() -> None:
    found = grounded(np.full(REGION.shape, 0.3), REGION)
    assert (found["cnr"], found["pixel_auroc"], found["miou"]) == (0, 0.5, 0)
    assert found["pointing"] == pytest.approx(REGION.mean())


def test_numbers_are_those_of_loops() -> None:
    heat = np.random.default_rng(0).normal(size=REGION.shape) + REGION
    found = grounded(heat, REGION)
    inside, outside = heat[REGION].tolist(), heat[~REGION].tolist()
    pairs = [1.0 if one > other else 0.5 if one == other else 0.0 for one in inside for other in outside]
    assert found["pixel_auroc"] == pytest.approx(sum(pairs) / len(pairs))
    means = [sum(one) / len(one) for one in (inside, outside)]
    noise = [
        sum((x - mean) ** 2 for x in one) / (len(one) - 1) for one, mean in zip((inside, outside), means, strict=True)
    ]
    assert found["cnr"] == pytest.approx((means[0] - means[1]) / math.sqrt(sum(noise)))
    scaled, overlap = (heat - heat.min()) / np.ptp(heat), []
    for threshold in THRESHOLDS:
        shown = [(i, j) for i in range(6) for j in range(8) if scaled[i, j] >= threshold]
        true = [(i, j) for i in range(6) for j in range(8) if REGION[i, j]]
        overlap.append(len({*shown} & {*true}) / len({*shown} | {*true}))
    assert found["miou"] == pytest.approx(sum(overlap) / len(overlap))
    assert set(found) == set(METRICS) == set(by_chance(0.2))
    assert grounded(3 * heat - 7, REGION) == pytest.approx(found)


def test_chance_is_what_noise_reaches() -> None:
    rng = np.random.default_rng(0)
    region = np.zeros((40, 40), dtype=bool)
    region[5:20, 10:30] = True
    rows = [grounded(rng.uniform(size=region.shape), region) for _ in range(300)]
    expected = by_chance(float(region.mean()))
    for name in METRICS:
        assert np.mean([row[name] for row in rows]) == pytest.approx(
            expected[name], abs=0.06 if name == "pointing" else 0.02
        )


def test_regions_that_say_nothing_are_refused() -> None:
    for region in (np.zeros_like(REGION), np.ones_like(REGION), REGION[:2]):
        with pytest.raises(UsageError, match="region"):
            grounded(REGION.astype(float), region)
