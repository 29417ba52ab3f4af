"""Successive halving: what is good is found, what fails is named, and what was interrupted goes on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from medcl.errors import MedclError, UsageError
from medcl.tune import halving
from medcl.tune.halving import Halving, Scores, Search, search
from medcl.tune.space import read

SPACE = read(["rate=0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9"])
NOW = {"rate": 0.0}


class Trained:
    """A score that rises towards a planted rate, and is told the more exactly the more steps there are."""

    def __init__(self, stop: int = 10**6) -> None:
        self.calls: list[tuple[float, int]] = []
        self.stop = stop

    def __call__(self, settings: Mapping[str, Any], divided: int, folder: Path) -> Scores:
        if len(self.calls) == self.stop:
            raise KeyboardInterrupt
        folder.mkdir(parents=True)
        (folder / "weights").write_text("many")
        self.calls.append((settings["rate"], divided))
        if settings["rate"] == 0.9:
            raise MedclError("the loss is not finite")
        score = 1 - abs(settings["rate"] - 0.7) - 0.01 * divided
        return {"10%": (score - 0.1, score - 0.2, score), "100%": (score + 0.1, score, score + 0.2)}


def found(folder: Path, train: Trained, **how: Any) -> Search:
    return search(SPACE, NOW, train, folder, Halving(**{"budget": 60.0, "rounds": 1, **how}), {"records": 3})


def test_the_planted_setting_is_found_with_few_steps_for_the_others(tmp_path: Path) -> None:
    train = Trained()
    made = found(tmp_path / "out", train, rounds=0)
    assert made.ended == "every setting was tried"
    assert made.best.settings == {"rate": 0.7}
    assert made.best.divided == 1
    assert made.unchanged is not None
    assert made.unchanged.settings == NOW
    assert made.best.score == pytest.approx(0.99)
    # Nine settings of a round, then three and the recipe, then one and the recipe.
    first = [one for one in made.trials if one.round == 0]
    assert [sum(one.divided == steps for one in first) for steps in (9, 3, 1)] == [9, 4, 2]
    assert not any(one.number == 0 for one in made.trials if one.round)
    assert len({str(one.settings) for one in made.trials}) == 10
    (failed,) = [one for one in made.trials if one.reason]
    assert (failed.settings, failed.reason) == ({"rate": 0.9}, "the loss is not finite")
    assert failed.number not in [one.number for one in made.ranked]
    # Of a trial its score is kept, not its weights.
    assert not [path for path in (tmp_path / "out" / "trials").iterdir() if path.is_dir()]


def test_an_interrupted_search_comes_to_the_same_table(tmp_path: Path) -> None:
    whole = found(tmp_path / "whole", Trained())
    with pytest.raises(KeyboardInterrupt):
        found(tmp_path / "part", Trained(stop=5))
    rest = Trained()
    again = found(tmp_path / "part", rest)
    assert [(one.settings, one.divided, one.scores, one.reason) for one in again.trials] == [
        (one.settings, one.divided, one.scores, one.reason) for one in whole.trials
    ]
    assert len(rest.calls) == len(whole.trials) - 5
    # A longer search begins with the table of the shorter one.
    assert found(tmp_path / "part", Trained(), rounds=2).trials[: len(again.trials)] == again.trials


def test_no_trial_begins_behind_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(0, 10**6, 20))
    monkeypatch.setattr(halving.time, "monotonic", lambda: float(next(ticks)))
    made = found(tmp_path / "out", Trained(), budget=65.0)
    assert made.ended == "the time is used up"
    assert len(made.trials) == 4  # of 20 s each: the fourth begins at 60 s
    assert made.best.divided == 9
    assert len(found(tmp_path / "out", Trained(), budget=100.0).trials) == 5


def test_a_search_in_which_nothing_trains_fails_with_the_reason(tmp_path: Path) -> None:
    def fails(settings: Mapping[str, Any], divided: int, folder: Path) -> Scores:
        raise MedclError("no window fits")

    with pytest.raises(MedclError, match="no settings could be trained and scored; the first: no window fits"):
        search(SPACE, NOW, fails, tmp_path / "out", Halving(60.0), {})


def test_a_folder_holds_one_search(tmp_path: Path) -> None:
    found(tmp_path / "out", Trained())
    with pytest.raises(UsageError, match="holds a search of another recipe"):
        found(tmp_path / "out", Trained(), seed=1)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("")
    with pytest.raises(UsageError, match="is not empty and holds no search"):
        found(tmp_path / "other", Trained())
    trial = next((tmp_path / "out" / "trials").glob("*.json"))
    trial.write_text(json.dumps({**json.loads(trial.read_text()), "seconds": 0}))
    with pytest.raises(MedclError, match=trial.name):
        found(tmp_path / "out", Trained())


@pytest.mark.parametrize("wrong", [{"trials": 1}, {"factor": 1}, {"rounds": -1}])
def test_wrong_numbers_are_told(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(wrong))} .*: at least"):
        Halving(60.0, **wrong)
