"""Near-duplicates that cross patients or splits: one scan under two ids, a phantom, a patient on both sides."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medcl.archive.manifest import Manifest
from medcl.errors import UsageError
from medcl.reduce.config import ReduceConfig
from medcl.reduce.run import Compared, compare, made, nothing_compared, threshold_of
from medcl.reduce.strategies import strategy_of
from medcl.reduce.strategy import duplicates
from medcl.reduce.units import chosen_rows, shown_at
from medcl.show import page
from medcl.show.thumbnails import thumbnails
from medcl.wording import count, line

_SHOWN = 12
CONFIRMED = 0.95
"""Structural similarity from which a candidate of a hash is a leak. Brains of different patients that were registered
to one another are within 6 bits of each other, but reach 0.90 at most (BraTS); one scan that is stored twice has 1."""


@dataclass(frozen=True)
class Leak:
    """Two near-duplicate records of different patients or splits, by their rows of the manifest, the earlier first.

    Args:
        row: of the earlier record.
        other: of the later one.
        piece: slice of the earlier record that is most similar, or `WHOLE`.
        other_piece: slice of the later one.
        measure: between the two, in the unit of the strategy.
        units: pairs of slices that are near-duplicates; 1 of whole records.
        patients: whether they are of different patients.
        splits: whether they are in different splits.
    """

    row: int
    other: int
    piece: int
    other_piece: int
    measure: float
    units: int
    patients: bool
    splits: bool

    @property
    def crosses(self) -> str:
        """What lies between the two: `patients`, `splits`, or both."""
        return " and ".join(word for word, does in (("patients", self.patients), ("splits", self.splits)) if does)


@dataclass(frozen=True)
class Leaks:
    """What was found among rows of a manifest, the most similar first, and how: by a measure, and thresholds by family.

    So many units were compared; records are left out by their ids and the reason, which are unreadable or incomparable.
    """

    manifest: Manifest
    leaks: tuple[Leak, ...]
    strategy: str
    how: str
    thresholds: dict[str, float]
    compared: int
    unreadable: dict[str, str]
    incomparable: dict[str, str]

    def __str__(self) -> str:
        ids = self.manifest.column("record_id")
        limits = ", ".join(f"{family}: {self.how} {value:g}" for family, value in self.thresholds.items())
        lines = [
            line("compared", f"{self.compared} units by {self.strategy} ({limits})"),
            line("other patients", f"{sum(one.patients for one in self.leaks)}"),
            line("other splits", f"{sum(one.splits for one in self.leaks)}"),
        ]
        for one in self.leaks[:_SHOWN]:
            several = f", {one.units} pairs of slices" if one.units > 1 else ""
            lines.append(f"  {one.measure:>8.3g}  {ids[one.row]} and {ids[one.other]}: other {one.crosses}{several}")
        if len(self.leaks) > _SHOWN:
            lines.append(f"  {'':>8}  and {len(self.leaks) - _SHOWN} more")
        left_out = len(self.unreadable) + len(self.incomparable)
        return "\n".join(
            [*lines, *([line("left out", f"{left_out} records that cannot be compared")] if left_out else [])]
        )


def find_leaks(
    manifest: Manifest, config: ReduceConfig, store: Path, *, jobs: int = -1, cluster: str | None = None
) -> Leaks:
    """Compare every unit of an archive with every other one, and list near-duplicates across patients or splits.

    A hash finds candidates quickly, but organs that were registered to one another have like hashes too: of images
    and volumes those are kept whose structural similarity confirms them. Check what is found: empty slices are
    equal, for example.

    Two records cross patients where both patients are known and differ, and splits likewise. All splits are compared:
    scope and split of the configuration do not matter. For `store`, `jobs` and `cluster` see `reduce_manifest`.

    Raises:
        UsageError: the strategy compares no two units, or none of these records; a threshold that cannot be.
        MedclError: no file can be read.
    """
    config = replace(config, scope="archive", split="all", keep=None, rule=None)
    strategy = made(config, manifest, store)
    if strategy.measure == "score" or strategy.source == "number":
        raise UsageError(f"--by {config.by} compares no two records: --leaks needs a strategy that does, such as hash")
    rows = chosen_rows(manifest, "all")
    found: list[Leak] = []
    thresholds: dict[str, float] = {}
    unreadable: dict[int, str] = {}
    incomparable: dict[int, str] = {}
    count = 0
    for compared in compare(manifest, config, strategy, rows, store, jobs=jobs, cluster=cluster):
        unreadable |= compared.described.unreadable
        incomparable |= compared.described.incomparable
        count += len(compared.units)
        if len(compared.units):
            threshold = threshold_of(compared, config)
            assert threshold is not None
            thresholds[str(compared.units.family)] = threshold
            found += _crossing(manifest, compared, threshold)
    if not count:
        raise nothing_compared({**unreadable, **incomparable})
    if config.by.endswith("hash"):
        found = _confirmed(manifest, config, found, store, jobs=jobs, cluster=cluster)
    sign = 1 if strategy.measure == "distance" else -1
    ids = manifest.column("record_id")
    return Leaks(
        manifest,
        tuple(sorted(found, key=lambda one: (sign * one.measure, one.row, one.other))),
        strategy.name,
        strategy.measure,
        thresholds,
        count,
        {str(ids[row]): reason for row, reason in unreadable.items()},
        {str(ids[row]): reason for row, reason in incomparable.items()},
    )


def _crossing(manifest: Manifest, compared: Compared, threshold: float) -> list[Leak]:
    units, strategy = compared.units, compared.strategy
    patient = manifest.column("patient")[units.row]
    splits = manifest.column("split") if manifest.has("split") else np.full(len(manifest), None, dtype=object)
    named = np.array(["" if one is None else str(one) for one in splits], dtype=object)
    code = np.unique(named, return_inverse=True)[1].reshape(-1)[units.row] if len(named) else np.empty(0, np.int64)
    known = (named != "")[units.row]
    best: dict[tuple[int, int], Leak] = {}
    for pairs in duplicates(strategy, compared.described.gather(units, np.arange(len(units))), threshold):
        one, two = pairs.first, pairs.second
        patients = (patient[one] >= 0) & (patient[two] >= 0) & (patient[one] != patient[two])
        across = known[one] & known[two] & (code[one] != code[two])
        for at in np.flatnonzero(patients | across).tolist():
            a, b, measure = int(one[at]), int(two[at]), float(pairs.measure[at])
            place = int(units.row[a]), int(units.row[b])
            before = best.get(place)
            nearer = before is None or (
                measure < before.measure if strategy.measure == "distance" else measure > before.measure
            )
            count = 1 if before is None else before.units + 1
            if before is None or nearer:
                pieces = int(units.piece[a]), int(units.piece[b])
                best[place] = Leak(*place, *pieces, measure, count, bool(patients[at]), bool(across[at]))
            else:
                best[place] = replace(before, units=count)
    return list(best.values())


def _confirmed(
    manifest: Manifest, config: ReduceConfig, found: list[Leak], store: Path, *, jobs: int, cluster: str | None
) -> list[Leak]:
    """Those whose structure is alike as well, and those that have no such structure: recordings."""
    config, ssim = replace(config, by="ssim", threshold=None), strategy_of("ssim")
    ends = np.array([(one.row, one.other) for one in found], dtype=np.int64).reshape(-1, 2)
    rows = np.isin(np.arange(len(manifest)), ends) & np.isin(manifest.kinds, ssim.kinds)
    if not rows.any():
        return found
    alike: dict[tuple[int, int], float] = {}
    for compared in compare(manifest, config, ssim, rows, store, jobs=jobs, cluster=cluster):
        units = compared.units
        number = {at: i for i, at in enumerate(zip(units.row.tolist(), units.piece.tolist(), strict=True))}
        for one in found:
            pair = number.get((one.row, one.piece)), number.get((one.other, one.other_piece))
            if pair[0] is not None and pair[1] is not None:
                first, second = (compared.described.gather(units, np.array([at])) for at in pair)
                alike[one.row, one.other] = float(ssim.compare(first, second)[0, 0])
    return [one for one in found if not rows[one.row] or alike.get((one.row, one.other), -1.0) >= CONFIRMED]


MOST = 60
"""Pairs that are shown: the most similar."""


def write_leaks(path: Path, found: Leaks, axis: int = 2) -> None:
    """Write the pairs as one self-contained file; records are read once more for images of slices across the axis."""
    page.write(path, render_leaks(found, axis))


def render_leaks(found: Leaks, axis: int = 2) -> str:
    """The page as HTML."""
    shown = found.leaks[:MOST]
    wanted = [shown_at(*one) for leak in shown for one in ((leak.row, leak.piece), (leak.other, leak.other_piece))]
    drawn = thumbnails(found.manifest, wanted, axis, enlarged=True)
    ids = found.manifest.column("record_id")
    names = [f"{ids[row]}{'' if piece is None else f', slice {piece}'}" for row, piece in wanted]
    pairs = [
        (
            f"Across {leak.crosses}",
            f"{found.how} {leak.measure:.3g}",
            f"{count(leak.units)} pairs of slices" if leak.units > 1 else "",
            *zip(drawn[i : i + 2], names[i : i + 2], strict=True),
        )
        for i, leak in zip(range(0, len(wanted), 2), shown, strict=True)
    ]
    across = [sum(one.patients for one in found.leaks), sum(one.splits for one in found.leaks)]
    facts = [
        ("Compared", f"{count(found.compared)} units by {found.strategy}"),
        *((f"Threshold, {family}", f"{found.how} {value:g}") for family, value in found.thresholds.items()),
        ("Across patients", count(across[0])),
        ("Across splits", count(across[1])),
        ("Left out", f"{count(len(found.unreadable) + len(found.incomparable))} records that cannot be compared"),
    ]
    hidden = len(found.leaks) - len(shown)
    return page.render("reduce/leaks.html", {}, headline=_headline(found), facts=facts, pairs=pairs, hidden=hidden)


def _headline(found: Leaks) -> str:
    if not found.leaks:
        return "No near-duplicates cross patients or splits."
    said = "pair of records is" if len(found.leaks) == 1 else "pairs of records are"
    return f"{count(len(found.leaks))} {said} near-duplicates across patients or splits."
