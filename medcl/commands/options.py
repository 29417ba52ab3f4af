"""The options of a command: the parameters of its function, and the fields of the dataclasses that it takes."""

import argparse
import pkgutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from inspect import Parameter, signature
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import docstring_parser

_KINDS_OF_WORD = {int: "a whole number", float: "a number", NoneType: "none"}


@dataclass(frozen=True)
class Option:
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

    @property
    def is_flag(self) -> bool:
        """Whether it takes no word."""
        return _types(self.hint) == (bool,)

    @property
    def word(self) -> str:
        """What stands for its value in the help."""
        kinds = {int: "N", float: "NUMBER", Path: "PATH"}
        return kinds.get(_types(self.hint)[0], self.name.rpartition("_")[2].upper())

    @property
    def usage(self) -> str:
        """How it is typed, where it is needed or has a place."""
        if self.positional:
            return self.name.upper() if self.default is MISSING else f"[{self.name.upper()}]"
        return f"{'-o' if self.name == 'output' else f'--{self.name}'} {self.name.upper()}"

    @property
    def is_settings(self) -> bool:
        """Whether it is a group of settings, each of which is a flag."""
        return isinstance(self.hint, type) and is_dataclass(self.hint)

    @property
    def is_required(self) -> bool:
        """Whether the command cannot do without it."""
        return self.default is MISSING or "required" in get_args(self.hint)

    def add_to(self, parser: Any) -> None:
        """Add it to a parser, or to a group of one."""
        if self.is_settings:
            parser.add_class_arguments(self.hint, self.name)
            return
        rest = {**_words(self.hint, self.default), "help": self.told}
        for names in get_args(self.hint)[3:] if get_origin(self.hint) is Annotated else ():
            rest["help"] += f". There are {', '.join(names)}"
        known = self.default if isinstance(self.default, tuple | list) else [self.default]
        if self.default is not MISSING and not self.is_required and "default" not in self.told.lower():
            rest["help"] += f" (default: {_shown(known)})"
        if self.positional:
            rest["metavar"] = self.name.upper()
            if self.default is not MISSING:
                rest["nargs"] = "?"
            parser.add_argument(self.name, **rest)
            return
        if not (self.is_flag or "choices" in rest):
            rest.setdefault("metavar", self.word)
        # A name that Python keeps for itself has an underscore behind it.
        flag = f"-{self.name}" if len(self.name) == 1 else f"--{self.name.rstrip('_').replace('_', '-')}"
        flags = ("-o", flag) if self.name == "output" else (flag,)
        parser.add_argument(*flags, dest=self.name, required=self.is_required, **rest)


def _shown(default: Sequence[Any]) -> str:
    """A default as it would be typed."""
    words = " ".join(
        "off" if one is False else "on" if one is True else str(one) for one in default if one not in (None, "")
    )
    return words or "none"


def options_of(command: Callable[..., Any]) -> Iterator[Option]:
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
            yield Option(one.name, one.annotation, default, told.get(one.name, ""), positional)


def _fields(kind: type, taken: Collection[str]) -> Iterator[Option]:
    told = _told(kind)
    for one in fields(kind):
        # Objects that words cannot give have types in quotes, which are not imported.
        if one.name not in taken and not isinstance(one.type, str):
            default = one.default if one.default_factory is MISSING else one.default_factory()
            yield Option(one.name, one.type, default, told.get(one.name, ""))


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
