"""Recordings as NumPy arrays, `.npy`: what they are is told by the user, or by a side-car file."""

from pathlib import Path
from typing import Literal

import numpy as np

from medcl.errors import UnreadableError
from medcl.modality.foreign import foreign
from medcl.modality.signal.formats.array_signal import readers
from medcl.modality.signal.stated import Description, StoredArray


def _stored_array(path: Path) -> StoredArray:
    """The array of a file, of which nothing more is known than its shape.

    Raises:
        UnreadableError: pickled objects, an array of another kind, or truncated.
    """
    with path.open("rb") as file, foreign("numpy", ".npy"):
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, kind = read(file)
        start = file.tell()
    if kind.hasobject:
        raise UnreadableError("pickled objects in a .npy, which can run any program: save the array of numbers alone")
    if kind.kind not in "fiu":
        raise UnreadableError("an array that is not of integers or real numbers: no recording")
    if start + kind.itemsize * int(np.prod([*map(int, shape)], dtype=object)) > path.stat().st_size:
        raise UnreadableError(f"truncated file: it is shorter than its shape {' x '.join(map(str, shape))} says")
    order: Literal["F", "C"] = "F" if fortran else "C"
    return StoredArray(shape, Description(), lambda: np.memmap(path, kind, "r", start, shape, order))


read_header, read_signal = readers("npy", _stored_array)
