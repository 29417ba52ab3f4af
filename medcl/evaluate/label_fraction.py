"""Label fractions in words: `1%`, `0.1`, `50`, `5/class`, `30min`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from medcl.errors import UsageError

_ALLOWED = (
    "allowed are a percentage above 0% and up to 100% ('1%'), a share with a decimal point above 0 and up to 1 ('0.1', "
    "'1.0'), a count of at least 1 ('50'), a number for each class ('5/class'), or a length of recording ('30min')"
)


@dataclass(frozen=True)
class LabelFraction:
    """How much of the training data is labelled, as `10%`: one of these, the others None.

    Args:
        label: as it was requested.
        share: in (0, 1], of the units.
        count: number of units.
        per_class: number of units of each class.
        minutes: length of the recordings together.
    """

    label: str
    share: float | None = None
    count: int | None = None
    per_class: int | None = None
    minutes: float | None = None


def parse(text: str) -> LabelFraction:
    """Read a label fraction from the command line or a configuration.

    With a percent sign, or with a decimal point and a value in (0, 1], it is a share; without either it is a count:
    `1%` is one in a hundred, `1.0` is everything, `1` is a single patient. `5/class` is five of each class, `30min`
    half an hour of recordings.

    Raises:
        UsageError: anything else, with what is allowed.
    """
    stripped = text.strip()
    other = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(/class|min)", stripped, re.ASCII)
    if other and float(other[1]) > 0 and (other[2] == "min" or "." not in other[1]):
        if other[2] == "min":
            return LabelFraction(stripped, minutes=float(other[1]))
        return LabelFraction(stripped, per_class=int(other[1]))
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(%?)", stripped, re.ASCII)
    if match:
        number, percent = match.groups()
        if not percent and "." not in number:
            if int(number) > 0:
                return LabelFraction(stripped, count=int(number))
        else:
            share = float(number) / (100 if percent else 1)
            if 0 < share <= 1:
                return LabelFraction(stripped, share=share)
    raise UsageError(f"--labels {text!r} is not a label fraction: {_ALLOWED}")


def check(labels: Sequence[str], repeats: int) -> None:
    """Refuse label fractions that cannot be drawn, before anything is computed.

    Raises:
        UsageError: a label fraction is invalid, or there is none, or no repeat.
    """
    for text in labels:
        parse(text)
    if repeats < 1 or not labels:
        raise UsageError("an evaluation needs at least one of --labels and at least one of --repeats")
