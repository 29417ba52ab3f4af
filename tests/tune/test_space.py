"""What a search varies: read from words and values, and drawn the same every time."""

import pytest

from medcl.errors import UsageError
from medcl.tune.space import Choices, NumberRange, drawn, read, usual
from tests.pretrain.recipe import small


def test_words_and_values_are_the_same() -> None:
    words = read(["batch.patients=8,16", "views={mask: none},{jitter: 0.1}", "optimiser.learning_rate=1e-4..1e-2:log"])
    views = [{"mask": "none"}, {"jitter": 0.1}]
    values = {"batch.patients": [8, 16], "views": views, "optimiser.learning_rate": "1e-4..1e-2:log"}
    assert words == read(values)
    assert words[0] == Choices("batch.patients", (8, 16))
    assert words[2] == NumberRange("optimiser.learning_rate", 1e-4, 1e-2, log=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["temperature"], "NAME=VALUE,VALUE"),
        (["temperature="], "NAME=VALUE,VALUE"),
        (["a=[1"], "no YAML"),
        (["a=1..x"], "no range of numbers"),
        (["a=2..1"], "the lower end comes first"),
        (["a=0..1:log"], "above 0"),
        (["a=1..2:lin"], "stands `log` or nothing"),
        (["a=1", "a=2"], "named twice"),
    ],
)
def test_wrong_words_are_told(words: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(words)


def test_draws_keep_to_their_ranges_and_never_repeat() -> None:
    space = read(["a=1,2,3", "b=2..5", "c=1e-4..1e-2:log", "d=0.5..1.5"])
    found = drawn(space, 200, [], [0, 1])
    assert found == drawn(space, 200, [], [0, 1]) != drawn(space, 200, [], [0, 2])
    assert {one["a"] for one in found} == {1, 2, 3}
    assert {one["b"] for one in found} == {2, 3, 4, 5}
    assert all(1e-4 <= one["c"] <= 1e-2 and 0.5 <= one["d"] <= 1.5 for one in found)
    # Of two decades either has half of the draws.
    assert 60 < sum(one["c"] < 1e-3 for one in found) < 140
    few = drawn(read(["a=1,2,3"]), 9, [{"a": 2}], [0])
    assert sorted(one["a"] for one in few) == [1, 3]


def test_a_recipe_says_what_is_usual() -> None:
    space = {one.name: one for one in usual(small(), longest=3.0)}
    assert set(space) == {
        "optimiser.learning_rate",
        "objectives.patient.temperature",
        "objectives.patient.weight",
        "objectives.trial.temperature",
        "objectives.trial.weight",
        "objectives.within.weight",
        "objectives.within.levels.sample",
        "objectives.within.levels.observation",
        "inputs.signal.data.window",
        "inputs.signal.views.jitter",
    }
    assert 0.0 in space["objectives.within.weight"].values
    assert 0.0 not in space["objectives.within.levels.sample"].values
    # A window of 4 s does not fit into records of 3 s.
    assert space["inputs.signal.data.window"].values == (1.0, 2.0)
    assert space["inputs.signal.views.jitter"].values == (0.0, 0.05, 0.1)
