"""Configurations as YAML and JSON hold them, and back."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any


def plain(config: Any) -> dict[str, Any]:
    """A configuration (dataclass) as YAML and JSON hold it: dictionaries, lists and scalars."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return values


def frozen(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Lists, as JSON has them, are tuples in a configuration."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
