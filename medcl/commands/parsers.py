"""How commands read their words: what is unknown is named with the nearest right one, without a page of usage."""

import argparse
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from medcl.errors import UsageError
from medcl.suggest import did_you_mean

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from medcl.archive.manifest import Manifest


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are errors of the call."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse unknown flags first: argparse would speak of what is missing instead."""
        refuse_unknown(args or (), self._option_string_actions)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see `{self.prog} --help`)")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, not_a_choice(value, action.choices))


def parser(command: Callable[..., None]) -> argparse.ArgumentParser:
    """A parser of plain flags."""
    return _Parser(prog=f"medcl {command.__name__}", description=command.__doc__)


def config_parser(command: Callable[..., None]) -> "ArgumentParser":
    """A parser that also takes dataclasses and YAML files; it takes a third of a second to import."""
    from jsonargparse import ArgumentParser

    class ConfigParser(ArgumentParser):
        classes: list[tuple[type, str | None]]

        def add_class_arguments(self, kind: type, nested_key: str | None = None, **options: Any) -> Any:
            """Remember the class, whose settings a flag may misspell."""
            self.classes = [*getattr(self, "classes", []), (kind, nested_key)]
            return super().add_class_arguments(kind, nested_key, **options)

        def parse_args(self, args: Any = None, namespace: Any = None, **options: Any) -> Any:  # type: ignore[override]
            """Refuse unknown flags first: argparse would speak of what is missing instead."""
            refuse_unknown(args or (), self._flags())
            return super().parse_args(args, namespace, **options)

        def _flags(self) -> Iterator[str]:
            yield from self._option_string_actions
            # Types take their time to look up: only where a flag is none of the above.
            for kind, nested in getattr(self, "classes", []):
                yield from (f"--{name if nested is None else f'{nested}.{name}'}" for name in settings_of(kind))

        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            raise UsageError(f"{_plain(message)} (see `{self.prog} --help`)") from ex

        def _check_value(self, action: argparse.Action, value: Any) -> None:
            if action.choices is not None and isinstance(value, str) and value not in action.choices:
                raise argparse.ArgumentError(action, not_a_choice(value, action.choices))
            super()._check_value(action, value)

    return ConfigParser(prog=f"medcl {command.__name__}", description=command.__doc__)


def check_recipes(words: Sequence[str], kind: type, own: Iterable[str]) -> None:
    """Hold the recipes behind `--config` against the settings that there are.

    Args:
        words: of a command, each recipe as a path.
        kind: dataclass of the settings.
        own: names of the command's flags, which a recipe may set too.

    Raises:
        UsageError: a recipe is not readable YAML, or has an unknown key; names the file, the key and the nearest.
    """
    from medcl.documents import read_yaml

    for path in recipes_in(words):
        known = [*settings_of(kind), *own]
        content = read_yaml(path, "recipe")
        if not isinstance(content, dict):
            raise UsageError(f"recipe {path}: holds no settings, such as `method: comet`")
        for key in _keys(content, "", known):
            raise UsageError(f"recipe {path}: {_unknown('setting', key, known)}")


def named_recipes(words: Sequence[str]) -> list[str]:
    """The words of a command, with the paths of shipped recipes in the place of their names.

    Raises:
        UsageError: there is neither such a file nor a shipped recipe of that name.
    """
    from medcl.shipped import find

    found = list(words)
    for i, word in enumerate(words):
        if word.startswith("--config="):
            found[i] = f"--config={find('recipe', word.partition('=')[2])}"
        elif word == "--config" and i + 1 < len(words):
            found[i + 1] = str(find("recipe", words[i + 1]))
    return found


def recipes_in(words: Sequence[str]) -> Iterator[Path]:
    """The files behind `--config`."""
    for i, word in enumerate(words):
        if word.startswith("--config="):
            yield Path(word.partition("=")[2])
        elif word == "--config" and i + 1 < len(words):
            yield Path(words[i + 1])


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
        if any(name.startswith(f"{flag}.") and not _has_parts(flag, flags) for flag in flags):
            continue
        raise UsageError(_unknown("flag", name, flags))


def not_a_choice(value: object, choices: Iterable[object]) -> str:
    """Say that a value is none of those allowed, and which is nearest."""
    allowed = [str(one) for one in choices]
    return f"{str(value)!r} is none of {', '.join(allowed)}{did_you_mean(str(value), allowed)}"


def read(path: Path) -> "Manifest":
    """The manifest in a file."""
    from medcl.archive.manifest import Manifest

    return Manifest.read(path)


def store_of(manifest: Path) -> Path:
    """Recordings are prepared once, beside their manifest."""
    return manifest.with_suffix(".store")


def _unknown(kind: str, name: str, known: Sequence[str]) -> str:
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


def _keys(content: dict[Any, Any], prefix: str, known: Sequence[str]) -> Iterator[str]:
    """The keys of nested mappings that are no settings."""
    for key, value in content.items():
        name = f"{prefix}{key}"
        if name not in known:
            yield name
        elif isinstance(value, dict) and _has_parts(name, known):
            yield from _keys(value, f"{name}.", known)


def _has_parts(name: str, known: Iterable[str]) -> bool:
    return any(one.startswith(f"{name}.") for one in known)


def _plain(message: str) -> str:
    """A message of the library that parses settings, on one line and without names of Python's types."""
    text = re.sub(r"Parser key \"?([^\":]+)\"?:", r"\1:", message)
    text = re.sub(r"<class '(?:[\w.]*\.)?(\w+)'>", r"\1", text)
    text = " ".join(text.split())
    if found := re.fullmatch(r"(.*?)Expected an? (?:typing\.)?Literal\[(.+)\]\. Got value: (.*)", text):
        return f"{found[1]}{not_a_choice(found[3], (one.strip(chr(39)) for one in found[2].split(', ')))}"
    return re.sub(r"Expected an? (?:typing\.)?(.+?)\. Got value: (.*)", r"expected \1, got '\2'", text)
