"""What both versions of MATLAB files have in common for a reader: 5 (through scipy) and 7.3 (HDF5, through h5py)."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import pymatreader
import scipy.io

from medcl.errors import UnreadableError
from medcl.modality.signal.formats.matlab5 import check_counts

NUMBERS = {"double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "logical"}
_RATIO = 1100  # how many times smaller gzip makes zeros


def is_hdf5(path: Path) -> bool:
    """Whether it is version 7.3."""
    with path.open("rb") as file:
        return file.read(10) == b"MATLAB 7.3"


def variables(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """The variables of a file, without reading them.

    Args:
        path: of the file.

    Returns:
        Name, shape in the order of MATLAB, and class of each.

    Raises:
        Exception: of scipy or h5py.
    """
    if not is_hdf5(path):
        return [(name, tuple(shape), kind) for name, shape, kind in scipy.io.whosmat(path)]
    with opened(path) as file:
        return [_described(name, one) for name, one in file.items() if name != "#refs#"]


def values(path: Path, names: Collection[str], leave: Collection[str] = ()) -> dict[str, Any]:
    """Read variables.

    Args:
        path: of the file.
        names: of the variables.
        leave: names of fields, anywhere in structures, that are not read where the version allows it (7.3).

    Returns:
        Structures as dictionaries, arrays of structures as dictionaries of lists; dimensions of 1 are left out.

    Raises:
        UnreadableError: a reference to another file, or an array of more cells or structures than it has bytes for.
        Exception: of scipy, h5py or pymatreader.
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
    """Hold the shape of an array in a file of version 7.3 against the bytes that are stored of it.

    Raises:
        UnreadableError: fewer than any packing could make of it.
    """
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
