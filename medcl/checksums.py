"""Checksums of our own files: a bit that a disk has turned is an error with a name, not other numbers.

CRC-32 finds every change of up to 32 bits in a row. It guards against accidents, not against people. What was written
before there were checksums is read without.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medcl.errors import MedclError

_KEY = "crc32"


def checksum(*parts: Any) -> str:
    """CRC-32 of parts one behind the other, 8 hexadecimal digits.

    Args:
        *parts: bytes, contiguous arrays, or text.
    """
    value = 0
    for part in parts:
        value = zlib.crc32(part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part, value)
    return f"{value:08x}"


def file_checksum(path: Path, *, without: int = 0) -> str:
    """CRC-32 of a file, 8 hexadecimal digits.

    Args:
        path: of the file.
        without: bytes at its end that do not count.

    Raises:
        OSError: it cannot be read.
    """
    value, left = 0, path.stat().st_size - without
    with path.open("rb") as file:
        while left > 0 and (block := file.read(min(left, 1 << 20))):
            value, left = zlib.crc32(block, value), left - len(block)
    return f"{value:08x}"


def damaged(path: Path, remedy: str) -> MedclError:
    """The error of a file that is not what was written.

    Args:
        path: of the file.
        remedy: how to make it again.
    """
    return MedclError(f"{path}: damaged, or not written by medcl: {remedy}")


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's values with their own checksum."""
    return {**content, _KEY: _of_json(content)}


def read_json(path: Path, remedy: str, *, has_sum: bool = False) -> dict[str, Any]:
    """Read a file of one JSON object, and hold it against its checksum where it has one.

    Args:
        path: of the file.
        remedy: how to make it again.
        has_sum: refuse a file without a checksum.

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
