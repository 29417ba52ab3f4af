"""The files of a DICOM series -> one row of the manifest a volume, or an image."""

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from medcl.archive.dicom_file_record import CodedFile, checksum, decoded, read_coded
from medcl.archive.identity import code
from medcl.archive.path_ids import FLAG
from medcl.errors import UnreadableError
from medcl.modality.dicom.slice import Slice
from medcl.modality.dicom.stacks import SeriesRecord, Stack, stacks_of
from medcl.modality.formats import SERIES, WING, scan_of, series_reader

Row = dict[str, Any]
_Instance = tuple[object, ...]


def series_rows(files: Sequence[CodedFile], first_day: Mapping[int, int], salt: bytes) -> list[Row]:
    """Divide a series into volumes.

    Args:
        files: of the series, all of them.
        first_day: patient -> the day that `days` are counted from.
        salt: of the codes.

    Returns:
        One row a volume, those of most slices first, and one an image that is no part of a volume; one row for the
        series where it cannot be told whose it is. `part` is the number of the volume among the stacks of its files, or
        that of the image among the frames of its file.
    """
    slices = [one for file in files for one in decoded(file.slices)]
    about = {file.path: file for file in files}
    try:
        stacks = stacks_of(slices)
    except UnreadableError as error:
        row: Row = {"format": "dicom", "series": files[0].series, "found_status": str(error)}
        return [row | _whereabouts([file.path for file in files], about) | {"checksum": None}]
    parts = [part for stack in stacks for part in _records(stack)]
    stacks = tuple(record.slices for record, _ in parts)
    owned = _files_of(stacks, slices)
    rows = []
    for number, (record, columns) in enumerate(parts):
        stack, paths, part = record.slices, owned[number], 0
        if record.frame is not None:
            part = record.frame
        elif len(stacks) > 1:
            own = set(paths)
            part = _part(stack, [one for one in slices if one.file in own])
            if part < 0:
                # Its files alone would be divided differently: then the whole series says which volume is meant.
                paths = [*paths, *(path for path in about if path not in own)]
                part = number
        row = _stack_row(stack, first_day, salt) | columns
        row["flags"] += [FLAG] if any(about[path].alone for path in paths) else []
        rows.append(row | {"part": part} | _whereabouts(paths, about))
        sizes = [(name, about[path].size) for name, path in zip(rows[-1]["files"], paths, strict=True)]
        rows[-1]["checksum"] = checksum(sizes, list(stack.slices))
    return rows


def kept_first_days(
    rows: Iterable[Row], days: Mapping[int, int], root: Path, pattern: Any, salt: bytes, *, zero_is_id: bool
) -> dict[int, int]:
    """The first days of patients of whom some series are new and others known from an earlier scan.

    The manifest has no dates: of each of these patients one volume is read again, to learn what its days are counted
    from.

    Args:
        rows: of the known series.
        days: patient -> first day in the new series.
        root: of the archive.
        pattern: of ids.
        salt: of the codes.
        zero_is_id: whether 0 in a path is a patient like the others.

    Returns:
        Patient -> the day that the `days` of their known rows are counted from.
    """
    found: dict[int, int] = {}
    for row in rows:
        patient = row.get("found_patient")
        if patient is None or patient not in days or patient in found or row.get("days") is None:
            continue
        folder = posixpath.dirname(row["path"])
        read = []
        for name in row["files"]:
            try:
                path = posixpath.normpath(posixpath.join(folder, name))
                read.append(read_coded(root, path, pattern, salt, zero_is_id=zero_is_id).day)
            except (UnreadableError, OSError):
                read = []
                break
        stated = [day for day in read if day is not None]
        if stated:
            found[patient] = min(stated) - row["days"]
    return found


def count_from_first(rows: Iterable[Row], before: Mapping[int, int], now: Mapping[int, int]) -> Iterator[Row]:
    """Known rows with their days counted anew, where an earlier study of their patient has come."""
    for row in rows:
        patient = row.get("found_patient")
        if row.get("days") is not None and patient is not None and patient in before:
            row["days"] += before[patient] - now[patient]
        yield row


def _records(stack: Stack) -> Iterator[tuple[SeriesRecord, Row]]:
    """The records that a stack makes up, and what their headers fill in; of the first wing that takes them."""
    refusals = []
    for form in SERIES:
        try:
            records = series_reader(form).records(stack)
        except UnreadableError as error:
            refusals.append(str(error))
            continue
        yield from ((record, scan_of(WING[form]).columns(record.header)) for record in records)
        return
    yield SeriesRecord(stack, None), {"flags": list(stack.flags), "found_status": refusals[0]}


def _stack_row(stack: Stack, first_day: Mapping[int, int], salt: bytes) -> Row:
    first = stack.slices[0]
    patient = int(first.patient) if first.patient else None
    days = [int(one.date) for one in stack.slices if one.date]
    since = None if patient is None else first_day.get(patient)
    return {
        "format": "dicom",
        "found_patient": patient,
        "study": int(first.study) if first.study else code("study", f"\0{first.series}", salt),
        "series": int(first.series),
        "trial": code("trial", f"\0{first.file}\0{first.frame}", salt),
        "days": min(days) - since if days and since is not None else None,
        "found_status": "ok",
    }


def _whereabouts(paths: Sequence[str], about: Mapping[str, CodedFile]) -> Row:
    folder = posixpath.dirname(paths[0])
    return {
        "path": paths[0],
        "files": [posixpath.relpath(path, folder or ".") for path in paths],
        "size": sum(about[path].size for path in paths),
        "mtime_ns": max(about[path].mtime_ns for path in paths),
    }


def _files_of(stacks: Sequence[Stack], slices: Sequence[Slice]) -> list[list[str]]:
    """The files of each stack in the order of its slices, then those of the duplicates that it was spared."""
    owned = [dict.fromkeys(one.file for one in stack.slices) for stack in stacks]
    used = {file for files in owned for file in files}
    stack_of = {_instance(one): number for number, stack in enumerate(stacks) for one in stack.slices}
    for one in slices:
        if one.file not in used:
            owned[stack_of.get(_instance(one), 0)][one.file] = None
    return [list(files) for files in owned]


def _instance(one: Slice) -> _Instance:
    return (one.sop or one.file, one.frame, one.position, one.instance)


def _part(stack: Stack, slices: Sequence[Slice]) -> int:
    """The number of a stack among those of its files, -1 where they are divided differently."""
    wanted = [(one.file, one.frame) for one in stack.slices]
    for number, other in enumerate(stacks_of(slices)):
        if [(one.file, one.frame) for one in other.slices] == wanted:
            return number
    return -1
