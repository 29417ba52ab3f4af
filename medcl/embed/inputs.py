"""Files and objects in memory, without a manifest, as the records that a run or a model takes."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from medcl.archive.config import Modality
from medcl.archive.manifest import Manifest
from medcl.archive.named_files import INPUT, scan_files
from medcl.errors import MedclError
from medcl.modality import wing
from medcl.modality.formats import WINGS as FOUND_BY_CONTENT
from medcl.modality.objects import Given, is_dicom, write
from medcl.modality.signal.config import Stated


def records_of(
    named: Sequence[Path | str], cards: Mapping[str, Any], stated: Stated | None = None, jobs: int = 1
) -> Manifest:
    """The manifest of files that encoders shall take; arguments and errors are those of `scan_files`.

    Args:
        named: the files.
        cards: {kind: card} of the encoders. What files leave open is as it was in pretraining: that a NIfTI volume is
            a CT.
        stated: of signals whose files leave it open.
        jobs: processes.
    """
    known = {str(getattr(card, "modality", "")) for card in cards.values()} & set(get_args(Modality))
    modality = cast(Modality, known.pop()) if len(known) == 1 else None
    reports = any(kind not in FOUND_BY_CONTENT for kind in cards)
    return scan_files(named, reports=reports, modality=modality, stated=stated, jobs=jobs)


@contextmanager
def written(x: Any, cards: Mapping[str, Any], given: Given) -> Iterator[tuple[Manifest, Path]]:
    """Objects as records of files, in a temporary folder that ends with the block and only this user can read.

    Args:
        x: one object, or a list; paths (`pathlib.Path`) are read where they are.
        cards: {kind: card} of the encoders that shall take them.
        given: what the user says of arrays.

    Yields:
        The manifest, whose column `input` has the number of the object, and a folder for its prepared records.

    Raises:
        UsageError: an object that the encoders do not take, or of which something has to be said.
        MedclError: an object is damaged.
    """
    with tempfile.TemporaryDirectory(prefix="medcl-") as folder:
        named = []
        for number, one in enumerate(objects_in(x, cards)):
            place = Path(folder) / f"{number:06d}"
            if isinstance(one, PathLike):
                place = Path(one)
            else:
                write(one, list(cards), place, given)
            named.append(place)
        manifest = records_of(named, cards)
        _check(manifest, refused(manifest, cards), several=len(named) > 1)
        yield manifest, Path(folder) / "store"


def objects_in(x: Any, cards: Mapping[str, Any]) -> list[Any]:
    """The objects of a list, or the only one; DICOM slices of an encoder that takes volumes are one object."""
    if not is_several(x, cards):
        return [x]
    return list(x)


def is_several(x: Any, cards: Mapping[str, Any]) -> bool:
    """Whether something is a list of objects."""
    several = isinstance(x, list | tuple)
    of_slices = several and bool(x) and all(map(is_dicom, x)) and any(wing(kind).has_slices for kind in cards)
    return several and not of_slices


def by_object(
    manifest: Manifest, rows: NDArray[np.int64], left_out: Mapping[str, str], several: bool
) -> NDArray[np.int64]:
    """The order of what belongs to rows of a manifest by the objects that they came of.

    Args:
        manifest: of the objects.
        rows: (n,) of it, for which there is something.
        left_out: record id -> why there is nothing.
        several: whether a list of objects was given, of which each has to be one record.

    Returns:
        (n,) places in `rows`.

    Raises:
        MedclError: an object has nothing, with the reason, or is several records.
    """
    _check(manifest, left_out, several)
    number = manifest.column(INPUT)
    if not len(rows):
        raise MedclError("it has no record of the encoder's kind")
    counts = np.bincount(number[rows])
    if several and (counts != 1).any():
        which = int(np.flatnonzero(counts != 1)[0])
        raise MedclError(f"object {which}: is {counts[which]} records, each object of a list is one")
    return np.argsort(number[rows], kind="stable")


def refused(manifest: Manifest, cards: Mapping[str, Any]) -> dict[str, str]:
    """{record id: why} the encoders take some records of named files not."""
    columns = (manifest.column(name) for name in ("record_id", "status"))
    return {
        str(record): str(status) if status != "ok" else f"no encoder for {wing(kind).plural}"
        for record, status, kind in zip(*columns, manifest.kinds, strict=True)
        if status != "ok" or kind not in cards
    }


def _check(manifest: Manifest, reasons: Mapping[str, str], several: bool) -> None:
    """Refuse the first object with a reason."""
    for record, number in zip(manifest.column("record_id"), manifest.column(INPUT), strict=True):
        if str(record) in reasons:
            raise MedclError(f"{f'object {number}: ' if several else ''}{reasons[str(record)]}")
