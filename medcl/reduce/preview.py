"""The preview of `medcl reduce --report`: what every strategy would keep of an archive, at every threshold."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.errors import MedclError
from medcl.reduce.config import AUTO, ReduceConfig
from medcl.reduce.run import compare, made, redundancy, threshold_of
from medcl.reduce.selection import Selection, select
from medcl.reduce.strategies import EMBEDDING, STRATEGIES, WANTED
from medcl.reduce.units import chosen_rows, taken
from medcl.wording import NOTHING


@dataclass(frozen=True)
class StrategyPreview:
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

    @property
    def words(self) -> dict[str, str]:
        """What a table says of it: on the terminal and on the page."""
        chosen, known = self.selection, self.knee is not None
        return {
            "strategy": chosen.strategy,
            "family": str(chosen.units.family),
            "how": chosen.how,
            "threshold": NOTHING if chosen.threshold is None else f"{chosen.threshold:g}",
            "kept": f"{int(chosen.keep.sum()):,} of {len(chosen.keep):,}",
            "share": f"{chosen.share:.1%}",
            "knee": f"{self.knee:.4g}" if known else NOTHING,
            "share_at_knee": f"{self.share_at_knee:.1%}" if known else NOTHING,
            "seconds": f"{self.seconds:.1f}",
        }


@dataclass(frozen=True)
class Preview:
    """Every strategy.

    Args:
        manifest: whose rows the units name.
        axis: across which slices lie.
        previews: in the order in which they are shown.
        skipped: name of a strategy -> why it compares nothing here.
    """

    manifest: Manifest
    axis: int
    previews: Sequence[StrategyPreview]
    skipped: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{'strategy':<30} {'units':>10} {'threshold':>10} {'kept':>7} {'knee':>8} {'kept':>7} {'seconds':>8}"]
        lines += [
            f"{own['strategy']:<30} {units:>10,} {own['threshold']:>10} {own['share']:>7} {own['knee']:>8} "
            f"{own['share_at_knee']:>7} {own['seconds']:>8}"
            for own, units in ((one.words, len(one.selection.units)) for one in self.previews)
        ]
        lines += [f"{name}: {reason}" for name, reason in self.skipped.items()]
        return "\n".join(lines)


def preview(
    manifest: Manifest,
    config: ReduceConfig,
    store: Path,
    *,
    names: Sequence[str] = (),
    jobs: int = -1,
    cluster: str | None = None,
) -> Preview:
    """Compare an archive by several strategies; nothing is dropped.

    Without names these are all that can compare its records, `embedding` where there is an encoder; one that fails is
    then told in `skipped`. A threshold counts only for a single strategy. For `store`, `jobs` and `cluster` see
    `reduce_manifest`.

    Raises:
        UsageError: an unknown strategy, or one that was asked for and takes none of the records.
        MedclError: a strategy that was asked for fails.
    """
    rows = chosen_rows(manifest, config.split)
    previews: list[StrategyPreview] = []
    skipped: dict[str, str] = {}
    encoded = {EMBEDDING: bool(config.run or config.encoder), WANTED: bool(config.wanted)}
    for name in names or [one for one in STRATEGIES if encoded.get(one, True)]:
        own = replace(
            config,
            by=name,
            threshold=config.threshold if len(names) == 1 else None,
            run=config.run if name in encoded else "",
            encoder=config.encoder if name in encoded else "",
            wanted=config.wanted if name == WANTED else "",
        )
        try:
            strategy = made(own, manifest, store)
            if not names and not taken(manifest, own, strategy, rows):
                continue
            begun = time.monotonic()
            for compared in compare(manifest, own, strategy, rows, store, jobs=jobs, cluster=cluster):
                curve = redundancy(compared)
                threshold = curve.knee if own.threshold == AUTO else threshold_of(compared, own)
                of = compared.units, compared.described, strategy
                chosen = select(*of, own, threshold, jobs=jobs, cluster=cluster)
                seconds = time.monotonic() - begun
                previews.append(StrategyPreview(chosen, curve.thresholds, curve.share, curve.knee, seconds))
                begun = time.monotonic()
        except MedclError as error:
            if names:
                raise
            skipped[name] = str(error)
    return Preview(manifest, config.axis, previews, skipped)
