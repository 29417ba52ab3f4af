"""Scales undo themselves, and reach no bound from within."""

import math

import pytest

from medcl.stats.scales import Scale


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0), (0.0, math.inf), (-math.inf, 1.0), (-math.inf, math.inf)])
def test_a_scale_undoes_itself(bounds: tuple[float, float]) -> None:
    scale = Scale(*bounds)
    for value in (0.001, 0.3, 0.9999):
        assert scale.back(scale.forward(value)) == pytest.approx(value, abs=1e-12)
        step = (scale.forward(value + 1e-7) - scale.forward(value - 1e-7)) / 2e-7
        assert scale.slope(value) == pytest.approx(step, rel=1e-4)
        assert scale.forward(value + 1e-5) > scale.forward(value)
    assert bounds[0] <= scale.back(-1e5) <= scale.back(1e5) <= bounds[1]
