"""YAML and JSON that people wrote: read in little time and memory, or refused with the file's name."""

import json
from pathlib import Path
from typing import Any

import yaml

from medcl.errors import UsageError, system_reason

_LARGEST = 2**18  # bytes; a recipe or card has some thousand
_DEEPEST = 32  # mappings and lists within one another
_MOST = 20_000  # values, those behind an alias counted wherever it stands


def read_yaml(path: Path | str, kind: str) -> Any:
    """Read a YAML file.

    Args:
        path: of the file.
        kind: what it is, such as `card`, as errors name it.

    Returns:
        What it holds: mappings, lists and single values, never another object of Python.

    Raises:
        UsageError: it cannot be read, is not YAML in UTF-8, is larger or nested more deeply than any file of its kind,
            or its aliases expand beyond that; names the file and the line.
    """
    place = f"{kind} {path}"
    try:
        with Path(path).open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{place}: cannot be read: {system_reason(error)}") from error
    if len(data) > _LARGEST:
        raise UsageError(f"{place}: larger than {_LARGEST // 1024} KiB, which no {kind} is")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{place}, line {line}: cannot be read: not UTF-8 text; save it as UTF-8") from error
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _expanded(node, 0, {}) > _MOST:
            raise UsageError(f"{place}: holds more than {_MOST} values, or its aliases stand for so many")
        return loader.construct_document(node)
    except RecursionError as error:
        raise UsageError(f"{place}: nested more deeply than {_DEEPEST} levels") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f", line {mark.line + 1}"
        what = "look at indents, colons and quotation marks"
        if isinstance(error, yaml.constructor.ConstructorError):
            what = "a tag (!) or key that plain YAML does not have"
        raise UsageError(f"{place}{where}: cannot be read: not YAML: {what}") from error
    except (yaml.YAMLError, ValueError, OverflowError, TypeError) as error:
        raise UsageError(
            f"{place}: cannot be read: not YAML: it holds control characters, or a number or date that does not exist"
        ) from error


def parse_json(text: str | bytes, place: str) -> Any:
    """Parse JSON.

    Args:
        text: as stored.
        place: of it, as errors name it.

    Raises:
        UsageError: it is not JSON, in no encoding that JSON may have, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise UsageError(f"{place}: damaged: JSON that is nested too deeply") from error
    except ValueError as error:
        raise UsageError(f"{place}: damaged: not JSON in UTF-8") from error


def _expanded(node: yaml.Node, depth: int, known: dict[int, int]) -> int:
    """How many values a node stands for. A node that holds itself ends at the deepest level."""
    if depth > _DEEPEST:
        raise RecursionError
    if id(node) in known:
        return known[id(node)]
    count = 1
    if isinstance(node, yaml.SequenceNode):
        count += sum(_expanded(inner, depth + 1, known) for inner in node.value)
    elif isinstance(node, yaml.MappingNode):
        count += sum(_expanded(inner, depth + 1, known) for pair in node.value for inner in pair)
    known[id(node)] = count
    return count
