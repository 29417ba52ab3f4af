"""A header of lines `name: value` or `name = value`, as NRRD and MetaImage have it, and the files that it names."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError, system_reason
from medcl.modality.volume.formats.voxels import beside

_FIRST, _LONGEST = 1 << 13, 1 << 22  # bytes that are read at first, and within which the text of a header ends
_MOST_LINES = 1 << 17
_MOST_FILES = 100_000
_MM = {
    1.0: ("mm", "millimeter", "millimeters", "millimetre", "millimetres"),
    10.0: ("cm", "centimeter", "centimeters", "centimetre", "centimetres"),
    1000.0: ("m", "meter", "meters", "metre", "metres"),
    1e-3: ("um", "\N{MICRO SIGN}m", "\N{GREEK SMALL LETTER MU}m", "micron", "microns", "micrometer", "micrometers")
    + ("micrometre", "micrometres"),
    1e-6: ("nm", "nanometer", "nanometers", "nanometre", "nanometres"),
}
_UNKNOWN = "a unit of length that is not known: taken as mm"
_UNSTATED = ("", "?", "???", "none")


@dataclass(frozen=True)
class Text:
    """The fields of a header.

    Args:
        fields: name in lower case -> value.
        listed: the lines behind the last field, such as names of files.
        length: bytes of the header, where voxels behind it begin.
    """

    fields: dict[str, str]
    listed: tuple[str, ...]
    length: int

    def get(self, name: str) -> str:
        """The value of a field, empty where the header does not have it."""
        return self.fields.get(name, "")

    def numbers(self, name: str) -> list[float]:
        """The numbers of a field.

        Raises:
            UnreadableError: something in it is not a number.
        """
        try:
            return [float(word) for word in self.get(name).split()]
        except ValueError:
            raise UnreadableError(f"damaged header: its {name} are not numbers") from None

    def integers(self, name: str) -> list[int]:
        """The whole numbers of a field.

        Raises:
            UnreadableError: something in it is not a whole number.
        """
        try:
            return [int(word) for word in self.get(name).split()]
        except ValueError:
            raise UnreadableError(f"damaged header: its {name} are not whole numbers") from None

    def quoted(self, name: str) -> list[str]:
        """The words of a field, each in quotation marks."""
        return re.findall(r'"([^"]*)"', self.get(name))


def read_head(path: Path, mark: str, last: str = "") -> Text:
    """Read the text of a header, whose names and values are divided by `mark`.

    It ends with the field named `last`, or with a blank line where that is empty.

    Raises:
        UnreadableError: the file cannot be read, or its header does not end.
    """
    fields: dict[str, str] = {}
    listed: list[str] = []
    length = 0
    try:
        with path.open("rb") as file:
            for line in _lines(file):
                length += len(line)
                if not last and not line.strip():
                    break
                name, found, value = _decoded(line).strip().partition(mark)
                name = " ".join(name.lower().split())
                if not found or name.startswith("#") or (mark == ":" and value.startswith("=")):
                    continue  # a comment, or a pair of a name and free text
                if fields.get(name, value.strip()) != value.strip():
                    raise UnreadableError("damaged header: a field is stated twice, with different values")
                fields[name] = value.strip()
                is_list = name in (last, "data file", "datafile") and value.strip().upper().startswith("LIST")
                if is_list:
                    file.seek(length)
                    listed += _names(file.read(_LONGEST))
                if is_list or name == last:
                    break
    except OSError as error:
        raise UnreadableError(f"cannot be read: {system_reason(error)}") from None
    if last and last not in fields:
        raise UnreadableError("damaged header: it does not name the file of its voxels, or is cut short")
    return Text(fields, tuple(listed), length)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a header, of a file that may have none: read little by little, and not without end."""
    content, at = file.read(_FIRST), 0
    for _ in range(_MOST_LINES):
        while (end := content.find(b"\n", at)) < 0 and len(content) < _LONGEST:
            more = file.read(len(content))
            if not more:
                break
            content += more
        if end < 0 and len(content) >= _LONGEST:
            break
        if at == len(content):
            return
        end = end + 1 or len(content)
        yield content[at:end]
        at = end
    raise UnreadableError(f"damaged header: its text does not end within {_LONGEST} bytes or {_MOST_LINES} lines")


def check_lengths(sizes: Iterable[int]) -> None:
    """Refuse axes without voxels, and more voxels than can be counted.

    Raises:
        UnreadableError: there are such.
    """
    sizes = tuple(sizes)
    if min(sizes, default=0) < 1 or prod(sizes) >= 2**60:
        raise UnreadableError("an axis without voxels, or more voxels than any file holds")


def in_mm(units: list[str], axes: Iterable[int], flags: list[str]) -> NDArray[np.float64]:
    """What lengths along some axes are multiplied with to be mm; a flag is added where their unit is not known.

    `units` are those of all axes, empty where the header states none, which is mm.
    """
    factors = []
    for axis in axes:
        unit = units[axis].strip().lower() if axis < len(units) else ""
        factor = next((factor for factor, names in _MM.items() if unit in names), None)
        if factor is None and unit not in _UNSTATED and _UNKNOWN not in flags:
            flags.append(_UNKNOWN)
        factors.append(1.0 if factor is None else factor)
    return np.array(factors)


def files_of(folder: Path, value: str, listed: tuple[str, ...], most: int) -> tuple[Path, ...]:
    """The files that a header names as those of its voxels, in their order, at most `most`.

    `value` is that of its field: a name, `LIST` (the names are then `listed`), or a pattern such as
    `slice%03d.raw 1 20 1`.

    Raises:
        UnreadableError: there are none, too many, or one that is not in the folder.
    """
    most = min(most, _MOST_FILES)
    pattern = re.fullmatch(r"(.*)%(0?)(\d{0,2})d(.*?)\s+(\d{1,9})\s+(\d{1,9})(?:\s+(\d{1,9}))?(?:\s+\d)?", value)
    if value.upper().startswith("LIST"):
        names = list(listed)
    elif pattern is not None:
        before, zero, width, after, first, final, step = pattern.groups()
        numbers = range(int(first), int(final) + 1, max(1, int(step or 1)))
        if len(numbers) > most:
            raise UnreadableError(f"damaged header: {len(numbers)} files of voxels, more than it has slices or numbers")
        names = [f"{before}{number:{zero}{width or 0}d}{after}" for number in numbers]
    else:
        names = [value]
    if not 0 < len(names) <= most:
        raise UnreadableError("damaged header: a list of no files, or of more than it has voxels")
    return tuple(beside(folder, name) for name in names)


def _names(content: bytes) -> list[str]:
    return [_decoded(line).strip() for line in content.splitlines() if line.strip()]


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")
