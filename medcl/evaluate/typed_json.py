"""Dataclasses as JSON and back, each value checked against its type."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np


def plain(value: Any) -> Any:
    """The value in JSON's types: arrays become lists, paths text, and a number that is not finite becomes None."""
    if is_dataclass(value):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def build(kind: Any, value: Any, where: str) -> Any:
    """Make a value of a type from what JSON holds: the inverse of `plain`, with null for a NaN.

    Keys that the type does not have are left out.

    Args:
        kind: a dataclass, `tuple[X, ...]`, `dict[str, X]`, a `Literal`, `str`, `int`, `float`, `bool` or `Any`.
        value: what `json.loads` gave.
        where: name of the value in errors.

    Returns:
        The value as `kind`.

    Raises:
        ValueError: a value is not of its type, or a key is missing.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _build_dataclass(kind, value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(build(inner[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: build(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is float and value is None:
        return math.nan
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is Any or (origin is Literal and value in inner) or (origin is None and type(value) is kind):
        return value
    expected = kind.__name__ if isinstance(kind, type) else kind
    raise ValueError(f"{where} is {str(value)[:40]!r}, expected {expected}")


def _build_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {str(value)[:40]!r}, expected an object")
    hints = get_type_hints(kind)
    known = {one.name: one.default is MISSING and one.default_factory is MISSING for one in fields(kind)}
    missing = [name for name, required in known.items() if required and name not in value]
    if missing:
        raise ValueError(f"{where} lacks {', '.join(missing)}")
    return kind(**{name: build(hints[name], value[name], f"{where}.{name}") for name in known if name in value})
