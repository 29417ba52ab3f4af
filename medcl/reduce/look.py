"""Look before the cut: what every strategy would keep of an archive, at every threshold."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medcl.archive.manifest import Manifest
from medcl.errors import MedclError
from medcl.reduce.config import AUTO, ReduceConfig
from medcl.reduce.looked import Look, Looked
from medcl.reduce.run import compare, made, redundancy, taken, threshold_of
from medcl.reduce.selection import select
from medcl.reduce.strategies import EMBEDDING, STRATEGIES
from medcl.reduce.strategy import checked
from medcl.reduce.units import chosen_rows


def look(
    manifest: Manifest,
    config: ReduceConfig,
    store: Path,
    *,
    names: Sequence[str] = (),
    jobs: int = -1,
    cluster: str | None = None,
) -> Looked:
    """Compare an archive by several strategies, and cut nothing.

    Args:
        manifest: that `medcl scan` wrote.
        config: units, scope, split and, of `embedding`, the encoder; a threshold counts only for a single strategy.
        store: folder beside the manifest; signatures are kept there.
        names: of the strategies; without any, all that can compare these records, `embedding` where there is an
            encoder.
        jobs: processes; -1 is one a core.
        cluster: address of a Dask scheduler, whose workers are used in their place.

    Returns:
        Curves and selections; a strategy that fails is told in `skipped`, if others were not named by the caller.

    Raises:
        UsageError: an unknown strategy, or one that was asked for and takes none of the records.
        MedclError: a strategy that was asked for fails.
    """
    rows = chosen_rows(manifest, config.split)
    looks: list[Look] = []
    skipped: dict[str, str] = {}
    encoder = config.run or config.encoder
    for name in names or [*STRATEGIES, *([EMBEDDING] if encoder else [])]:
        own = replace(
            config,
            by=name,
            threshold=config.threshold if len(names) == 1 else None,
            run=config.run if name == EMBEDDING else "",
            encoder=config.encoder if name == EMBEDDING else "",
        )
        try:
            strategy = made(own, manifest)
            if not isinstance(own.threshold, str):
                checked(strategy, own.threshold)
            if not names and not taken(manifest, own, strategy, rows):
                continue
            begun = time.monotonic()
            for compared in compare(manifest, own, strategy, rows, store, jobs=jobs, cluster=cluster):
                curve = redundancy(compared)
                threshold = curve.knee if own.threshold == AUTO else threshold_of(compared, own)
                chosen = select(
                    compared.units, compared.described, strategy, own, threshold, jobs=jobs, cluster=cluster
                )
                seconds = time.monotonic() - begun
                looks.append(Look(chosen, curve.thresholds, curve.share, curve.knee, seconds))
                begun = time.monotonic()
        except MedclError as error:
            if names:
                raise
            skipped[name] = str(error)
    return Looked(manifest, config.axis, looks, skipped)
