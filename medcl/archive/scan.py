"""Files on disk -> one row a record: found by content, read by header, only where something has changed."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from medcl.archive.dicom_scan import DICOM, KnownSeries, volumes
from medcl.archive.identity import code, fingerprint, record_code
from medcl.archive.journal import Journal
from medcl.archive.manifest import Manifest
from medcl.archive.masks import MaskRule, label_maps
from medcl.archive.path_ids import compile_pattern, ids_of
from medcl.archive.record import Look, Modality, Row, state
from medcl.archive.schema import SCHEMA
from medcl.archive.spool import Spool
from medcl.archive.summary import Summary, summary
from medcl.archive.volume_summary import ASIDE
from medcl.archive.walk import archive_folder, walk
from medcl.engine.parallel import run_chunks
from medcl.errors import UnreadableError
from medcl.readers.formats import SUFFIXES, without_suffix

__all__ = ["Summary", "require_patients", "scan", "scan_to", "summary"]

_READER = 3  # raised when the readers find other things in the same files: then nothing old is taken over
_CHUNK = 256
_NO_PATIENT = "no patient id: neither the path nor the file's header nor a label table names one"


def scan(
    folder: Path,
    *,
    salt: bytes,
    id_pattern: str | None = None,
    include: str | None = None,
    previous: Manifest | None = None,
    public_ids: bool = False,
    jobs: int = -1,
    cluster: str | None = None,
    journal: Path | None = None,
    modality: Modality | None = None,
    images: Literal["original", "all"] = "original",
    masks: MaskRule | None = None,
) -> Manifest:
    """Find the recordings and volumes of a folder.

    Ids come from the pattern; else from the names of a BIDS folder; else from the headers. A record without a patient
    is `ok` here, since a label table may still name one: see `require_patients`.

    Args:
        folder: the archive, or the DICOMDIR that lies in it; it is only read.
        salt: of the codes.
        id_pattern: see `path_ids.compile_pattern`.
        include: glob of the paths that count.
        previous: of an earlier scan; its readable records whose files have kept size and time are not opened again.
        public_ids: keep paths as record ids, and the patients of paths in the metadata (`dictionary`).
        jobs: processes; -1 is one a core. The result does not depend on it.
        cluster: address of a Dask scheduler, whose workers read the files in the place of processes here.
        journal: file that keeps what has been found; a scan that finds one goes on from it. It stays. The slices of
            DICOM files are kept beside it, as codes, and are gone at the end.
        modality: of every record whose file does not tell: by the names of the channels, or as DICOM states it.
        images: `original` leaves localizers and derived images (reformatted, processed) of DICOM out: they are rows,
            but their status is `localizer` or `derived image`; `all` uses them.
        masks: where label maps are; they are no records.

    Returns:
        One row a file or DICOM volume that is a record or claims to be, sorted by path, with the reason in `status`
        where it cannot be used.

    Raises:
        UsageError: no such folder, a glob without files, a wrong pattern.
        MedclError: the journal cannot be written.
    """
    folder = archive_folder(folder)
    pattern = compile_pattern(id_pattern) if id_pattern is not None else None
    settings = {
        "reader": _READER,
        "id_pattern": id_pattern,
        "modality": modality,
        "public_ids": public_ids,
        "salt": fingerprint(salt),
    }
    found = walk(folder, include, SUFFIXES)
    label_paths = label_maps(masks, found.files, pattern) if masks is not None else set()
    paths = [path for path in found.files if path not in label_paths]
    look = Look(folder, pattern, modality, salt)
    rows: list[Row] = []
    others = 0
    beside = None if journal is None else journal.with_name(f"{journal.name}.slices")
    with Journal(journal, settings) if journal is not None else nullcontext() as kept, Spool(beside, settings) as spool:
        earlier = _known(previous, settings)
        single = [row for row in earlier if row["format"] not in DICOM] + (kept.rows if kept is not None else [])
        by_path = {row["path"]: row for row in single}
        rows += [by_path[path] for path in paths if path in by_path and _unchanged(folder, by_path[path])]
        series = KnownSeries((row for row in earlier if row["format"] in DICOM), folder, set(paths))
        reused = len(rows)

        def read(new: Sequence[str]) -> None:
            nonlocal others
            for result in run_chunks(look, new, jobs=jobs, chunk=_CHUNK, instead=look.fatal, cluster=cluster):
                rows.extend(result.rows)
                spool.add(result.dicom)
                others += result.others
                if kept is not None:
                    kept.add(result.rows)

        done = {row["path"] for row in rows} | spool.keep(folder, paths) | series.files()
        read([path for path in paths if path not in done])
        # The segments of a record, and the parts of a file that was split for its size, are no records of their own.
        parts = {part for row in rows for part in _companions(row)}
        rows[:] = [row for row in rows if row["path"] not in parts]
        rows += list(volumes(spool, series, read, root=folder, id_pattern=id_pattern, salt=salt))
        # Series that files have come to have been read again by now.
        reused += sum(map(len, series.rows.values()))
    rows += [{"path": path, "found_status": reason} for path, reason in found.unreadable.items()]
    rows.sort(key=lambda row: (str(row["path"]), row.get("part") or 0))
    _finish(rows, salt, public_ids, images)
    about = {**settings, "images": images, "reused": reused, "other_files": others}
    metadata: dict[str, Any] = {"salt": settings["salt"], "scan": about}
    if public_ids:
        metadata["dictionary"] = _dictionary(rows, pattern, salt)
    return Manifest(pa.Table.from_pylist(rows, schema=SCHEMA), folder.resolve(), metadata)


def scan_to(folder: Path, output: Path, *, previous: Manifest | None = None, **options: Any) -> Manifest:
    """Scan with a journal beside the output, so that a scan that is killed goes on where it was.

    Args:
        folder: the archive.
        output: the manifest. It is written only if it is not there yet: an earlier one keeps its labels and splits
            until its successor has them too and is written by the caller.
        previous: of an earlier scan.
        **options: of `scan`.

    Returns:
        As `scan`; the journal is gone.

    Raises:
        UsageError: as `scan`.
        MedclError: as `scan`, or the manifest cannot be written.
    """
    journal = output.with_name(f"{output.name}.journal")
    manifest = scan(folder, previous=previous, journal=journal, **options)
    if not output.exists():
        manifest.write(output)
    journal.unlink(missing_ok=True)
    return manifest


def require_patients(manifest: Manifest) -> Manifest:
    """Quarantine the records that no one can be named for.

    Args:
        manifest: scanned records, with the patients of a label table if there is one.

    Returns:
        The manifest; what was `ok` and has no patient is no longer.
    """
    status, patient = manifest.table.column("status"), manifest.table.column("patient")
    nobody = pc.and_(pc.equal(status, "ok"), pc.is_null(patient))
    return manifest.with_column("status", pc.if_else(nobody, pa.scalar(_NO_PATIENT), status))


def _known(previous: Manifest | None, settings: Row) -> list[Row]:
    """The rows of an earlier scan with the same settings; reports are no rows of a scan, but joined to it."""
    if previous is None or not all(previous.has(name) for name in SCHEMA.names):
        return []
    about = previous.metadata.get("scan", {})
    if {name: about.get(name) for name in settings} != settings:
        return []
    rows: list[Row] = previous.table.select(SCHEMA.names).to_pylist()
    return [row for row in rows if row["modality"] != "report"]


def _unchanged(folder: Path, row: Row) -> bool:
    """Whether a row may be taken over; what could not be read is always tried again."""
    now = state(folder, row["path"], row["files"] or [])
    return row["found_status"] == "ok" and (now["size"], now["mtime_ns"]) == (row["size"], row["mtime_ns"])


def _companions(row: Row) -> Iterable[str]:
    """Where a header's own files are; the slices of a DICOM volume are of one rank."""
    folder = row["path"].rpartition("/")
    return (f"{folder[0]}{folder[1]}{name}" for name in row["files"][1:])


def _finish(rows: Sequence[Row], salt: bytes, public_ids: bool, images: str) -> None:
    """Fill in what depends on the other rows: ids that are unique, and records that share a trial."""
    twins = defaultdict(list)
    stems = defaultdict(list)
    for row in rows:
        row |= {"patient": row.get("found_patient"), "status": row["found_status"], "split": None}
        aside = [flag for flag in ASIDE if flag in (row.get("flags") or ())]
        if row["status"] == "ok" and aside and images == "original":
            row["status"] = aside[0]
        stems[without_suffix(row["path"]) if public_ids else row["path"]].append(row)
        if row["status"] == "ok":
            twins[row["trial"]].append(row)
    for same in twins.values():
        for row in same if len(same) > 1 else ():
            other = same[1] if row is same[0] else same[0]
            row["status"] = f"duplicate record id: also {other['path']}"
    for stem, same in stems.items():
        in_path: dict[str, int] = defaultdict(int)
        for row in same:
            # Several volumes may begin in one file.
            number, in_path[row["path"]] = in_path[row["path"]], in_path[row["path"]] + 1
            behind = f"#{number}" if number else ""
            clear = stem if len({other["path"] for other in same}) == 1 else row["path"]
            row["record_id"] = (clear if public_ids else record_code(row["path"] + behind, salt)) + (
                behind if public_ids else ""
            )


def _dictionary(rows: Sequence[Row], pattern: re.Pattern[str] | None, salt: bytes) -> dict[str, dict[str, str]]:
    """Patient code -> clear id, of the ids that stand in paths; what a header says of a patient is never kept."""
    clear = {}
    for row in rows:
        try:
            patient = ids_of(row["path"], pattern).get("patient")
        except UnreadableError:
            continue
        if patient is not None:
            clear[str(code("patient", patient, salt))] = patient
    return {"patient": clear}
