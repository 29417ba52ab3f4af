"""The elements of a DICOM header, looked up in several data sets: a frame's own, the shared ones, the object's."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

import pydicom
from pydicom.datadict import tag_for_keyword

from medcl.errors import UnreadableError

# Where manufacturers keep the b-value: the tag, and the element that names the owner of its block.
_PRIVATE_B_VALUES = {
    0x0019100C: (0x00190010, "SIEMENS MR HEADER"),
    0x00431039: (0x00430010, "GEMS_PARM_01"),
    0x20011003: (0x20010010, "Philips Imaging DD 001"),
}
PRIVATE_TAGS = {tag: owner for tag, (_, owner) in _PRIVATE_B_VALUES.items()}
"""Private elements that are read, and the manufacturers' blocks that they belong to."""
_GE_OFFSET = 100_000  # GE adds multiples of it to the b-value


def tags_of(keywords: Sequence[str]) -> list[int]:
    """The tags of keywords, and those of the private elements that `b_value` looks at."""
    tags = [tag for tag in map(tag_for_keyword, keywords) if tag is not None]
    return tags + [tag for pair in _PRIVATE_B_VALUES.items() for tag in (pair[0], pair[1][0])]


def first(sources: Sequence[pydicom.Dataset], *keywords: str) -> Any:
    """The value of the first keyword that one of the data sets states, the nearest first; None where none does.

    Raises:
        UnreadableError: it is not written as its kind of values is.
    """
    for keyword in keywords:
        for source in sources:
            try:
                value = source.get(keyword)
            except Exception:
                # pydicom reads a value when it is asked for; its error would quote it.
                raise _badly_written(keyword) from None
            if value is not None and value != "":
                return value
    return None


def every(value: Any) -> list[Any]:
    """A value of one or more as a list."""
    return [] if value is None else [value] if isinstance(value, (str, bytes, int, float)) else list(value)


def text(sources: Sequence[pydicom.Dataset], keyword: str) -> str:
    """A value as text, empty where it is not stated."""
    value = first(sources, keyword)
    return "" if value is None else str(value).strip()


def numbers(sources: Sequence[pydicom.Dataset], keyword: str, count: int) -> tuple[float, ...] | None:
    """Exactly `count` numbers, or None where they are not stated.

    Raises:
        UnreadableError: another count of them, or one that is not finite.
    """
    values = tuple(_float(value, keyword) for value in every(first(sources, keyword)))
    if values and (len(values) != count or not all(map(isfinite, values))):
        raise UnreadableError(f"damaged header: {keyword} is not {count} numbers")
    return values or None


def number(sources: Sequence[pydicom.Dataset], *keywords: str) -> float | None:
    """The first of the values as a number.

    Raises:
        UnreadableError: it is none.
    """
    values = every(first(sources, *keywords))
    value = _float(values[0], keywords[0]) if values else None
    return value if value is not None and isfinite(value) else None


def whole(sources: Sequence[pydicom.Dataset], *keywords: str) -> int | None:
    """The first of the values as a whole number."""
    value = number(sources, *keywords)
    return None if value is None else int(value)


def frame_sources(header: Any, part: int) -> list[Any]:
    """Where the values of one frame stand, the nearest first: its own groups, those of all frames, the header."""
    shared = [item for group in header.get("SharedFunctionalGroupsSequence") or [] for item in _items(group)]
    frames = header.get("PerFrameFunctionalGroupsSequence") or []
    return [*(_items(frames[part]) if part < len(frames) else []), *shared, header]


def _items(group: pydicom.Dataset) -> list[pydicom.Dataset]:
    """The data sets of a functional group: each element of it is a sequence of one."""
    return [element.value[0] for element in group if element.VR == "SQ" and element.value]


def _float(value: Any, keyword: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise _badly_written(keyword) from None


def _badly_written(keyword: str) -> UnreadableError:
    return UnreadableError(f"damaged header: {keyword} is not written as DICOM has it; a number has a decimal point")


def b_value(sources: Sequence[pydicom.Dataset]) -> float | None:
    """Of the standard's element, else of the manufacturer's, s/mm2."""
    stated = number(sources, "DiffusionBValue")
    header = sources[-1]
    for tag, (block, owner) in _PRIVATE_B_VALUES.items():
        if stated is None and tag in header and block in header and str(header[block].value).strip() == owner:
            value = every(header[tag].value)
            # Bytes are those of an element whose kind the file does not state: digits, but for Philips.
            if value and not (isinstance(value[0], bytes) and tag == 0x20011003):
                digits = value[0].split(b"\\")[0] if isinstance(value[0], bytes) else value[0]
                stated = float(digits) % _GE_OFFSET if tag == 0x00431039 else float(digits)
    return stated
