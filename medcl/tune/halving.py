"""Successive halving: many settings with few steps, the best of them with more (Jamieson and Talwalkar, AISTATS 2016).

A round begins with some settings at a fraction of the recipe's steps; the best of them by `factor` go on with `factor`
times as many, until one has all of them. Rounds follow each other until the time is used up. The order of the trials
follows from the seed and the scores alone: a longer search begins with the table of a shorter one, and one that was
interrupted goes on where it stopped.
"""

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

from medcl import files
from medcl.documents import build, plain, read_json, sealed
from medcl.engine.progress import Progress, progress
from medcl.errors import MedclError, UsageError
from medcl.tune.space import Varied, drawn

PLAN, TRIALS = "plan.json", "trials"
_ANEW = "remove it, and the same command makes it again"
Scores: TypeAlias = dict[str, tuple[float, ...]]
"""Label fraction -> mean over the repeats and the two ends of its interval."""
Train: TypeAlias = Callable[[Mapping[str, Any], int, Path], Scores]
"""(settings, divisor of the recipe's steps, empty folder) -> scores on validation patients; higher is better."""


@dataclass(frozen=True)
class Halving:
    """How a search goes about it.

    Args:
        budget: time of all trials in s; none begins behind it.
        trials: settings of a round; of the first, with the recipe as it is.
        factor: one of so many settings is given so many times the steps.
        rounds: number of rounds; 0 for as many as the time allows.
        seed: of the settings.
    """

    budget: float
    trials: int = 9
    factor: int = 3
    rounds: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("trials", 2), ("factor", 2), ("rounds", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"--{name} {getattr(self, name)}: at least {least}")


@dataclass(frozen=True)
class SettingsTrial:
    """One pretraining and its score.

    Args:
        number: of the settings; 0 is the recipe as it is.
        round: in which they were drawn, from 0.
        settings: values by name.
        divided: the recipe's number of steps was divided by this.
        scores: by label fraction.
        seconds: that it took.
        reason: why it failed; empty where it did not.
    """

    number: int
    round: int
    settings: dict[str, Any]
    divided: int
    scores: dict[str, tuple[float, ...]] = field(default_factory=dict)
    seconds: float = 0.0
    reason: str = ""

    @property
    def score(self) -> float:
        """Mean over the label fractions; NaN where it failed."""
        means = [mean for mean, *_ in self.scores.values()]
        return sum(means) / len(means) if means else math.nan


@dataclass(frozen=True)
class Search:
    """What a search found.

    Args:
        space: what was varied.
        trials: in the order in which they were done.
        ended: why there are no more.
    """

    space: tuple[Varied, ...]
    trials: tuple[SettingsTrial, ...]
    ended: str

    @property
    def ranked(self) -> list[SettingsTrial]:
        """The last trial of each setting that was scored: those with more steps first, then by score."""
        last = {one.number: one for one in sorted(self.trials, key=lambda one: -one.divided) if not one.reason}
        return sorted(last.values(), key=lambda one: (one.divided, -one.score, one.number))

    @property
    def best(self) -> SettingsTrial:
        """The settings with the highest score among those with the most steps."""
        return self.ranked[0]

    @property
    def unchanged(self) -> SettingsTrial | None:
        """The recipe as it is, with as many steps as the best; None where it failed."""
        return next((one for one in self.ranked if not one.number and one.divided == self.best.divided), None)


def search(
    space: Sequence[Varied],
    now: Mapping[str, Any],
    train: Train,
    folder: Path,
    how: Halving,
    about: Mapping[str, Any],
    note: Callable[[Search], None] = lambda found: None,
) -> Search:
    """Search settings; finished trials stay in the folder, and the same call goes on behind them.

    Args:
        space: what is varied.
        now: the recipe's own values by name.
        train: trains and scores settings; a `MedclError` puts them into quarantine.
        folder: of the search.
        how: it goes about it.
        about: what else decides the scores, in JSON's types.
        note: told after every trial, such as to write its table.

    Raises:
        UsageError: the folder holds another search.
        MedclError: no settings could be trained.
    """
    _keep_plan(folder, [*map(str, space), how.trials, how.factor, how.seed, plain(about)])
    done: list[SettingsTrial] = []
    settings: list[Mapping[str, Any]] = []

    def ended(why: str) -> Search:
        if done and all(one.reason for one in done):
            raise MedclError(f"no settings could be trained and scored; the first: {done[0].reason}")
        return Search(tuple(space), tuple(done), why)

    with progress("tune", None, "trial") as bar:
        for number in count():
            if how.rounds and number == how.rounds:
                return ended(f"{number} round{'s' * (number > 1)}")
            new = drawn(space, how.trials - (not number), [now, *settings], (how.seed, number))
            first = len(settings) if number else 0
            settings += new if number else [now, *new]
            alive = list(range(first, len(settings)))
            if not new:
                return ended("every setting was tried")
            for left in reversed(range(1 + int(math.log(len(alive), how.factor) + 1e-9))):
                tried: list[SettingsTrial] = []
                for one in alive:
                    trial = SettingsTrial(one, number, dict(settings[one]), how.factor**left)
                    spent = sum(other.seconds for other in done)
                    found = _done(trial, train, folder / TRIALS, begin=spent < how.budget)
                    if found is None:
                        return ended("the time is used up")
                    tried.append(found)
                    done.append(found)
                    _tell(bar, done)
                    if not all(other.reason for other in done):
                        note(Search(tuple(space), tuple(done), ""))
                good = sorted((one for one in tried if not one.reason), key=lambda one: (-one.score, one.number))
                if not good:
                    return ended(f"no settings of round {number + 1} could be trained")
                # The recipe as it is goes all the way, to be compared with the best at the same number of steps.
                kept = [one.number for one in good[: max(1, len(alive) // how.factor)]]
                alive = sorted({*kept, *(one.number for one in good if not one.number)})
    raise AssertionError


def _keep_plan(folder: Path, plan: list[Any]) -> None:
    """Note what a folder searches, or refuse it where that is something else."""
    try:
        known = read_json(folder / PLAN, _ANEW)["plan"]
    except FileNotFoundError:
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"-o {folder}: is not empty and holds no search: choose another folder") from None
        files.make_folder(folder)
        files.write(folder / PLAN, json.dumps(sealed({"plan": plan}), indent=1) + "\n")
        return
    if known != json.loads(json.dumps(plan)):
        raise UsageError(
            f"-o {folder}: holds a search of another recipe, of other settings or on other records: choose another "
            "folder; only --budget and --rounds may change"
        )


def _done(trial: SettingsTrial, train: Train, folder: Path, *, begin: bool) -> SettingsTrial | None:
    """Do a trial, or find it done; None where it would have to begin and may not."""
    name = f"{trial.number:03d}-{trial.divided}"
    path, work = folder / f"{name}.json", folder / name
    try:
        found: SettingsTrial = build(SettingsTrial, read_json(path, _ANEW), "trial")
        return found
    except FileNotFoundError:
        if not begin:
            return None
    except (ValueError, KeyError, TypeError) as error:
        raise files.damaged(path, _ANEW) from error
    begun, scores, reason = time.monotonic(), {}, ""
    try:
        scores = train(trial.settings, trial.divided, work)
    except MedclError as error:
        reason = str(error)
    if not reason and not all(math.isfinite(mean) for mean, *_ in scores.values()):
        scores, reason = {}, "its score is undefined on the validation patients"
    seconds = time.monotonic() - begun
    found = SettingsTrial(trial.number, trial.round, trial.settings, trial.divided, scores, seconds, reason)
    files.write(path, json.dumps(sealed(plain(found)), indent=1) + "\n")
    # Weights are trained again by the recipe that is found.
    shutil.rmtree(work, ignore_errors=True)
    return found


def _tell(bar: Progress, done: Sequence[SettingsTrial]) -> None:
    scores = [one.score for one in done if not one.reason]
    bar.set_postfix({"highest score": f"{max(scores):.3f}"} if scores else {})
    bar.update()
