"""Recordings as MATLAB files, `.mat` of version 5 or 7.3: one array of numbers, and what says how to read it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.foreign import foreign
from medcl.modality.signal.formats import matlab
from medcl.modality.signal.formats.array_signal import readers
from medcl.modality.signal.stated import CHANNELS, RATE, UNITS, StoredArray, description

_SHORTEST = 16  # samples of what may be a recording


def _stored_array(path: Path) -> StoredArray:
    """The array of a file: that of two dimensions, or the one vector, beside which there are only numbers and texts.

    Those named `fs`, `srate`, `sfreq`, ..., `labels`, `channels`, ..., `unit` or `units` describe it.

    Raises:
        UnreadableError: damaged, no array or several.
    """
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
    return StoredArray(shape, own, lambda: _values(path, name, shape))


def _values(path: Path, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    with foreign("scipy or h5py", "MATLAB files"):
        array = np.asarray(matlab.values(path, (name,))[name])
    if array.dtype.kind not in "fiu" or array.size != np.prod(shape):
        raise UnreadableError("damaged file: the array is not the one that its header describes")
    return array.reshape(shape, order="F")


def _plain(name: str) -> str:
    return name.lower().replace("_", "")


read_header, read_signal = readers("mat", _stored_array)
