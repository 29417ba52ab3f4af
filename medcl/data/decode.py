"""Decode one record in whatever process: is it still the one that was scanned, and what does its wing make of it?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from medcl.archive.file_state import Scanned, require_unchanged
from medcl.archive.manifest import Manifest
from medcl.data.layouts import write_apart
from medcl.data.publish import in_words
from medcl.engine.quiet import quiet
from medcl.errors import UnreadableError, reason
from medcl.modality import wing
from medcl.modality.base import Wing
from medcl.modality.foreign import available
from medcl.modality.rows import Source
from medcl.modality.storing import Apart, DecodedRecord, LabelMap


def sources(manifest: Manifest, own: Wing, files: list[Scanned] | None = None) -> list[Source]:
    """The records of a manifest as their wing reads them.

    Args:
        manifest: of this wing's records.
        own: the wing.
        files: of the records; None where they are not read.
    """
    nothing = np.full(len(manifest), None, dtype=object)  # a column that an older manifest does not have
    columns = {name: manifest.column(name) if manifest.has(name) else nothing for name in own.columns}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    if files is None:
        return [Source(manifest.root, "", (), "", row, manifest.stated) for row in rows]
    stated = manifest.stated
    return [
        Source(one.root, one.path, one.files, one.format, row, stated) for one, row in zip(files, rows, strict=True)
    ]


@dataclass(frozen=True)
class DecodingJob:
    """A record to decode, and how.

    Args:
        number: of the record, by which it is ordered.
        wing: that it is of.
        source: where it is.
        scanned: its files, as they were when they were scanned; None where they are not read.
        masks: label maps, as they were when they were scanned, and their number of classes; None where there is none.
        config: that decoding gets.
        apart: where arrays are written that are not sent back, and how; None where they are.
        memory: bytes that decoding takes, where that is not known to be there.
    """

    number: int
    wing: str
    source: Source
    scanned: Scanned | None
    masks: tuple[tuple[Scanned, int] | None, ...]
    config: Any
    apart: tuple[Path, Apart] | None
    memory: float | None


@dataclass(frozen=True)
class Outcome:
    """What became of a record.

    Args:
        number: of the job.
        decoded: None where it cannot be prepared.
        reason: why not.
        written: bytes on the disk.
    """

    number: int
    decoded: DecodedRecord | None = None
    reason: str = ""
    written: int = 0


def decode_all(jobs: Sequence[DecodingJob]) -> list[Outcome]:
    """Decode records, and write those that have arrays of their own.

    Raises:
        OSError: the disk is full.
    """
    with quiet():
        return [_decode(job) for job in jobs]


def _decode(job: DecodingJob) -> Outcome:
    try:
        if job.scanned is not None:
            require_unchanged(job.scanned)
        room = available() if job.memory is not None else None
        if job.memory is not None and room is not None and job.memory > room:
            raise UnreadableError(too_large(job.memory, room))
        masks = [None if mask is None else _label_map(*mask) for mask in job.masks]
        decoded = wing(job.wing).decode(job.source, job.config, masks)
    except Exception as error:
        return Outcome(job.number, reason=reason(error))
    if job.apart is None:
        return Outcome(job.number, decoded)
    # What goes wrong from here on is the disk of the store, not the file.
    written = write_apart(job.apart[0], job.number, decoded.arrays, job.apart[1])
    return Outcome(job.number, replace(decoded, arrays={}), "", written)


def _label_map(mask: Scanned, n_classes: int) -> LabelMap:
    try:
        require_unchanged(mask)
    except Exception as error:
        return LabelMap(mask.root / mask.path, n_classes, reason(error))
    return LabelMap(mask.root / mask.path, n_classes)


def died(job: DecodingJob) -> list[Outcome]:
    """The outcome of a record whose decoding ended the process."""
    return [Outcome(job.number, reason="damaged file, or too little memory: decoding it ends the reader")]


def too_large(memory: float, room: int) -> str:
    """Why a record is not decoded that needs more bytes of memory than there are."""
    return (
        f"larger than memory: decoding it takes {in_words(int(memory))}, {in_words(room)} are free; prepare it on a "
        "machine with more, or cut it into parts"
    )
