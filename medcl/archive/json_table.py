"""JSON as a table of text: a list of objects, or one object a line."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from medcl.errors import MedclError
from medcl.modality.sheet import Sheet, decode

_DEEPEST = 64  # objects and lists within one another; no table needs more


def read_json(path: Path) -> Sheet:
    """Read a list of objects.

    Args:
        path: of a JSON file.

    Returns:
        Names of the columns, and the rows: every key of any object is a column, the keys of nested objects joined with
        dots; a list of values is one cell, joined with `|`; other lists are kept as JSON.

    Raises:
        MedclError: not JSON, not UTF-8 or UTF-16, nested too deeply, or not a list of objects.
    """
    content = _parsed(_text(path), f"{path}", lines=True)
    if not isinstance(content, list):
        raise MedclError(f"{path}: holds no list of objects, one a row, but {_kind(content)}")
    return _table(path, enumerate(content, start=1), "object")


def read_json_lines(path: Path) -> Sheet:
    """Read one object a line; else as `read_json`."""
    return _table(path, _lines(path), "line")


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    # Only a line feed ends a line: JSON may hold other line separators of Unicode within its texts.
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            yield number, _parsed(line, f"{path}, line {number}", lines=False)


def _parsed(text: str, place: str, *, lines: bool) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise MedclError(f"{place}: nested too deeply for a table") from error
    except json.JSONDecodeError as error:
        where = f" in line {error.lineno}, column {error.colno}" if lines else f" in column {error.colno}"
        raise MedclError(f"{place}: not JSON{where}") from error
    except ValueError as error:
        raise MedclError(f"{place}: not JSON: a number of too many digits") from error


def _text(path: Path) -> str:
    return decode(path, path.read_bytes(), windows=False)[0]


def _table(path: Path, objects: Iterable[tuple[int, Any]], name: str) -> Sheet:
    rows, numbers = [], []
    for number, one in objects:
        if not isinstance(one, dict):
            raise MedclError(f"{path}, {name} {number}: a row is an object, not {_kind(one)}")
        flat: dict[str, str | None] = {}
        if _too_deep(one, _DEEPEST):
            raise MedclError(f"{path}, {name} {number}: nested too deeply for a table")
        for key, cell in _flat(one, ""):
            if key in flat:
                raise MedclError(f"{path}, {name} {number}: the key {key!r} occurs twice")
            flat[key] = cell
        rows.append(flat)
        numbers.append(number)
    names = list(dict.fromkeys(key for row in rows for key in row))
    return Sheet(names, [[row.get(key) for key in names] for row in rows], numbers, name)


def _too_deep(value: Any, left: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return left == 0 or any(_too_deep(one, left - 1) for one in inner)


def _flat(value: dict[str, Any], prefix: str) -> Iterator[tuple[str, str | None]]:
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _flat(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _cell(inner)


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and not any(isinstance(part, dict | list) for part in value):
        return "|".join(cell for cell in map(_cell, value) if cell is not None)
    return json.dumps(value, ensure_ascii=False)


def _kind(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "an object"
    return "a text" if isinstance(value, str) else "a single value"
