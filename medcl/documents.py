"""YAML and JSON: what people wrote, read in little time and memory, or refused with the file's name; our own files."""

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from medcl.errors import UsageError, did_you_mean, system_reason
from medcl.files import checksum, damaged

_LARGEST = 2**18  # bytes; a recipe or card has some thousand
_DEEPEST = 32  # mappings and lists within one another
_MOST = 20_000  # values, those behind an alias counted wherever it stands
_DEEPER = 2_000  # places at which another level may begin: more than any recipe has


def read_yaml(path: Path | str, kind: str) -> Any:
    """Read a YAML file, which errors name as its kind, such as `card`.

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
        # libyaml is ten times as fast, and ends the process where something is nested a hundred thousand times.
        deeper = len(text.splitlines()) + sum(map(text.count, "[{-?"))
        loader = (yaml.CSafeLoader if yaml.__with_libyaml__ and deeper < _DEEPER else yaml.SafeLoader)(text)
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


_SCALARS = (str, int, float, bool)
"""Nearly all that a page of results holds: told first."""


def plain(value: Any) -> Any:
    """The value in JSON's types: arrays become lists, paths text, and a number that is not finite becomes None."""
    if type(value) in _SCALARS:
        return None if isinstance(value, float) and not math.isfinite(value) else value
    if is_dataclass(value):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def build(kind: Any, value: Any, where: str) -> Any:
    """Make a value of a type from what `json.loads` gave: the inverse of `plain`, with null for a NaN.

    Types are dataclasses, `tuple[X, ...]`, `dict[str, X]`, a `Literal`, `str`, `int`, `float`, `bool` and `Any`. Keys
    that the type does not have are left out; `where` is the name of the value in errors.

    Raises:
        ValueError: a value is not of its type, or a key is missing.
    """
    if type(value) is kind and kind in _SCALARS:
        return value
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
    known = _fields_of(kind)
    missing = [name for name, (_, required) in known.items() if required and name not in value]
    if missing:
        raise ValueError(f"{where} lacks {', '.join(missing)}")
    found = {name: build(hint, value[name], f"{where}.{name}") for name, (hint, _) in known.items() if name in value}
    return kind(**found)


@cache
def _fields_of(kind: Any) -> dict[str, tuple[Any, bool]]:
    """Name of a field of a dataclass -> its type, and whether it has no default."""
    hints = get_type_hints(kind)
    return {
        one.name: (hints[one.name], one.default is MISSING and one.default_factory is MISSING) for one in fields(kind)
    }


def merge(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with others in their place; a value that is no mapping replaces the whole."""
    merged = dict(content)
    for name, value in changes.items():
        before = merged.get(name)
        both = isinstance(value, Mapping) and isinstance(before, Mapping)
        merged[name] = merge(before, value) if both else value  # type: ignore[arg-type]
    return merged


def nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted names as nested mappings.

    Example:
        >>> from medcl.documents import nested
        >>> nested({"optimiser.steps": 500, "seed": 1})
        {'optimiser': {'steps': 500}, 'seed': 1}
    """
    found: dict[str, Any] = {}
    for name, value in dotted.items():
        *groups, last = name.split(".")
        inner = found
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = value
    return found


_PACKAGE = Path(__file__).parent
FOLDERS = {"card": "datasets", "recipe": "pipelines", "prompts": "pipelines/prompts"}


def find(kind: str, given: Path | str) -> Path:
    """The file that is meant by the path of a YAML file, or by the name of a shipped `card`, `recipe` or `prompts`.

    Raises:
        UsageError: there is neither such a file nor a shipped one of that name; names the nearest.
    """
    path = Path(given)
    if path.is_file():
        return path
    known = shipped(kind)
    # `datasets/ptbxl.yaml` means the shipped card where the command does not run in a checkout.
    if path.parent in (Path("."), Path(FOLDERS[kind])) and path.name.removesuffix(".yaml") in known:
        return known[path.name.removesuffix(".yaml")]
    what = "it is a folder" if path.is_dir() else "there is no such file"
    raise UsageError(
        f"{kind} {given}: {what}, and none of that name is shipped ({', '.join(known)})"
        f"{did_you_mean(path.name.removesuffix('.yaml'), known)}"
    )


def shipped(kind: str) -> dict[str, Path]:
    """Name -> file, of all that are shipped of a kind: `card`, `recipe` or `prompts`."""
    # In a wheel they lie within the package, in a checkout next to it.
    folder = _PACKAGE / FOLDERS[kind]
    folder = folder if folder.is_dir() else _PACKAGE.parent / FOLDERS[kind]
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


_KEY = "crc32"


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's values with their own checksum."""
    return {**content, _KEY: _of_json(content)}


def read_json(path: Path, remedy: str, *, has_sum: bool = False) -> dict[str, Any]:
    """Read a file of one JSON object, and hold it against its checksum where it has one.

    Raises:
        FileNotFoundError: there is none.
        MedclError: it cannot be read, is no such file, or is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, remedy) from error
    if not isinstance(content, dict):
        raise damaged(path, remedy)
    known = content.pop(_KEY, None)
    if (known is not None or has_sum) and known != _of_json(content):
        raise damaged(path, remedy)
    return content


def _of_json(content: Mapping[str, Any]) -> str:
    return checksum(json.dumps(content, sort_keys=True))
