"""The flags of a command: the parameters of its function, and the fields of the dataclasses that it takes."""

import argparse
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from inspect import signature
from itertools import takewhile
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

import docstring_parser
from jsonargparse import ArgumentParser, DefaultHelpFormatter

from medcl.commands import option_help
from medcl.commands.options import options_of
from medcl.errors import UsageError
from medcl.spelling import not_a_choice, plain, refuse_unknown, settings_of

_NUMBER = re.compile(r"-?\d+(\.\d*)?(e-?\d+)?|-?\.\d+", re.IGNORECASE)
_RENAMED = {"--of": "--kind", "--pictures": "--images"}


class _HelpFormatter(DefaultHelpFormatter):
    """Help that says of flags what is written of them, of settings their default too, and nothing of Python's types."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)  # type: ignore[no-untyped-call]

    def _get_help_string(self, action: argparse.Action) -> str:
        if type(action).__module__ == "argparse":
            return action.help or ""
        if "Path to a configuration file" in (action.help or ""):
            return "YAML file of the settings below (default: none)"
        return re.sub(r"\.? \(type: .+, default: (.+)\)$", r" (default: \1)", super()._get_help_string(action))

    def _expand_help(self, action: argparse.Action) -> str:
        return super()._expand_help(action).replace("(default: null)", "(default: none)")


class _Verbatim(_HelpFormatter):
    """Help whose last part keeps its lines."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n  " in text else super()._fill_text(text, width, indent)


class ConfigParser(ArgumentParser):
    """A parser whose errors are errors of the call, without a page of usage."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=True, formatter_class=_HelpFormatter, **options)
        self.classes: list[tuple[type, str | None]] = []
        self.further: Callable[[], Iterator[str]] = lambda: iter(())

    def add_class_arguments(self, kind: type, nested_key: str | None = None, **options: Any) -> Any:
        """Remember the class, whose settings a flag may misspell."""
        self.classes.append((kind, nested_key))
        return super().add_class_arguments(kind, nested_key, **options)

    def parse_args(self, args: Any = None, namespace: Any = None, **options: Any) -> Any:  # type: ignore[override]
        """Refuse unknown flags first: argparse would speak of what is missing instead."""
        refuse_unknown(args or (), self._flags())
        return super().parse_args(args, namespace, **options)

    def _flags(self) -> Iterator[str]:
        yield from self._option_string_actions
        # Types take their time to look up: only for a flag that is not found above.
        for kind, nested in self.classes:
            yield from (f"--{name if nested is None else f'{nested}.{name}'}" for name in settings_of(kind))
        yield from self.further()

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what argparse would print.

        Raises:
            UsageError: always.
        """
        start, colon, names = message.partition("are required: ")
        flags = {one.dest: "/".join(one.option_strings) or one.dest for one in self._actions}
        flags |= {str(one.metavar): one.dest for one in self._actions if not one.option_strings}
        names = ", ".join(flags.get(name, name) for name in names.split(", "))
        raise UsageError(f"{plain(f'{start}{colon}{names}')} (see `{self.prog} --help`)") from ex

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and isinstance(value, str) and value not in action.choices:
            raise argparse.ArgumentError(action, not_a_choice(value, action.choices))
        super()._check_value(action, value)


class Show(argparse.Action):
    """A flag that, like --help, prints something and needs no other flag."""

    def __init__(self, option_strings: Sequence[str], dest: str, shown: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **options)
        self.shown = shown

    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> None:
        """Print what the function named by `shown` returns, and end."""
        print(pkgutil.resolve_name(self.shown)())
        parser.exit()


def parse(
    command: Callable[..., Any], words: Sequence[str], shows: Mapping[str, tuple[str, str]] | None = None
) -> dict[str, Any]:
    """The arguments of a command's function from the words of a command line.

    Args:
        command: the function. Its first parameter is given by its place, the others by flags; one that is named
            `recipe` is one, whose settings are flags too. `**settings: Annotated[Any, "module:Class", ...]` are
            the fields of these dataclasses.
        words: behind the name of the command.
        shows: flag that only prints something -> its help, and the function `module:name` that tells what.

    Returns:
        Name of a parameter -> its value.

    Raises:
        UsageError: a word is invalid; names the nearest valid one.
    """
    parser = parser_of(command)
    for flag, (told, shown) in (shows or {}).items():
        parser.add_argument(flag, action=Show, shown=shown, help=told)
    words = [_renamed(word) for word in words]
    options = list(options_of(command))
    takes_recipe = next(iter(signature(command).parameters)) == "recipe"
    everything = words[:1] in (["--help"], ["-h"]) and words[1:] == ["all"]
    if everything:
        words = words[:1]
    elif "--help" in words or "-h" in words:
        option_help.hide_others(parser, command.__name__)
    if takes_recipe:
        from medcl.commands import recipe_help, recipes

        told = recipe_help.everything() if everything else recipe_help.summary(command.__name__)
        parser.epilog = "\n\n".join(filter(None, (parser.epilog, told)))
        parser.formatter_class = _Verbatim
        own = [flag for flag in parser._option_string_actions if flag.startswith("--")]
        words, sources, settings = recipes.of_words(words, own)
        parser.further = recipe_help.known_flags
    given = parser.instantiate(parser.parse_args(_as_lists(words, parser.classes)))
    values = {one.name: given[one.name] for one in options}
    values |= {one.name: tuple(values[one.name]) for one in options if one.many and values[one.name] is not None}
    if takes_recipe:
        if values["recipe"] is None and not sources and (earlier := values.get("continue_")):
            values["recipe"] = recipes.of_run(earlier)
        values["recipe"] = recipes.from_words(values["recipe"], sources, settings)
    return values


def parser_of(command: Callable[..., Any]) -> ConfigParser:
    """The parser of a command's own flags."""
    told = docstring_parser.parse(command.__doc__ or "")
    description = "\n\n".join(filter(None, (told.short_description, told.long_description)))
    name, options = command.__name__, list(options_of(command))
    needed = sorted((one for one in options if one.positional or one.is_required), key=lambda one: not one.positional)
    usage = " ".join(["medcl", name, *(one.usage for one in needed), "[options]"])
    parser = ConfigParser(prog=f"medcl {name}", description=description, usage=usage)
    groups = {title: parser.add_argument_group(title) for title in ("arguments", *option_help.titles(name))}
    for one in options:
        title = "arguments" if one in needed else option_help.group_of(name, one.name)
        one.add_to(parser if one.is_settings else groups.get(title, parser))
    parser._actions[0].help = "show this help and exit; `--help all` shows every option"
    # What all commands have comes last.
    listed: Any = parser._action_groups
    listed.append(listed.pop(listed.index(parser._optionals)))
    return parser


def _as_lists(words: Sequence[str], classes: Sequence[tuple[type, str | None]]) -> list[str]:
    """Numbers behind a setting that holds several as the list that they are: `--segment.mirror 0 1`, or `0` alone."""
    several = {f"--{nested}.{name}" for kind, nested in classes if nested for name in _tuples_of(kind)}
    found: list[str] = []
    left = list(words)
    while left:
        flag, equals, value = left.pop(0).partition("=")
        numbers = list(takewhile(_NUMBER.fullmatch, [value] if equals else left)) if flag in several else []
        if numbers:
            found += [flag, f"[{', '.join(numbers)}]"]
            left = left if equals else left[len(numbers) :]
        else:
            found.append(f"{flag}{equals}{value}")
    return found


def _tuples_of(kind: type) -> Iterator[str]:
    """Dotted names of the fields of a dataclass, and of those in it, that hold several values."""
    for name, hint in get_type_hints(kind).items():
        if isinstance(hint, type) and is_dataclass(hint):
            yield from (f"{name}.{inner}" for inner in _tuples_of(hint))
        elif tuple in (get_origin(hint), *map(get_origin, get_args(hint))):
            yield name


def _renamed(word: str) -> str:
    name, equals, value = word.partition("=")
    return f"{_RENAMED.get(name, name)}{equals}{value}"
