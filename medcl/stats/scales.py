"""Ends of intervals on scales on which the bounds of a metric are infinitely far, so that they are not crossed."""

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

    @property
    def width(self) -> float:
        """Distance of the bounds."""
        return self.high - self.low

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
            return self.low + self.width * share if scaled < 0 else self.high - self.width * share
        size = math.exp(min(abs(scaled), 700.0) * math.copysign(1, scaled if bounded[0] else -scaled))
        return self.low + size if bounded[0] else self.high - size

    def slope(self, value: float) -> float:
        """Derivative of `forward`: a small step of the value, in units of the scale."""
        if not (math.isfinite(self.low) or math.isfinite(self.high)):
            return 1.0
        return 1 / (value - self.low) + 1 / (self.high - value)


def t_ends(mean: float, error: float, freedom: float, scale: Scale, confidence: float) -> tuple[float, float, float]:
    """Ends of Student's t interval of a standard error, symmetric on the scale, and the p-value of a mean of 0.

    The p-value is NaN where 0 is no value between the bounds.
    """
    # Not `scipy.stats.t`, which takes 79 us for one number where this takes 1.6, and a page has thousands of them.
    from scipy import special

    centre, deviation = scale.forward(mean), error * scale.slope(mean)
    half = float(special.stdtrit(freedom, (1 + confidence) / 2)) * deviation
    p = math.nan
    if scale.low < 0 < scale.high:
        p = float(2 * special.stdtr(freedom, -abs(centre - scale.forward(0.0)) / deviation))
    return scale.back(centre - half), scale.back(centre + half), p


def constant_ends(mean: float, n: int, scale: Scale, confidence: float) -> tuple[float, float, float]:
    """The same of a value that all of n patients show, see `medcl.stats.intervals.crossed_interval`.

    NaN where a bound that the value does not lie at is infinite.
    """
    share = ((1 - confidence) / 2) ** (1 / n)
    low, high = (bound if bound == mean else mean + (1 - share) * (bound - mean) for bound in (scale.low, scale.high))
    if not math.isfinite(high - low):
        return math.nan, math.nan, math.nan
    p = math.nan
    if scale.low < 0 < scale.high:
        beyond = scale.low / (scale.low - mean) if mean > 0 else scale.high / (scale.high - mean)
        p = min(1.0, 2 * beyond**n)
    return low, high, p
