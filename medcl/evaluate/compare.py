"""Several evaluations as one: methods side by side on the same test patients."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medcl.errors import UsageError
from medcl.evaluate.results import ArmInfo, Results
from medcl.evaluate.summary import differences, table_of
from medcl.evaluate.wording import other_repeats
from medcl.wording import count

RESULTS, LATEST = "results.json", "latest"


def evaluations(path: Path) -> dict[str, Path]:
    """The results of a path: of a run folder the latest of every target, {target: file}.

    Args:
        path: a `results.json`, a folder that holds one, or a run folder.

    Raises:
        UsageError: there is no evaluation.
    """
    for one in (path, path / RESULTS, path / LATEST / RESULTS):
        if one.is_file():
            return {Results.load(one).target.name: one}
    found = [one / RESULTS for one in sorted((path / "eval").glob("*"))]
    # An evaluation of version 0.1 lies in the folder of its target.
    latest = {one.parent.name: one.parent / LATEST / RESULTS for one in found}
    latest = {name: (new if new.is_file() else path / "eval" / name / RESULTS) for name, new in latest.items()}
    known = {Results.load(one).target.name: one for one in latest.values() if one.is_file()}
    if not known:
        raise UsageError(f"{path}: holds no evaluation; `medcl finetune` makes one, or name its results.json")
    return known


def find(paths: Sequence[Path], target: str = "") -> tuple[list[Path], str]:
    """The evaluations of several runs on one target, and a line for each run on what it has.

    Args:
        paths: as in `evaluations`.
        target: the one that is compared; empty: the only one that all have.

    Raises:
        UsageError: a path has no evaluation, or they have no or several targets in common.
    """
    found = [evaluations(path) for path in paths]
    common = [name for name in found[0] if all(name in one for one in found)] if found else []
    lines = [f"{path}: evaluated on {', '.join(one)}" for path, one in zip(paths, found, strict=True)]
    if target:
        common = [name for name in common if name == target]
    if len(common) != 1:
        what = "no target in common" if not common else f"several targets in common ({', '.join(common)}): --target"
        raise UsageError(f"the evaluations have {what}\n" + "\n".join(lines))
    return [one[common[0]] for one in found], "\n".join(lines)


def compare(paths: Sequence[Path], names: Sequence[str] = ()) -> Results:
    """Results that can be compared, as one, whose arms are those of all.

    Random weights and baselines that are the same in several results are one arm. The differences within a result are
    as it has them; between two results they are paired by repeat, and their intervals are over repeats alone, for
    predictions are not kept: `medcl finetune RUN1 RUN2` gives those over patients.

    Args:
        paths: results.json files; those of `combine_folds` as well.
        names: one a file; without them the run folders' names are used, and the methods' where those are equal.

    Raises:
        UsageError: there is nothing to compare, or the number of names, the targets, main metrics or test sets differ.
        MedclError: a file is not a results file.
    """
    if not paths:
        raise UsageError("nothing to compare: pass the run folder or the results.json of each evaluation")
    if names and len(names) != len(paths):
        raise UsageError(f"--names: {len(names)} names for {len(paths)} results; give one for each")
    results = [Results.load(path) for path in paths]
    for path, one in zip(paths[1:], results[1:], strict=True):
        _check(paths[0], results[0], path, one)
    if len(results) == 1:
        return results[0]
    named = _renamed(results, tuple(names) or _names(paths, results))
    arms = tuple({arm.name: arm for one in named for arm in one.arms}.values())
    arms = tuple(sorted(arms, key=lambda arm: ("run", "foreign", "random", "baseline").index(arm.kind)))
    scores = _unique((s for one in named for s in one.scores), ("protocol", "arm", "label", "repeat", "fold"))
    within = {(d.protocol, d.arm, d.other, d.label, d.metric): d for one in named for d in one.differences}
    between = [
        row
        for row in differences(table_of(scores), arms, 0)
        if not any(key in within for key in _both_orders(row.protocol, row.arm, row.other, row.label, row.metric))
    ]
    held = {f.label: f for one in reversed(named) for f in one.fractions}
    first = named[0]
    keys = ("protocol", "arm", "label", "metric", "class_name")
    return replace(
        first,
        arms=arms,
        protocols=tuple(dict.fromkeys(p for one in named for p in one.protocols)),
        config={name: one.config for name, one in zip(names or _names(paths, results), named, strict=True)},
        notes=(*_notes(results, tuple(names) or _names(paths, results)), *([_BETWEEN] if between else [])),
        fractions=tuple(sorted(held.values(), key=lambda f: f.patients)),
        scores=tuple(scores),
        summary=tuple(_unique((row for one in named for row in one.summary), keys)),
        differences=(*within.values(), *between),
        calibration=tuple(_unique((c for one in named for c in one.calibration), (*keys[:3], "class_name"))),
        confusion=tuple(_unique((c for one in named for c in one.confusion), (*keys[:3], "class_name"))),
        survival=tuple(_unique((c for one in named for c in one.survival), keys[:3])),
        learning=tuple(_unique((c for one in named for c in one.learning), ("arm", "label", "repeat", "fold"))),
        speed=tuple(row for one in named for row in one.speed),
        queries=tuple(_unique((row for one in named for row in one.queries), ("protocol",))),
        grounding=tuple(row for one in named for row in one.grounding),
    )


_BETWEEN = (
    "Differences between arms of different evaluations are paired by repeat, and their intervals are over repeats "
    "alone: evaluated together, they have intervals over test patients."
)


def _both_orders(protocol: str, arm: str, other: str, label: str, metric: str) -> tuple[tuple[str, ...], ...]:
    return (protocol, arm, other, label, metric), (protocol, other, arm, label, metric)


def _unique(rows: Iterable[Any], keys: Sequence[str]) -> list[Any]:
    """The first of the rows that share these fields."""
    found: dict[tuple[Any, ...], Any] = {}
    for row in rows:
        found.setdefault(tuple(getattr(row, key) for key in keys), row)
    return list(found.values())


def _renamed(results: Sequence[Results], names: Sequence[str]) -> list[Results]:
    """The results with names of arms that are unique, but for those that are the same in several."""
    seen: dict[str, Any] = {}
    renamed = []
    for name, one in zip(names, results, strict=True):
        runs = [arm for arm in one.arms if arm.kind == "run"]
        new: dict[str, str] = {}
        for arm in one.arms:
            if arm.kind == "run":
                new[arm.name] = name if len(runs) == 1 else f"{name}: {arm.name}"
                continue
            content = [
                (s.protocol, s.label, s.repeat, round(v, 6))
                for s in one.scores
                if s.arm == arm.name
                for v in s.metrics.values()
            ]
            same = seen.setdefault(arm.name, content) == content
            new[arm.name] = arm.name if same else f"{arm.name} ({name})"
        renamed.append(with_names(one, new))
    return renamed


def with_names(results: Results, names: dict[str, str]) -> Results:
    """The results with other names of arms."""

    def named(rows: Iterable[Any], *fields: str) -> tuple[Any, ...]:
        return tuple(replace(row, **{field: names[getattr(row, field)] for field in fields}) for row in rows)

    arms: list[ArmInfo] = []
    for arm in results.arms:
        suffix = names[arm.name].removeprefix(arm.name)
        title = arm.title + suffix if arm.title and suffix != names[arm.name] else arm.title
        arms.append(replace(arm, name=names[arm.name], title=title))
    fields = ("scores", "summary", "calibration", "confusion", "survival", "learning", "speed", "grounding")
    changed: dict[str, Any] = {field: named(getattr(results, field), "arm") for field in fields}
    return replace(results, arms=tuple(arms), differences=named(results.differences, "arm", "other"), **changed)


def _check(first_path: Path, first: Results, path: Path, other: Results) -> None:
    if other.target != first.target:
        raise UsageError(
            f"{path} predicts {_described(other)} and {first_path} {_described(first)}: "
            "only results of one target can be compared"
        )
    if other.metric != first.metric:
        raise UsageError(
            f"{path} has the main metric {other.metric} and {first_path} {first.metric}: evaluate both with one"
        )
    a, b = first.splits["test"], other.splits["test"]
    known = bool(a.fingerprint and b.fingerprint)
    if (a.fingerprint != b.fingerprint) if known else ((a.patients, a.records) != (b.patients, b.records)):
        raise UsageError(
            f"{path} was tested on other records than {first_path} ({count(b.records)} and {count(a.records)}): "
            "evaluate both with one manifest, or pool the folds of each method first"
        )


def _described(results: Results) -> str:
    target = results.target
    return f"{target.name} ({target.kind}{', ' + ', '.join(target.classes) if target.classes else ''})"


def _names(paths: Sequence[Path], results: Sequence[Results]) -> tuple[str, ...]:
    """The runs' names; where two are the same, each result is named by its path."""
    runs = [one.arms[0] for one in results]
    names = [Path(arm.run).name if "," not in arm.run else arm.method for arm in runs]
    return tuple(names if len(set(names)) == len(names) else map(str, paths))


def _notes(results: Sequence[Results], names: Sequence[str]) -> list[str]:
    """Every note once, with the names that it is about unless it is about all."""
    about: dict[str, list[str]] = {}
    for name, one in zip(names, results, strict=True):
        for note in (*one.notes, *other_repeats(one)):
            about.setdefault(note, []).append(name)
    everything = len(names)
    return [note if len(some) == everything else f"{', '.join(some)}: {note}" for note, some in about.items()]
