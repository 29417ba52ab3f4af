"""The flags of a command: the parameters of its function, and the fields of the dataclasses that it takes."""

import argparse
import pkgutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from inspect import Parameter, signature
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin

import docstring_parser
from jsonargparse import ArgumentParser, DefaultHelpFormatter

from medcl.errors import UsageError
from medcl.spelling import not_a_choice, plain, refuse_unknown, settings_of

_RENAMED = {"--of": "--kind", "--pictures": "--images"}
_KINDS_OF_WORD = {int: "a whole number", float: "a number", NoneType: "none"}


class _HelpFormatter(DefaultHelpFormatter):
    """Help that says of settings what they are by default and of which type, of flags only what is written of them."""

    def _get_help_string(self, action: argparse.Action) -> str:
        plain_flag = type(action).__module__ == "argparse" and action.dest != "help"
        return action.help or "" if plain_flag else super()._get_help_string(action)


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


@dataclass(frozen=True)
class _Option:
    """A parameter of a command.

    Args:
        name: in Python.
        hint: its type; `Annotated[type, "METAVAR"]` names its value in the help, and `Annotated[type, "METAVAR",
            "repeated", names]` takes several values from one flag each, and lists names in the help.
        default: `MISSING` where it has to be given.
        told: its help.
        positional: given by its place rather than by a flag.
    """

    name: str
    hint: Any
    default: Any
    told: str
    positional: bool = False

    @property
    def many(self) -> bool:
        """Whether it takes several words."""
        return any(get_origin(one) in (tuple, list, Sequence) for one in _types(self.hint))

    def add_to(self, parser: ArgumentParser) -> None:
        """Add it to a parser."""
        if isinstance(self.hint, type) and is_dataclass(self.hint):
            parser.add_class_arguments(self.hint, self.name)
            return
        rest = {**_words(self.hint, self.default), "help": self.told}
        for names in get_args(self.hint)[3:] if get_origin(self.hint) is Annotated else ():
            rest["help"] += f". There are {', '.join(names)}"
        known = self.default if isinstance(self.default, tuple | list) else [self.default]
        worth_telling = bool(known) and not any(one is False or one in (None, MISSING, "") for one in known)
        if worth_telling and "default" not in self.told:
            rest["help"] += f" (default: {' '.join(map(str, known))})"
        if self.positional:
            rest.setdefault("metavar", self.name.upper() if self.name == "recipe" else None)
            if self.default is not MISSING:
                rest["nargs"] = "?"
            parser.add_argument(self.name, **rest)
            return
        flag = f"-{self.name}" if len(self.name) == 1 else f"--{self.name.replace('_', '-')}"
        flags = ("-o", flag) if self.name == "output" else (flag,)
        parser.add_argument(
            *flags, dest=self.name, required=self.default is MISSING or "required" in get_args(self.hint), **rest
        )


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
    options = list(_options(command))
    takes_recipe = next(iter(signature(command).parameters)) == "recipe"
    if takes_recipe:
        from medcl.commands import recipe_help, recipes

        everything = list(words[:2]) == ["--help", "all"]
        parser.epilog = recipe_help.everything() if everything else recipe_help.summary(command.__name__)
        parser.formatter_class = _Verbatim
        words = words[:1] if everything else words
        own = [flag for flag in parser._option_string_actions if flag.startswith("--")]
        words, sources, settings = recipes.of_words(words, own)
        parser.further = recipe_help.known_flags
    given = parser.instantiate(parser.parse_args(words))
    values = {one.name: given[one.name] for one in options}
    values |= {one.name: tuple(values[one.name]) for one in options if one.many and values[one.name] is not None}
    if takes_recipe:
        values["recipe"] = recipes.from_words(values["recipe"], sources, settings)
    return values


def parser_of(command: Callable[..., Any]) -> ConfigParser:
    """The parser of a command's own flags."""
    told = docstring_parser.parse(command.__doc__ or "")
    description = "\n\n".join(filter(None, (told.short_description, told.long_description)))
    parser = ConfigParser(prog=f"medcl {command.__name__}", description=description)
    for one in _options(command):
        one.add_to(parser)
    return parser


def _options(command: Callable[..., Any]) -> Iterator[_Option]:
    """The parameters of a command, but for its recipe."""
    told = _told(command)
    parameters = signature(command).parameters
    for place, one in enumerate(parameters.values()):
        if one.kind is Parameter.VAR_KEYWORD:
            taken = {*parameters}
            for source in get_args(one.annotation)[1:]:
                kind = pkgutil.resolve_name(source)
                yield from _fields(kind, taken)
                taken |= {field.name for field in fields(kind)}
        else:
            if isinstance(one.annotation, str):
                # Objects that words cannot give have types in quotes, which are not imported.
                continue
            default = MISSING if one.default is Parameter.empty else one.default
            # A recipe may be named by --config, too.
            default = None if one.name == "recipe" and not place else default
            positional = not place or "placed" in get_args(one.annotation)
            yield _Option(one.name, one.annotation, default, told.get(one.name, ""), positional)


def _fields(kind: type, taken: Collection[str]) -> Iterator[_Option]:
    told = _told(kind)
    for one in fields(kind):
        # Objects that words cannot give have types in quotes, which are not imported.
        if one.name not in taken and not isinstance(one.type, str):
            default = one.default if one.default_factory is MISSING else one.default_factory()
            yield _Option(one.name, one.type, default, told.get(one.name, ""))


def _told(documented: Any) -> dict[str, str]:
    """The help of each parameter, from a docstring in Google's style."""
    found = docstring_parser.parse(documented.__doc__ or "").params
    return {one.arg_name: " ".join((one.description or "").split()).removesuffix(".") for one in found}


def _words(hint: Any, default: Any) -> dict[str, Any]:
    """What argparse has to know of a type."""
    rest: dict[str, Any] = {}
    if get_origin(hint) is Annotated:
        rest["metavar"] = get_args(hint)[1]
    types = [one for one in _types(hint) if one is not NoneType]
    if types == [bool]:
        no_flag = {"action": argparse.BooleanOptionalAction, "default": True}
        return no_flag if default is True else {"action": "store_true"}
    # Of what is something else by default, `none` says that it is not wanted.
    if len(types) < len(_types(hint)) and default not in (None, MISSING):
        types.append(NoneType)
    if get_origin(types[0]) in (tuple, list, Sequence):
        inner = [one for one in get_args(types[0]) if one is not Ellipsis]
        repeated = "repeated" in get_args(hint)
        many = {"action": "append"} if repeated else {"nargs": "+" if len(inner) == 1 else len(inner)}
        rest = {**_words(inner[0], MISSING), **many, **rest}
        default = default if default in (None, MISSING) else list(default)
    elif get_origin(types[0]) is Literal:
        rest["choices"] = list(get_args(types[0]))
    elif types != [str]:
        rest["type"] = _reader(types)
    return rest if default is MISSING else {**rest, "default": default}


def _types(hint: Any) -> tuple[Any, ...]:
    hint = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _reader(types: Sequence[Any]) -> Callable[[str], Any]:
    """What reads a word as the first of some types that it fits."""

    def read(word: str) -> Any:
        if word == "none" and NoneType in types:
            return None
        for one in types:
            with suppress(ValueError, TypeError):
                return one(word)
        raise argparse.ArgumentTypeError(f"{word!r} is not {' or '.join(_KINDS_OF_WORD[one] for one in types)}")

    return read


def _renamed(word: str) -> str:
    name, equals, value = word.partition("=")
    return f"{_RENAMED.get(name, name)}{equals}{value}"
