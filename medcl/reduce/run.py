"""`medcl reduce` as one function: units, signatures, selection, and the manifest of what is kept."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.errors import MedclError, UsageError
from medcl.modality import WINGS, wing
from medcl.reduce.config import AUTO, ReduceConfig
from medcl.reduce.result import Reduced, applied
from medcl.reduce.selection import RedundancyCurve, Selection, curve_of, select
from medcl.reduce.signatures import Described, describe
from medcl.reduce.strategies import strategy_of
from medcl.reduce.strategy import Signatures, Strategy, checked
from medcl.reduce.units import Family, Units, chosen_rows, families_of, units_of

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Compared:
    """A family of records that a strategy can compare, with signatures.

    Args:
        units: that have one.
        described: the signatures.
        strategy: that made them.
    """

    units: Units
    described: Described
    strategy: Strategy

    def signatures(self) -> list[Signatures]:
        """(n, width) of each group."""
        return [self.described.gather(self.units, own) for own in self.units.by_group()]


def reduce_manifest(
    manifest: Manifest, config: ReduceConfig, store: Path, *, jobs: int = -1, cluster: str | None = None
) -> Reduced:
    """Find what is redundant in an archive and leave it out of its manifest. Nothing is deleted.

    Units are compared in the order of the manifest and, within a volume, of its slices; of duplicates the first is
    kept. No label is looked at.

    Args:
        manifest: that `medcl scan` wrote, or of an earlier reduction, which is continued.
        config: the strategy, the rule and how far units are compared.
        store: folder next to the manifest; signatures are kept there.
        jobs: processes; -1 is one a core. The result does not depend on it.
        cluster: address of a Dask scheduler, whose workers are used in their place.

    Returns:
        What is kept, what is not, and why some records were not compared.

    Raises:
        UsageError: an unknown strategy, a threshold out of its range, or a strategy that takes none of the records.
        MedclError: none of the files can be read, the disk is full, or the cluster cannot be reached.
    """
    begun = time.monotonic()
    rows = chosen_rows(manifest, config.split)
    strategy = made(config, manifest)
    if not isinstance(config.threshold, str):
        checked(strategy, config.threshold)
    selections: list[Selection] = []
    unreadable: dict[int, str] = {}
    incomparable: dict[int, str] = {}
    for compared in compare(manifest, config, strategy, rows, store, jobs=jobs, cluster=cluster):
        unreadable |= compared.described.unreadable
        incomparable |= compared.described.incomparable
        threshold = threshold_of(compared, config)
        selections.append(
            select(compared.units, compared.described, strategy, config, threshold, jobs=jobs, cluster=cluster)
        )
    if not any(len(one.units) for one in selections):
        raise MedclError(_nothing(unreadable, incomparable))
    marked = quarantined(manifest, unreadable)
    reduced, dropped = applied(marked, selections, config.axis)
    ids = manifest.column("record_id")
    about: dict[str, Any] = {
        "by": strategy.key,
        "keep": config.keep,
        "rule": config.rule,
        "scope": config.scope,
        "unit": config.unit,
    }
    about |= {"thresholds": {str(one.units.family): one.threshold for one in selections}, "split": config.split}
    history = [*manifest.metadata.get("reduced", []), about]
    return Reduced(
        Manifest(reduced.table, reduced.root, {**reduced.metadata, "reduced": history}),
        dropped,
        manifest,
        tuple(selections),
        untouched(manifest, rows, config, strategy),
        {str(ids[row]): reason for row, reason in unreadable.items()},
        {str(ids[row]): reason for row, reason in incomparable.items()},
        time.monotonic() - begun,
    )


def made(config: ReduceConfig, manifest: Manifest) -> Strategy:
    """The strategy that is asked for.

    Raises:
        UsageError: there is none of this name, or no encoder for it.
    """
    if config.by == "embedding":
        from medcl.reduce import embedding

        return embedding.strategy_of(config, manifest)
    return strategy_of(config.by)


def compare(
    manifest: Manifest,
    config: ReduceConfig,
    strategy: Strategy,
    rows: Bools,
    store: Path,
    *,
    jobs: int = -1,
    cluster: str | None = None,
) -> Iterator[Compared]:
    """Make the signatures of each family of records that a strategy takes.

    Args:
        manifest: of all records.
        config: unit and scope.
        strategy: that compares.
        rows: (records,) which are looked at.
        store: folder next to the manifest.
        jobs: processes.
        cluster: address of a Dask scheduler.

    Raises:
        UsageError: it takes none of these records.
    """
    families = taken(manifest, config, strategy, rows)
    if not families:
        held = ", ".join(sorted({wing(kind).plural for kind in manifest.kinds[rows]})) or "no readable record"
        takes = ", ".join(wing(kind).plural for kind in strategy.kinds)
        dims = " or ".join("slices" if one == "slice" else "whole records" for one in strategy.dims)
        raise UsageError(
            f"--by {config.by} compares {takes} as {dims}; there is nothing of this to compare: the manifest holds "
            f"{held}, --unit is {config.unit}, --scope {config.scope or 'not given'}"
        )
    for family in families:
        units = units_of(manifest, family, rows, config.axis)
        if config.by == "embedding":
            from medcl.reduce import embedding

            described = embedding.signatures_of(
                manifest,
                units,
                cast(embedding.Embedding, strategy),
                store,
                axis=config.axis,
                jobs=jobs,
                cluster=cluster,
            )
        else:
            described = describe(manifest, units, strategy, store, axis=config.axis, jobs=jobs, cluster=cluster)
        yield Compared(described.units(units), described, strategy)


def taken(manifest: Manifest, config: ReduceConfig, strategy: Strategy, rows: Bools) -> list[Family]:
    """The families that a strategy compares: it takes them, there are some, and more than one can be in a group."""
    held = set(manifest.kinds[rows].tolist())
    return [
        family
        for family in families_of(config)
        if family.kind in held
        and family.kind in strategy.kinds
        and family.unit in strategy.dims
        and (family.unit, family.scope) != ("record", "record")
    ]


def threshold_of(compared: Compared, config: ReduceConfig) -> float | None:
    """The threshold that units of a family are compared with; None where a share is kept."""
    if config.keep is not None:
        return None
    if config.threshold == AUTO:
        return redundancy(compared).knee
    assert not isinstance(config.threshold, str)
    return checked(compared.strategy, config.threshold)


def redundancy(compared: Compared) -> RedundancyCurve:
    """How much is kept at each threshold."""
    return curve_of(compared.signatures(), compared.strategy)


def untouched(manifest: Manifest, rows: Bools, config: ReduceConfig, strategy: Strategy) -> dict[str, int]:
    """What is not compared, in words -> number of records."""
    own = {family.kind for family in taken(manifest, config, strategy, rows)}
    readable = np.asarray(manifest.column("status") == "ok", dtype=bool)
    found = {
        f"{wing(kind).plural}, which --by {config.by} does not compare as asked for": int(
            (rows & (manifest.kinds == kind)).sum()
        )
        for kind in WINGS
        if kind not in own
    }
    found["records of other splits, which are kept as they are (--split all reduces them too)"] = int(
        (readable & ~rows).sum()
    )
    return {what: count for what, count in found.items() if count}


def quarantined(manifest: Manifest, unreadable: dict[int, str]) -> Manifest:
    """The manifest with the status of records that could not be read."""
    if not unreadable:
        return manifest
    import pyarrow as pa

    status = manifest.column("status")
    for row, reason in unreadable.items():
        status[row] = reason
    return manifest.with_column("status", pa.array(status.tolist(), pa.string()))


def _nothing(unreadable: dict[int, str], incomparable: dict[int, str]) -> str:
    reasons = list({**unreadable, **incomparable}.values())
    if not reasons:
        return "there is nothing to compare: no unit is left in these records"
    return (
        f"none of {len(reasons)} records can be compared; the first: {reasons[0]}. If the files have moved since the "
        "scan, scan the archive again"
    )
