"""Recipes on the command line and in Python: a file, the name of a shipped one, and settings that override it."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from medcl import documents
from medcl.commands.spelling import has_parts, settings_of, unknown
from medcl.documents import read_yaml
from medcl.errors import UsageError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from medcl.pretrain.plan import Config


def recipe(
    source: "Path | str | Mapping[str, Any] | Config | None", settings: Mapping[str, Any] | None = None
) -> "Config":
    """A whole recipe, of whichever method it names.

    Args:
        source: a YAML file, the name of a shipped one, a recipe that is read already, or None for the defaults.
        settings: that count more than those of the file, by dotted names or as nested mappings.

    Raises:
        UsageError: there is no such recipe, or it holds an unknown setting or an invalid value.
    """
    from medcl.commands.parsers import ConfigParser

    if is_dataclass(source) and not settings:
        return source
    if is_dataclass(source):
        raise UsageError("settings are for a recipe in a file: change those of this one with dataclasses.replace")
    words: list[str] = []
    if isinstance(source, Mapping):
        settings = {**source, **(settings or {})}
    elif source is not None:
        words += ["--config", str(source)]
    if settings:
        from medcl.pretrain.methods import asked_for, config_class

        words += ["--method", str(settings["method"])] if "method" in settings else []
        known = settings_of(config_class(asked_for(_named(words))))
        for name, value in _flat(settings, known):
            if name not in known:
                raise UsageError(unknown("setting", name, known))
            words += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
    parser = ConfigParser(prog="medcl pretrain")
    words, built = add_recipe(parser, words)
    return built(parser.instantiate(parser.parse_args(words)))


def add_recipe(parser: "ArgumentParser", words: Sequence[str]) -> "tuple[list[str], Callable[[Any], Config]]":
    """Add the settings of the method that the words of a command name.

    Returns:
        The words, with the paths of shipped recipes in the place of their names; and what makes the recipe of what
        was parsed.

    Raises:
        UsageError: a recipe is not found or holds an unknown setting; there is no such method.
    """
    from medcl.pretrain.methods import JOINT, SIGNALS, VOLUMES, asked_for, config_class

    words = _named(words)
    kind = config_class(asked_for(words))
    own = [action.dest for action in parser._actions]
    parser.add_argument(
        "--config",
        action="config",
        help="recipe (YAML file, or the name of a shipped one); single values are overridden as --optimiser.steps 500",
    )
    parser.add_class_arguments(kind)
    parser.epilog = (
        f"The settings are those of the method that the recipe names. Methods for recordings: {', '.join(SIGNALS)}; "
        f"for volumes: {', '.join(VOLUMES)}; for images, reports and several modalities: {', '.join(JOINT)}. "
        f"`{parser.prog} --method {VOLUMES[0]} --help` shows those of one method."
    )
    _check(words, kind, [*own, "config"])
    return words, lambda given: kind(**{one.name: given[one.name] for one in fields(kind)})


def _check(words: Sequence[str], kind: type, own: Iterable[str]) -> None:
    """Hold the recipes behind `--config` against the settings that there are, and the command's own flags.

    Raises:
        UsageError: a recipe is not readable YAML, or has an unknown key; names the file, the key and the nearest.
    """
    for place, word in enumerate(words):
        if word != "--config" and not word.startswith("--config="):
            continue
        path = Path(word.partition("=")[2] or "".join(words[place + 1 : place + 2]))
        known = [*settings_of(kind), *own]
        content = read_yaml(path, "recipe")
        if not isinstance(content, dict):
            raise UsageError(f"recipe {path}: holds no settings, such as `method: comet`")
        for key in _unknown_keys(content, "", known):
            raise UsageError(f"recipe {path}: {unknown('setting', key, known)}")
        for key in _empty_groups(content, kind):
            raise UsageError(f"recipe {path}: {key} holds no settings: give it some, or leave it out for the defaults")


def _named(words: Sequence[str]) -> list[str]:
    """The words of a command, with the paths of shipped recipes in the place of their names."""
    found = list(words)
    for place, word in enumerate(words):
        if word.startswith("--config="):
            found[place] = f"--config={documents.find('recipe', word.partition('=')[2])}"
        elif word == "--config" and place + 1 < len(words):
            found[place + 1] = str(documents.find("recipe", words[place + 1]))
    return found


def _flat(settings: Mapping[str, Any], known: Sequence[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names of nested settings; a mapping that is itself a value, such as weights by level, stays whole."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and has_parts(f"{prefix}{name}", known):
            yield from _flat(value, known, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _unknown_keys(content: Mapping[Any, Any], prefix: str, known: Sequence[str]) -> Iterator[str]:
    """The keys of nested mappings that are no settings."""
    for key, value in content.items():
        name = f"{prefix}{key}"
        if name not in known:
            yield name
        elif isinstance(value, dict) and has_parts(name, known):
            yield from _unknown_keys(value, f"{name}.", known)


def _empty_groups(content: Mapping[Any, Any], kind: type, prefix: str = "") -> Iterator[str]:
    """The keys of nested mappings that are null where there have to be settings."""
    for one in fields(kind):
        value, factory = content.get(one.name, ...), one.default_factory
        default: Any = one.default if factory is MISSING else factory()
        group = next((each for each in (one.type, *get_args(one.type)) if is_dataclass(each)), None)
        if isinstance(value, Mapping) and isinstance(group, type):
            yield from _empty_groups(value, group, f"{prefix}{one.name}.")
        elif value is None and is_dataclass(default):
            yield f"{prefix}{one.name}"
