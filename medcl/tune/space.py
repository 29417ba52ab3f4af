"""What a search varies: settings of a recipe by their dotted names, and the values that each may take."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeAlias

import numpy as np
import yaml

from medcl.errors import UsageError

WEIGHTS = (0.0, 0.1, 0.5, 1.0)
TEMPERATURES = 0.05, 0.5
"""Of objectives, in a search that names no settings."""
_EXAMPLES = (
    "NAME=VALUE,VALUE or NAME=LOW..HIGH, such as objectives.patient.temperature=0.05,0.1,0.2 or "
    "optimiser.learning_rate=1e-4..1e-2:log"
)


@dataclass(frozen=True)
class Choices:
    """A setting that takes one of some values.

    Args:
        name: dotted name of the setting.
        values: in the order in which they were given.
    """

    name: str
    values: tuple[Any, ...]

    def draw(self, rng: np.random.Generator) -> Any:
        """One of them, each as probable as the others."""
        return self.values[int(rng.integers(len(self.values)))]

    def __str__(self) -> str:
        return f"{self.name}: {', '.join(map(str, self.values))}"


@dataclass(frozen=True)
class NumberRange:
    """A setting that takes any number of a range.

    Args:
        name: dotted name of the setting.
        low: the least, included.
        high: the largest, included.
        log: whether all ratios, rather than all differences, are equally probable.
    """

    name: str
    low: float
    high: float
    log: bool = False

    @property
    def values(self) -> tuple[float, float]:
        """Its ends."""
        return self.low, self.high

    def draw(self, rng: np.random.Generator) -> Any:
        """A number of three digits; a whole one between whole ends."""
        if isinstance(self.low, int) and isinstance(self.high, int) and not self.log:
            return int(rng.integers(self.low, self.high, endpoint=True))
        ends = np.log(self.values) if self.log else np.array(self.values)
        drawn = float(rng.uniform(*ends))
        number = float(f"{np.exp(drawn) if self.log else drawn:.3g}")
        number = min(max(number, self.low), self.high)
        return round(number) if isinstance(self.low, int) and isinstance(self.high, int) else number

    def __str__(self) -> str:
        return f"{self.name}: {self.low:g} to {self.high:g}{' (log)' if self.log else ''}"


Varied: TypeAlias = Choices | NumberRange


def read(vary: Sequence[str] | Mapping[str, Any]) -> list[Varied]:
    """What a user varies, of words or of values by name.

    Args:
        vary: words such as `batch.patients=8,16` or `optimiser.learning_rate=1e-4..1e-2:log`; or `{name: values}`, of
            which text is such a range.

    Raises:
        UsageError: a word is not of this form, a range is empty, or a setting is named twice.

    Example:
        >>> from medcl.tune.space import read
        >>> for one in read(["batch.patients=8,16", "optimiser.learning_rate=1e-4..1e-2:log"]):
        ...     print(one)
        batch.patients: 8, 16
        optimiser.learning_rate: 0.0001 to 0.01 (log)
    """
    if isinstance(vary, Mapping):
        found = [_of_values(name, values) for name, values in vary.items()]
    else:
        found = [_of_word(word) for word in vary]
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--vary {name}: is named twice; give all of its values at once")
    return found


def _of_word(word: str) -> Varied:
    name, equals, text = word.partition("=")
    if not (name.strip() and equals and text.strip()):
        raise UsageError(f"--vary {word}: {_EXAMPLES}")
    return _of_values(name.strip(), text.strip())


def _of_values(name: str, values: Any) -> Varied:
    if isinstance(values, str) and ".." in values:
        return _range(name, values)
    if isinstance(values, str):
        try:
            values = yaml.safe_load(f"[{values}]")
        except yaml.YAMLError as error:
            raise UsageError(f"--vary {name}: the values are no YAML: {_EXAMPLES}") from error
    if not isinstance(values, list | tuple) or not values:
        raise UsageError(f"--vary {name}: names no values: {_EXAMPLES}")
    return Choices(name, tuple(values))


def _range(name: str, text: str) -> NumberRange:
    ends, colon, way = text.partition(":")
    try:
        low, high = (_number(end) for end in ends.split("..", 1))
    except ValueError as error:
        raise UsageError(f"--vary {name}: {text} is no range of numbers: {_EXAMPLES}") from error
    if colon and way.strip() != "log":
        raise UsageError(f"--vary {name}: {text}: behind the colon stands `log` or nothing")
    if low >= high or (colon and low <= 0):
        raise UsageError(f"--vary {name}: {text}: the lower end comes first{', and is above 0' if colon else ''}")
    return NumberRange(name, low, high, bool(colon))


def _number(text: str) -> float:
    """A number, whole where it is written so."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def usual(recipe: Any, longest: float = np.inf) -> list[Varied]:
    """What is varied of a recipe where nothing is named.

    The learning rate to a third and to three times; the temperature of objectives; weights of objectives, where there
    are several, and of their levels; half and twice the window; and views that the recipe has, off and twice as strong.

    Args:
        recipe: `medcl.pretrain.recipe.Recipe`.
        longest: length of the records in s, which no window exceeds.
    """
    rate = recipe.optimiser.learning_rate
    found: list[Varied] = [NumberRange("optimiser.learning_rate", rate / 3, rate * 3, log=True)]
    for name, one in recipe.objectives.items():
        where, levels = f"objectives.{name}", getattr(one, "levels", None)
        if getattr(one, "temperature", 0.0) and not getattr(one, "learn_temperature", False):
            found.append(NumberRange(f"{where}.temperature", *TEMPERATURES, log=True))
        if isinstance(levels, Mapping):
            # Without any level the objective would have no loss: that is its own weight of 0.
            found += [Choices(f"{where}.levels.{level}", WEIGHTS[1:]) for level in levels]
        if len(recipe.objectives) > 1:
            found.append(Choices(f"{where}.weight", WEIGHTS))
    for name, one in recipe.inputs.items():
        window = getattr(one.data, "window", None)
        if window:
            windows = tuple(length for length in (window / 2, window, window * 2) if length <= longest)
            found.append(Choices(f"inputs.{name}.data.window", windows or (window,)))
        found += [Choices(f"inputs.{name}.views.{view}", values) for view, values in _strengths(one.views)]
    return found


def _strengths(views: Any) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Views that a recipe has: off, as they are, and twice as strong; a probability is at most 1."""
    for one in fields(views) if is_dataclass(views) else ():
        now = getattr(views, one.name)
        if isinstance(now, float) and now > 0 and now != one.default:
            yield one.name, tuple(dict.fromkeys((0.0, now, min(2 * now, 1.0) if now <= 1 else 2 * now)))


def drawn(
    space: Sequence[Varied], count: int, known: Sequence[Mapping[str, Any]], seed: Sequence[int]
) -> list[dict[str, Any]]:
    """Settings at random, none of which is known or drawn twice.

    Args:
        space: what is varied.
        count: number of settings; there are fewer where the space has no more.
        known: settings that were tried before.
        seed: of this draw.

    Returns:
        Values by name, the same for every call.
    """
    rng, seen = np.random.default_rng(list(seed)), [dict(one) for one in known]
    found: list[dict[str, Any]] = []
    for _ in range(100 * count):
        settings = {one.name: one.draw(rng) for one in space}
        if len(found) < count and settings not in seen:
            seen.append(settings)
            found.append(settings)
    return found
