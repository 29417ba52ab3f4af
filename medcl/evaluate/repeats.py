"""Runs that are repeats of one arm, such as those of several seeds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from medcl.errors import UsageError
from medcl.evaluate.arms import names_of
from medcl.evaluate.results import ArmInfo
from medcl.runs import Run

Repeats: TypeAlias = dict[str, tuple[str, int]]
"""{name of a run: its arm and the number of the repeat that it is of it}."""

RESERVED = {"chance", "tf_idf"}
"""Arms that results have besides those of runs."""


def repeats_of(folders: Sequence[Path], arms: Sequence[str] = ()) -> Repeats:
    """Which arm each of several run folders belongs to, in their order: its own, or that of its name.

    Args:
        folders: of the runs.
        arms: one a run; runs of one name, such as those of several seeds, are repeats of one arm.

    Raises:
        UsageError: the number of names is another one, not all arms have as many runs, or a name is not free.
    """
    if taken := sorted(RESERVED & {*(arms or names_of(folders))}):
        raise UsageError(f"--names: {taken[0]} is what runs are compared with; give the run another name")
    if not arms:
        return {name: (name, 0) for name in names_of(folders)}
    if len(arms) != len(folders):
        raise UsageError(f"--names: give one for each run (names: {len(arms)}, runs: {len(folders)})")
    many = Counter(arms)
    if len(set(many.values())) > 1:
        told = ", ".join(f"{name} {number}" for name, number in many.items())
        raise UsageError(f"--names: differences are paired by run, but the arms have several numbers of runs: {told}")
    so_far: Counter[str] = Counter()
    found: Repeats = {}
    for name in arms:
        so_far[name] += 1
        found[f"{name} {so_far[name]}" if many[name] > 1 else name] = name, so_far[name] - 1
    return found


def infos_of(runs_of: Mapping[str, Run[Any, Any]], repeats: Repeats) -> list[ArmInfo]:
    """What results say of the arms of runs.

    Raises:
        UsageError: runs of one arm are of several methods.
    """
    own: dict[str, list[Run[Any, Any]]] = {}
    for name, run in runs_of.items():
        own.setdefault(repeats[name][0], []).append(run)
    found = []
    for arm, several in own.items():
        methods = {str(run.config.get("method", "")): run.folder for run in several}
        if len(methods) > 1:
            told = ", ".join(f"{folder} ({method})" for method, folder in methods.items())
            raise UsageError(f"--names: the runs of {arm} are of several methods: {told}")
        found.append(ArmInfo(arm, "run", run=", ".join(str(run.folder) for run in several), method=next(iter(methods))))
    return found
