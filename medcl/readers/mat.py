"""Recordings as MATLAB files, `.mat` of version 5 or 7.3: one array of numbers, and what says how to read it."""

from pathlib import Path
from typing import Any

import numpy as np

from medcl.errors import UnreadableError
from medcl.readers import matlab
from medcl.readers.array_signal import array_header, array_signal
from medcl.readers.foreign import foreign
from medcl.readers.signal import Signal, SignalHeader
from medcl.readers.stated import CHANNELS, RATE, UNITS, Stated, description, sidecar

_SHORTEST = 16  # samples of what may be a recording


def read_header(path: Path, stated: Stated) -> SignalHeader:
    """Read what is known of a recording.

    The array is the one of two dimensions, or the one vector, beside which there are only numbers and texts. Those
    named `fs`, `srate`, `sfreq`, ..., `labels`, `channels`, ..., `unit` or `units` describe it.

    Args:
        path: of the file.
        stated: where neither the file nor a side-car `.json` says it.

    Returns:
        The header.

    Raises:
        UnreadableError: damaged, no array or several, or not enough is known.
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
    header, kept, time_first, name, shape = _read(path, stated)
    with foreign("scipy or h5py", "MATLAB files"):
        array = np.asarray(matlab.values(path, (name,))[name])
    if array.dtype.kind not in "fiu" or array.size != np.prod(shape):
        raise UnreadableError("damaged file: the array is not the one that its header describes")
    return array_signal(header, kept, time_first, array.reshape(shape, order="F"))


def _read(path: Path, stated: Stated) -> tuple[SignalHeader, list[int], bool, str, tuple[int, ...]]:
    with foreign("scipy or h5py", "MATLAB files"):
        every = matlab.variables(path)
        arrays = [
            (name, tuple(shape))
            for name, shape, kind in every
            if kind in matlab.NUMBERS and len(shape) == 2 and max(shape) >= _SHORTEST
        ]
        # Of a matrix and vectors (times, marks), the matrix is the recording.
        chosen = [one for one in arrays if min(one[1]) > 1] or arrays
        if len(chosen) != 1:
            raise UnreadableError(
                f"{len(chosen) or 'no'} arrays of two dimensions in a MATLAB file: one is read, channels x samples"
            )
        name, shape = chosen[0]
        described = {*RATE, *CHANNELS, *UNITS}
        names = [one for one, _, _ in every if one != name and _plain(one) in described]
        fields: dict[str, Any] = matlab.values(path, names) if names else {}
        if matlab.is_hdf5(path):
            with matlab.opened(path) as file:
                matlab.check_size(file[name])
        own = description({one: fields[one] for one in names if one in fields})
    beside, files = sidecar(path)
    header, kept, time_first = array_header(path, "mat", shape, own.or_else(beside).or_else(stated), files)
    return header, kept, time_first, name, shape


def _plain(name: str) -> str:
    return name.lower().replace("_", "")
