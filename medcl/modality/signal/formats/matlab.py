"""MATLAB files, `.mat` of version 5 or 7.3: their variables, and recordings that are one array of numbers in them."""

import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from struct import Struct
from typing import Any, Literal

import h5py
import numpy as np
import pymatreader
import scipy.io
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.foreign import foreign
from medcl.modality.signal.formats.arrays import CHANNELS, RATE, UNITS, StoredArray, description, readers

_HEADER, _TAG = 128, 8  # bytes
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _OBJECT = 1, 2, 3
_UNPACKED = 1 << 28  # bytes of a compressed variable that is looked into
_PEEK = 64  # bytes of a compressed variable that tell its class


def check_counts(path: Path) -> None:
    """Refuse arrays of more cells or structures than a file of version 5 has bytes for; scipy refuses other damage."""
    if path.stat().st_size < _HEADER + _TAG:
        return
    whole = np.memmap(path, dtype=np.uint8, mode="r").data
    _Walk("big" if bytes(whole[126:128]) == b"MI" else "little").variables(whole[_HEADER:])


class _Walk:
    def __init__(self, order: Literal["big", "little"]) -> None:
        self._two = Struct(">II" if order == "big" else "<II")
        self._order = order

    def variables(self, data: memoryview) -> None:
        at = 0
        while at + _TAG <= len(data):
            kind, size = self._two.unpack_from(data, at)
            begin, at = at + _TAG, at + _TAG + size + (-size % 8 if kind != _COMPRESSED else 0)
            body = data[begin : begin + size]
            if kind == _MATRIX:
                self._matrix(body)
            elif kind == _COMPRESSED:
                self._compressed(body)

    def _compressed(self, body: memoryview) -> None:
        try:
            first = memoryview(zlib.decompressobj().decompress(body, _PEEK))
            size = self._two.unpack_from(first)[1] if len(first) == _PEEK else 0
            if 0 < size <= _UNPACKED and self._class(first[_TAG:]) in (_CELL, _STRUCT, _OBJECT):
                self.variables(memoryview(zlib.decompressobj().decompress(body, _TAG + size)))
        except zlib.error:
            return

    def _matrix(self, body: memoryview) -> None:
        """Look at a matrix and at all in it; on a stack, since it may be nested as deeply as the file is long."""
        stack = [body]
        while stack:
            inner = self._arrays(stack.pop())
            at = 0
            while at + _TAG <= len(inner):
                kind, size = self._two.unpack_from(inner, at)
                if kind == _MATRIX and size:
                    stack.append(inner[at + _TAG : at + _TAG + size])
                at += _TAG + size + -size % 8

    def _arrays(self, body: memoryview) -> memoryview:
        """The matrices in a cell or structure array; nothing in others.

        Raises:
            UnreadableError: the dimensions state more of them than there are bytes.
        """
        kind = self._class(body)
        if kind not in (_CELL, _STRUCT, _OBJECT):
            return body[:0]
        _, at = self._part(body, 0)
        shape, at = self._part(body, at)
        count = prod(self._whole(shape[first:]) for first in range(0, len(shape), 4))
        _, at = self._part(body, at)
        if kind == _OBJECT:
            _, at = self._part(body, at)
        if kind != _CELL:
            length, at = self._part(body, at)
            names, at = self._part(body, at)
            count *= len(names) // max(1, self._whole(length))
        if count * _TAG > len(body) - at:
            raise UnreadableError("damaged file: an array of more cells or structures than the file has bytes for")
        return body[at:]

    def _whole(self, data: memoryview) -> int:
        return int.from_bytes(data[:4], self._order)

    def _class(self, body: memoryview) -> int:
        return int(self._two.unpack_from(body, _TAG)[0] & 0xFF) if len(body) >= 2 * _TAG else 0

    def _part(self, body: memoryview, at: int) -> tuple[memoryview, int]:
        """An element of a matrix, and where the next one begins; small ones stand in their own tag."""
        if at + _TAG > len(body):
            return body[:0], len(body)
        kind, size = self._two.unpack_from(body, at)
        if kind >> 16:
            return body[at + 4 : at + 4 + min(4, kind >> 16)], at + _TAG
        return body[at + _TAG : at + _TAG + size], at + _TAG + size + -size % 8


NUMBERS = {"double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "logical"}
_RATIO = 1100  # how many times smaller gzip makes zeros


def is_hdf5(path: Path) -> bool:
    """Whether it is version 7.3."""
    with path.open("rb") as file:
        return file.read(10) == b"MATLAB 7.3"


def variables(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape in the order of MATLAB, and class of each variable of a file, without reading them."""
    if not is_hdf5(path):
        return [(name, tuple(shape), kind) for name, shape, kind in scipy.io.whosmat(path)]
    with opened(path) as file:
        return [_described(name, one) for name, one in file.items() if name != "#refs#"]


def values(path: Path, names: Collection[str], leave: Collection[str] = ()) -> dict[str, Any]:
    """Read variables; fields named in `leave`, anywhere in structures, are not read where the version allows it (7.3).

    Returns:
        Structures as dictionaries, arrays of structures as dictionaries of lists; dimensions of 1 are left out.
    """
    if is_hdf5(path):
        with opened(path):
            pass
    else:
        check_counts(path)
    read: dict[str, Any] = pymatreader.read_mat(path, variable_names=list(names), ignore_fields=list(leave))
    return read


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A file of version 7.3.

    Raises:
        UnreadableError: a part of it lies in another file, which is not read.
    """
    with h5py.File(path, "r") as file:
        file.visititems_links(_refuse_link)
        file.visititems(_refuse_elsewhere)
        yield file


def check_size(dataset: Any) -> None:
    """Refuse an array of version 7.3 of whose values fewer bytes are stored than any packing could make of it."""
    if dataset.size * dataset.dtype.itemsize > _RATIO * dataset.id.get_storage_size():
        raise UnreadableError("damaged or truncated file: an array whose values are not in it")


def class_of(dataset: Any) -> str:
    """The class of MATLAB of an array in a file of version 7.3."""
    kind = dataset.attrs.get("MATLAB_class", b"unknown")
    return kind.decode("ascii", "replace") if isinstance(kind, bytes) else str(kind)


def _described(name: str, one: Any) -> tuple[str, tuple[int, ...], str]:
    return (name, tuple(reversed(one.shape)), class_of(one)) if isinstance(one, h5py.Dataset) else (name, (), "struct")


def _refuse_link(name: str, link: Any) -> None:
    if isinstance(link, h5py.ExternalLink):
        raise UnreadableError("a part of it lies in another file, which is not read")


def _refuse_elsewhere(name: str, one: Any) -> None:
    if isinstance(one, h5py.Dataset) and (one.external or one.is_virtual):
        raise UnreadableError("a part of it lies in another file, which is not read")


_SHORTEST = 16  # samples of what may be a recording


def _stored_array(path: Path) -> StoredArray:
    """The array of a file: that of two dimensions, or the one vector, beside which there are only numbers and texts.

    Those named `fs`, `srate`, `sfreq`, ..., `labels`, `channels`, ..., `unit` or `units` describe it.

    Raises:
        UnreadableError: damaged, no array or several.
    """
    with foreign("scipy or h5py", "MATLAB files"):
        every = variables(path)
        arrays = [
            (name, tuple(shape))
            for name, shape, kind in every
            if kind in NUMBERS and len(shape) == 2 and max(shape) >= _SHORTEST
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
        fields: dict[str, Any] = values(path, names) if names else {}
        if is_hdf5(path):
            with opened(path) as file:
                check_size(file[name])
        own = description({one: fields[one] for one in names if one in fields})
    return StoredArray(shape, own, lambda: _values(path, name, shape))


def _values(path: Path, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    with foreign("scipy or h5py", "MATLAB files"):
        array = np.asarray(values(path, (name,))[name])
    if array.dtype.kind not in "fiu" or array.size != np.prod(shape):
        raise UnreadableError("damaged file: the array is not the one that its header describes")
    return array.reshape(shape, order="F")


def _plain(name: str) -> str:
    return name.lower().replace("_", "")


read_header, read_signal = readers("mat", _stored_array)
