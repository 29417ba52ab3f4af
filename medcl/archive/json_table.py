"""JSON as a table of text: a list of objects, or one object a line."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from medcl.errors import MedclError

Cells = tuple[list[str], list[list[str | None]]]


def read_json(path: Path) -> Cells:
    """Read a list of objects.

    Args:
        path: of a JSON file.

    Returns:
        Names of the columns, and the rows: every key of any object is a column, the keys of nested objects joined with
        dots; a list of values is one cell, joined with `|`; other lists are kept as JSON.

    Raises:
        MedclError: not JSON, not UTF-8, or not a list of objects.
    """
    try:
        content = json.loads(_text(path))
    except ValueError as error:
        raise MedclError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, list):
        raise MedclError(f"{path}: holds no list of objects, one a row, but {_kind(content)}")
    return _table(path, enumerate(content, start=1), "object")


def read_json_lines(path: Path) -> Cells:
    """Read one object a line; else as `read_json`."""
    return _table(path, _lines(path), "line")


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    # Only a line feed ends a line: JSON may hold other line separators of Unicode within its texts.
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise MedclError(f"{path}, line {number}: not JSON: {error}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise MedclError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error


def _table(path: Path, objects: Iterable[tuple[int, Any]], name: str) -> Cells:
    rows = []
    for number, one in objects:
        if not isinstance(one, dict):
            raise MedclError(f"{path}, {name} {number}: a row is an object, not {_kind(one)}")
        flat: dict[str, str | None] = {}
        for key, cell in _flat(one, ""):
            if key in flat:
                raise MedclError(f"{path}, {name} {number}: the key {key!r} occurs twice")
            flat[key] = cell
        rows.append(flat)
    names = list(dict.fromkeys(key for row in rows for key in row))
    return names, [[row.get(key) for key in names] for row in rows]


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
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else repr(value)[:20]
