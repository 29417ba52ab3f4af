"""Recordings as NumPy arrays, `.npy`: what they are is told by the user, or by a side-car file."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.readers.array_signal import array_header, array_signal
from medcl.readers.foreign import foreign
from medcl.readers.signal import Signal, SignalHeader
from medcl.readers.stated import Stated, sidecar


def read_header(path: Path, stated: Stated) -> SignalHeader:
    """Read what is known of an array of channels x samples, or samples x channels.

    Args:
        path: of the file; sampling_rate, channels and unit stand in `a.json` beside `a.npy`.
        stated: where there is no such file, or it leaves something open.

    Returns:
        The header.

    Raises:
        UnreadableError: pickled objects, an array of another kind, truncated, or not enough is known.
    """
    return _read(path, stated)[0]


def read_signal(path: Path, stated: Stated) -> Signal:
    """Read the recording.

    Args:
        path: of the file.
        stated: as given to `read_header`.

    Returns:
        Physical values, float32: voltages in uV (those of an ECG in mV), others as they are.

    Raises:
        UnreadableError: as `read_header`.
    """
    header, kept, time_first, array = _read(path, stated)
    return array_signal(header, kept, time_first, array)


def _read(path: Path, stated: Stated) -> tuple[SignalHeader, list[int], bool, NDArray[Any]]:
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
    beside, files = sidecar(path)
    header, kept, time_first = array_header(path, "npy", shape, beside.or_else(stated), files)
    array: NDArray[Any] = np.memmap(path, kind, "r", start, shape, "F" if fortran else "C")
    return header, kept, time_first, array
