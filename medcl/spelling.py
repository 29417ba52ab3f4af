"""Wrong words on the command line: what is unknown is named with the nearest right one, without a page of usage."""

import re
import typing
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass

from medcl.errors import UsageError, did_you_mean


def settings_of(kind: type) -> list[str]:
    """Dotted names of the fields of a dataclass and of the dataclasses in it."""
    names = []
    hints = typing.get_type_hints(kind)
    for one in fields(kind):
        names.append(one.name)
        for inner in (hints[one.name], *typing.get_args(hints[one.name])):
            if isinstance(inner, type) and is_dataclass(inner):
                names += [f"{one.name}.{name}" for name in settings_of(inner)]
    return names


def refuse_unknown(words: Sequence[str], known: Iterable[str]) -> None:
    """Refuse flags that there are not.

    Args:
        words: of a command.
        known: its flags. What begins one of them is an abbreviation.

    Raises:
        UsageError: names the flag and the nearest one.
    """
    given = list(words)[: list(words).index("--")] if "--" in words else words
    names = [word.partition("=")[0] for word in given if word.startswith("--")]
    left = iter(known)
    flags: list[str] = []
    for name in names:
        # What is asked for is looked for first: the rest is listed where it is not there.
        while not any(flag.startswith(name) for flag in flags) and (flag := next(left, None)) is not None:
            flags += [flag] if flag.startswith("--") else []
        if any(flag.startswith(name) for flag in flags):
            continue
        # What lies below a setting that is a mapping, such as --comet.levels.patient, is its own business.
        if any(name.startswith(f"{flag}.") and not has_parts(flag, flags) for flag in flags):
            continue
        raise UsageError(unknown("flag", name, flags))


def not_a_choice(value: object, choices: Iterable[object]) -> str:
    """Say that a value is none of those allowed, and which is nearest."""
    allowed = [str(one) for one in choices]
    return f"{str(value)!r} is none of {', '.join(allowed)}{did_you_mean(str(value), allowed)}"


def unknown(kind: str, name: str, known: Sequence[str]) -> str:
    """An unknown dotted name, with the nearest of its own group, or else of all whose last part is near."""
    known = list(dict.fromkeys(known))
    group, dot, last = name.rpartition(".")
    siblings = [one for one in known if one.rpartition(".")[0] == group]
    if dot and siblings:
        hint = did_you_mean(last, [one.rpartition(".")[2] for one in siblings])
        return f"no {kind} {name!r}; {group} has {', '.join(one.rpartition('.')[2] for one in siblings)}{hint}"
    return f"no {kind} {name!r}{_elsewhere(last, known) or did_you_mean(name, known)}"


def _elsewhere(last: str, known: Sequence[str]) -> str:
    # The last part of a dotted name is what is remembered of it.
    found = [one for one in known if one.rpartition(".")[1:] == (".", last.lstrip("-"))]
    return f"; did you mean {' or '.join(map(repr, found[:3]))}?" if found else ""


def has_parts(name: str, known: Iterable[str]) -> bool:
    """Whether a setting is a group of settings."""
    return any(one.startswith(f"{name}.") for one in known)


def plain(message: str) -> str:
    """A message of the library that parses settings, on one line and without names of Python's types."""
    text = re.sub(r"Parser key \"?([^\":]+)\"?:", r"\1:", message)
    text = re.sub(r"<class '(?:[\w.]*\.)?(\w+)'>", r"\1", text)
    text = " ".join(text.split())
    if found := re.fullmatch(r"(.*?)Expected an? (?:typing\.)?Literal\[(.+)\]\. Got value: (.*)", text):
        return f"{found[1]}{not_a_choice(found[3], (one.strip(chr(39)) for one in found[2].split(', ')))}"
    return re.sub(r"Expected an? (?:typing\.)?(.+?)\. Got value: (.*)", r"expected \1, got '\2'", text)
