"""What `medcl reduce --report` found before anything is cut: how much every strategy keeps, at every threshold."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.reduce.selection import Selection


@dataclass(frozen=True)
class Look:
    """One strategy on one family of units.

    Args:
        selection: what it would keep, at the threshold that was asked for or its default.
        thresholds: (T,) of the redundancy curve, ascending.
        shares: (T,) of the units that are kept at each.
        knee: the threshold that `auto` takes; None where the curve has none.
        seconds: for signatures and curve; less where signatures were kept from before.
    """

    selection: Selection
    thresholds: NDArray[np.float64]
    shares: NDArray[np.float64]
    knee: float | None
    seconds: float

    @property
    def share_at_knee(self) -> float:
        """Share that is kept at the knee; NaN without one."""
        if self.knee is None:
            return float("nan")
        return float(self.shares[int(np.argmin(np.abs(self.thresholds - self.knee)))])


@dataclass(frozen=True)
class Looked:
    """Every strategy.

    Args:
        manifest: whose rows the units name.
        axis: across which slices lie.
        looks: in the order in which they are shown.
        skipped: name of a strategy -> why it compares nothing here.
    """

    manifest: Manifest
    axis: int
    looks: Sequence[Look]
    skipped: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{'strategy':<30} {'units':>10} {'threshold':>10} {'kept':>7} {'knee':>8} {'kept':>7} {'seconds':>8}"]
        for one in self.looks:
            chosen = one.selection
            threshold = "" if chosen.threshold is None else f"{chosen.threshold:g}"
            knee = ("", "") if one.knee is None else (f"{one.knee:.4g}", f"{one.share_at_knee:.1%}")
            lines.append(
                f"{chosen.strategy:<30} {len(chosen.units):>10,} {threshold:>10} {chosen.share:>7.1%} "
                f"{knee[0]:>8} {knee[1]:>7} {one.seconds:>8.1f}"
            )
        lines += [f"{name}: {reason}" for name, reason in self.skipped.items()]
        return "\n".join(lines)
