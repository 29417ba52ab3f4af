"""Scales on which the bounds of a metric are infinitely far, so that no interval crosses them."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Logit between two bounds, logarithm of the distance to a single one, the value itself without bounds.

    Args:
        low: lowest value, or -inf.
        high: highest value, or inf.
    """

    low: float
    high: float

    def forward(self, value: float) -> float:
        """Where a value strictly between the bounds lies on the scale."""
        below = math.log(value - self.low) if math.isfinite(self.low) else None
        above = math.log(self.high - value) if math.isfinite(self.high) else None
        if below is None and above is None:
            return value
        return (below or 0.0) - (above or 0.0)

    def back(self, scaled: float) -> float:
        """The value at a place on the scale, which may be a bound by rounding."""
        bounded = math.isfinite(self.low), math.isfinite(self.high)
        if not any(bounded):
            return scaled
        # The smaller of the two distances is computed, and the exponent is never positive: nothing overflows.
        if all(bounded):
            share = math.exp(-abs(scaled)) / (1 + math.exp(-abs(scaled)))
            width = self.high - self.low
            return self.low + width * share if scaled < 0 else self.high - width * share
        size = math.exp(min(abs(scaled), 700.0) * math.copysign(1, scaled if bounded[0] else -scaled))
        return self.low + size if bounded[0] else self.high - size

    def slope(self, value: float) -> float:
        """Derivative of `forward`: a small step of the value, in units of the scale."""
        if not (math.isfinite(self.low) or math.isfinite(self.high)):
            return 1.0
        return 1 / (value - self.low) + 1 / (self.high - value)
