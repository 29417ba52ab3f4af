"""Results out of the finished models of an experiment."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.evaluate.arms import Arm
from medcl.evaluate.cells import fingerprint
from medcl.evaluate.config import EvaluateConfig
from medcl.evaluate.experiment import Fold, Planned
from medcl.evaluate.fractions import Subset
from medcl.evaluate.items import Items
from medcl.evaluate.results import Fraction, Results, ResultTarget, Split
from medcl.evaluate.results_tables import Procedure
from medcl.evaluate.summary import Tested, bootstrap, differences, scores_of, summaries, table_of
from medcl.evaluate.tasks.base import Rows, Task


def made_with() -> dict[str, Any]:
    """What results say of how they came about: the versions of what computed them, and when."""
    from medcl.runs import environment

    software = {name: str(value) for name, value in environment().items() if name != "run_version"}
    return {"software": software, "created": datetime.now(UTC).isoformat(timespec="seconds")}


def left_out(classes: Iterable[str]) -> list[str]:
    """A sentence on classes that the test records leave undefined, where there are any."""
    told = ", ".join(sorted(classes))
    reason = "Left out of a macro mean, since the test records include no positive or no negative"
    return [f"{reason}: {told}."] if told else []


def tested_of(model: Planned, measured: Any, classes: tuple[str, ...], content: str) -> Tested:
    """A finished model beside what its predictions measure."""
    label = model.subset.label
    return Tested(
        model.protocol, model.arm.name, label, model.repeat, model.seed, model.fold, measured, classes, content
    )


def results_of(
    config: EvaluateConfig,
    target: ResultTarget,
    metric: str,
    folds: Sequence[Fold],
    arms: Sequence[Arm],
    finished: Sequence[Tested],
    drawn: Sequence[Sequence[Sequence[Subset]]],
    items: Items,
    task: Task | None,
    notes: Sequence[str],
) -> Results:
    """The results of finished models, without tables and curves."""
    patients = {fold.number: items.patient[fold.test] for fold in folds}
    n_patients = len(np.unique(np.concatenate(list(patients.values()))))
    scores, undefined = scores_of(finished)
    notes = [*notes, *left_out(undefined)]
    if len(folds) > 1:
        notes = [
            *notes,
            f"Tested in {len(folds)} folds, of which the means are shown. The folds overlap in training patients, so "
            "that intervals are somewhat too narrow.",
        ]
    table = table_of(scores, bootstrap(finished, patients, config.bootstrap, config.seed))
    infos = tuple(arm.info for arm in arms)
    return Results(
        target=target,
        arms=infos,
        protocols=tuple(dict.fromkeys(one.protocol for one in finished)),
        metric=metric,
        config={"evaluation": asdict(config)},
        splits={
            name: _split([getattr(fold, part) for fold in folds], items, task, whole=name == "test")
            for name, part in (("train", "train"), ("val", "validation"), ("test", "test"))
        },
        notes=tuple(notes),
        fractions=tuple(_fractions(drawn)),
        procedure=Procedure(config.seed, config.repeats, config.bootstrap, config.unit, len(folds)),
        scores=tuple(scores),
        summary=tuple(summaries(table, n_patients)),
        differences=tuple(differences(table, infos, n_patients)),
        items=items.plural,
        **made_with(),
    )


def _split(parts: Sequence[Rows], items: Items, task: Task | None, *, whole: bool) -> Split:
    """The size of a split: of folds the sum where they are disjoint (`whole`), else the mean."""

    def size(rows: Rows) -> NDArray[np.float64]:
        held = np.zeros(0) if task is None else task.classes_of(rows).sum(axis=0)
        return np.array([len(np.unique(items.patient[rows])), len(rows), *held])

    sizes = np.sum([size(rows) for rows in parts], axis=0) / (1 if whole else len(parts))
    names = () if task is None else task.target.classes
    joined = np.concatenate(list(parts))
    known = fingerprint(items.ids[joined], *([] if task is None else [task.columns(joined)]))
    return Split(float(sizes[0]), float(sizes[1]), dict(zip(names, map(float, sizes[2:]), strict=False)), known)


def _fractions(drawn: Sequence[Sequence[Sequence[Subset]]]) -> list[Fraction]:
    """What each label fraction holds, the median over repeats and folds, in ascending order."""
    columns = zip(*(subsets for fold in drawn for subsets in fold), strict=True)
    return [
        Fraction(
            column[0].label,
            median(s.n_patients for s in column),
            median(s.n_records for s in column),
            {name: median(s.per_class[name] for s in column) for name in column[0].per_class},
            any(s.raised for s in column),
        )
        for column in columns
    ]
