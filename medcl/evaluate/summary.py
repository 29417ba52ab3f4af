"""What the finished models of an experiment come to: scores, means with their intervals, paired differences."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from medcl.evaluate.results import ArmInfo, Difference, Estimate, MetricSummary, Score
from medcl.stats.intervals import (
    Measured,
    bootstrap_metrics,
    crossed_difference,
    crossed_interval,
    holm,
    mean_interval,
    paired_interval,
)
from medcl.stats.metrics import bounds_of
from medcl.stats.ranking import Floats

Key: TypeAlias = tuple[str, str, str]
"""Protocol, arm, label fraction."""
Metric: TypeAlias = tuple[str, str]
"""Name, and class or nothing."""


@dataclass(frozen=True)
class Tested:
    """The test predictions of one model.

    Args:
        protocol: by which it was trained.
        arm: name.
        label: of the fraction.
        repeat: number.
        seed: of the repeat.
        fold: number.
        measured: its predictions beside the labels.
        classes: names of the values by class.
        content: hash of the predictions: those of a deterministic fit are equal in all repeats.
    """

    protocol: str
    arm: str
    label: str
    repeat: int
    seed: int
    fold: int
    measured: Measured
    classes: tuple[str, ...]
    content: str


@dataclass(frozen=True)
class Values:
    """One metric of one cell.

    Args:
        single: of each fold and repeat, {(fold, repeat): value}.
        boot: mean over folds and repeats in every resample of the test patients, (resamples,); empty without any.
    """

    single: Mapping[tuple[int, int], float]
    boot: Floats

    def over(self, repeats: Sequence[int]) -> Floats:
        """Mean over the folds of these repeats, (repeats,)."""
        by_repeat = defaultdict(list)
        for (_, repeat), value in self.single.items():
            by_repeat[repeat].append(value)
        return np.array([np.mean(by_repeat[repeat]) for repeat in repeats])

    @property
    def repeats(self) -> list[int]:
        """Numbers of the repeats."""
        return sorted({repeat for _, repeat in self.single})

    @property
    def folds(self) -> list[int]:
        """Numbers of the folds."""
        return sorted({fold for fold, _ in self.single})

    def spread(self, repeats: Sequence[int]) -> Floats:
        """The means by which an interval is told without a bootstrap: of the folds, or of the repeats of the one."""
        if len(self.folds) == 1:
            return self.over(repeats)
        return np.array(
            [np.mean([self.single[f, r] for f, r in self.single if f == fold and r in repeats]) for fold in self.folds]
        )


Table: TypeAlias = dict[Key, dict[Metric, Values]]


def scores_of(tested: Sequence[Tested]) -> tuple[list[Score], set[str]]:
    """Test metrics of every model, and the classes that the test items leave undefined."""
    found, undefined = [], set()
    for one in tested:
        macro, by_class = one.measured.metrics(np.ones((one.measured.n_items, 1)))
        per_class = {
            name: {metric: float(values[k, 0]) for metric, values in by_class.items()}
            for k, name in enumerate(one.classes)
        }
        undefined |= {name for name, row in per_class.items() if np.isnan(list(row.values())).any()}
        metrics = {metric: float(values[0]) for metric, values in macro.items()}
        found.append(Score(one.protocol, one.arm, one.label, one.repeat, one.seed, metrics, per_class, fold=one.fold))
    return found, undefined


def table_of(scores: Sequence[Score], boots: Mapping[Key, Mapping[Metric, Floats]] | None = None) -> Table:
    """The values of every metric, from the scores and the bootstrap where there was one."""
    single: dict[Key, dict[Metric, dict[tuple[int, int], float]]] = {}
    for score in scores:
        cell = single.setdefault((score.protocol, score.arm, score.label), {})
        values = {(metric, ""): value for metric, value in score.metrics.items()}
        values |= {(metric, name): v for name, row in score.per_class.items() for metric, v in row.items()}
        for metric, value in values.items():
            cell.setdefault(metric, {})[score.fold, score.repeat] = value
    nothing = np.empty(0)
    return {
        key: {metric: Values(some, (boots or {}).get(key, {}).get(metric, nothing)) for metric, some in cell.items()}
        for key, cell in single.items()
    }


def bootstrap(
    tested: Sequence[Tested], patients: Mapping[int, NDArray[np.int64]], n_boot: int, seed: int
) -> dict[Key, dict[Metric, Floats]]:
    """Every metric in resamples of the test patients, a mean over the repeats and folds: {cell: {metric: (n_boot,)}}.

    All cells see the same resamples, so that the difference of two is a paired one.
    """
    found: dict[Key, dict[Metric, Floats]] = {}
    cells: dict[Key, list[Tested]] = defaultdict(list)
    for one in tested:
        cells[one.protocol, one.arm, one.label].append(one)
    if not n_boot:
        return found
    for key, members in cells.items():
        folds = sorted({one.fold for one in members})
        by_fold = [
            _resampled([one for one in members if one.fold == fold], patients[fold], n_boot, (seed, fold))
            for fold in folds
        ]
        found[key] = {metric: np.mean([one[metric] for one in by_fold], axis=0) for metric in by_fold[0]}
    return found


def _resampled(
    members: Sequence[Tested], patients: NDArray[np.int64], n_boot: int, seed: tuple[int, int]
) -> dict[Metric, Floats]:
    # Equal predictions are measured once, and count as often as they occur.
    different = {one.content: one for one in members}
    shares = np.array([sum(one.content == content for one in members) for content in different]) / len(members)
    first = seed if seed[1] else seed[0]
    repeats = [one.measured for one in different.values()]
    macro, by_class = bootstrap_metrics(repeats, patients, shares, n_boot=n_boot, seed=first)
    found: dict[Metric, Floats] = {(metric, ""): row for metric, row in macro.items()}
    for metric, rows in by_class.items():
        found |= {(metric, name): rows[k] for k, name in enumerate(members[0].classes)}
    return found


def summaries(table: Table, n_patients: int) -> Iterator[MetricSummary]:
    """Means with both intervals, one a cell and metric, and a class."""
    for (protocol, arm, label), cell in table.items():
        for (metric, class_name), values in cell.items():
            repeats = values.over(values.repeats)
            row = _estimate(repeats, values.spread(values.repeats), values.boot, metric, n_patients, label)
            yield MetricSummary(**vars(row), protocol=protocol, arm=arm, class_name=class_name)


def _estimate(repeats: Floats, spread: Floats, boot: Floats, metric: str, n_patients: int, label: str) -> Estimate:
    bounds = bounds_of(metric)
    alone = mean_interval(spread, bounds=bounds)
    main = crossed_interval(repeats, boot, bounds, n_patients) if len(boot) else alone
    return Estimate(label, metric, alone.mean, main.low, main.high, len(repeats), alone.low, alone.high)


def differences(table: Table, arms: Sequence[ArmInfo], n_patients: int) -> list[Difference]:
    """The paired difference of every two arms, by protocol, fraction and metric.

    A baseline has one way to be measured, its probe, which stands beside every protocol of an encoder. The p-values are
    adjusted by Holm's method over the pairs of arms of one protocol, fraction and metric.
    """
    families: dict[tuple[str, str, str], list[Difference]] = defaultdict(list)
    protocols, labels = (dict.fromkeys(key[i] for key in table) for i in (0, 2))
    for protocol in protocols:
        for label in labels:
            for first, second in combinations(arms, 2):
                one, two = (_cell(table, protocol, arm, label) for arm in (first, second))
                if one is None or two is None or (first.kind == second.kind == "baseline" and protocol != "probe"):
                    continue
                for (metric, class_name), values in one.items():
                    if not class_name and (metric, "") in two:
                        row = _difference(values, two[metric, ""], metric, n_patients, label)
                        named = replace(row, protocol=protocol, arm=first.name, other=second.name)
                        families[protocol, label, metric].append(named)
    found = []
    for family in families.values():
        adjusted = holm(np.array([row.p for row in family]))
        found += [replace(row, p_holm=float(p)) for row, p in zip(family, adjusted, strict=True)]
    return found


def _cell(table: Table, protocol: str, arm: ArmInfo, label: str) -> dict[Metric, Values] | None:
    own = table.get((protocol, arm.name, label))
    return table.get(("probe", arm.name, label)) if own is None and arm.kind == "baseline" else own


def _difference(one: Values, two: Values, metric: str, n_patients: int, label: str) -> Difference:
    both = [repeat for repeat in one.repeats if repeat in two.repeats]
    bounds = bounds_of(metric)
    main = alone = paired_interval(one.spread(both), two.spread(both), bounds=bounds)
    if len(one.boot):
        main = crossed_difference(one.over(both), two.over(both), one.boot, two.boot, bounds, n_patients)
    return Difference(
        label,
        metric,
        alone.mean,
        main.low,
        main.high,
        len(both),
        alone.low,
        alone.high,
        protocol="",
        arm="",
        other="",
        p=main.p,
    )
