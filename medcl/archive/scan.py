"""Files on disk -> one row a record: found by content, read by header, only where something has changed."""

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from medcl.archive.config import Modality
from medcl.archive.dicom_scan import KnownSeries, Spool, volumes
from medcl.archive.file_state import state
from medcl.archive.finish import finish
from medcl.archive.identity import code, fingerprint
from medcl.archive.journal import Journal
from medcl.archive.manifest import Manifest
from medcl.archive.masks import MaskRule, label_maps
from medcl.archive.path_ids import compile_pattern, ids_of, is_placeholder, zero_is_an_id
from medcl.archive.record import FileScanner, Row, refused, stored
from medcl.archive.rows_on_disk import pieces
from medcl.archive.schema import SCHEMA
from medcl.archive.sorted_names import SortedNames
from medcl.archive.summary import ScanSummary, summary
from medcl.archive.walk import Walk, archive_folder, walk
from medcl.engine.parallel import run_chunks
from medcl.engine.progress import progress
from medcl.errors import UnreadableError
from medcl.modality.formats import SERIES, SUFFIXES, suffix_of
from medcl.modality.signal.config import Stated

__all__ = ["ScanSummary", "require_patients", "scan", "scan_to", "summary"]

_READER = 5  # raised when the readers find other things in the same files: then nothing old is taken over
_CHUNK = 256
_FEW = 8  # files a call where a reader may end the process: those around it are read again
_NO_PATIENT = (
    "no patient id: neither the path nor the file's header nor a label table names one. Say where it stands in the "
    "path with --id-pattern, or in which column of a table with --labels and --patient-column; --patient-per-record "
    "makes every record a patient of its own"
)
_ZEROS = re.compile(r"(?<!\d)0+(?!\d)", re.ASCII)


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
    stated: Stated | None = None,
    strict: bool = False,
    found: Walk | None = None,
) -> Manifest:
    """Find the recordings and volumes of a folder.

    Ids come from the pattern; else from the names of a BIDS folder; else from the headers. A record whose patient id is
    a placeholder, such as ANONYMOUS, stands alone and is flagged: see `medcl.archive.path_ids`. A record of which no
    id is stated is `ok` here, since a label table may still name one: see `require_patients`.

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
            DICOM files are kept next to it, as codes, and are deleted at the end. The rows of the result then are on
            the disk, too, and memory does not grow with the number of files.
        modality: of every record whose file does not tell: by the names of the channels, or as DICOM states it.
        images: `original` leaves localizers and derived images (reformatted, processed) of DICOM out: they are rows,
            but their status is `localizer` or `derived image`; `all` uses them.
        masks: where label maps are; they are no records.
        stated: of signals whose files leave it open: sampling rate, names of channels, unit.
        strict: refuse recordings whose samples are not what was recorded, by a checksum or a length; all are read.
        found: the files of the folder that are looked at; None: all of them.

    Returns:
        One row a file or DICOM volume that is a record or claims to be, sorted by path, with the reason in `status`
        where it cannot be used.

    Raises:
        UsageError: no such folder, a glob without files, a wrong pattern.
        MedclError: the journal cannot be written.
    """
    folder = archive_folder(folder)
    pattern = compile_pattern(id_pattern) if id_pattern is not None else None
    if found is None:
        with progress("scan: files found", unit="file") as bar:
            found = walk(folder, include, SUFFIXES, bar.update)
    wanted = found.files
    if masks is not None:
        maps = label_maps(masks, found.files, pattern)
        wanted = SortedNames(path for path in found.files if path not in maps)
    zero_is_id = _zero_is_id(wanted, pattern)
    settings = {
        "reader": _READER,
        "id_pattern": id_pattern,
        "modality": modality,
        "public_ids": public_ids,
        "zero_is_id": zero_is_id,
        "salt": fingerprint(salt),
        **(stated or Stated()).settings(),
        **({"strict": True} if strict else {}),
    }
    scanner = FileScanner(folder, pattern, modality, salt, stated or Stated(), strict, zero_is_id=zero_is_id)
    others: Counter[str] = Counter()
    beside = None if journal is None else journal.with_name(f"{journal.name}.slices")
    with (
        # The volumes of a killed scan are put together again: of their slices.
        Journal(journal, settings, lambda rows: _unchanged(rows.filter(_single(rows)), folder, wanted)) as kept,
        Spool(beside, settings) as spool,
    ):
        before = SortedNames(_paths(kept))
        reused, of_series = len(before), []
        for rows in _known(previous, settings):
            single = _single(rows)
            of_series += rows.filter(pc.invert(single)).to_pylist()
            taken = _unchanged(rows.filter(single), folder, wanted, before)
            kept.add(taken)
            reused += len(taken)
        series = KnownSeries(of_series, folder, wanted)

        def read(new: Iterable[str], apart: bool = False, total: int | None = None) -> None:
            fragile: list[str] = []
            one, chunk = replace(scanner, apart=apart), _FEW if apart else _CHUNK
            how: dict[str, Any] = {"instead": one.fatal, "apart": apart, "cluster": cluster}
            with progress("scan", total, "file") as bar:
                for result in run_chunks(one, new, jobs=jobs, chunk=chunk, **how):
                    kept.add(result.rows)
                    spool.add(result.dicom)
                    fragile += result.fragile
                    others.update(result.others)
                    bar.update(len(result))
            if fragile:
                read(sorted(fragile), apart=True, total=len(fragile))

        done = SortedNames(chain(_paths(kept), spool.keep(folder, wanted), series.files()))
        read((path for path in wanted if path not in done), total=max(0, len(wanted) - len(done)))
        of_volumes = volumes(spool, series, read, root=folder, id_pattern=id_pattern, salt=salt, zero_is_id=zero_is_id)
        for first in iter(lambda: list(islice(of_volumes, _CHUNK)), []):
            kept.add(stored(first))
        # Series that files have come to have been read again by now.
        reused += sum(map(len, series.rows.values()))
        kept.add(stored([refused(path, why) for path, why in found.unreadable.items()]))
        # The segments of a record, and the parts of a file that was split for its size, are no records of their own.
        segments, companions = SortedNames(), SortedNames()
        for path in _companions(kept):
            if path in found.companions:
                companions.add(path)
            elif path in wanted:
                segments.add(path)
        place = None if journal is None else journal.with_name(f"{journal.name}.rows")
        table = finish(lambda: _without(kept, segments), salt, public_ids, images, place)
    others.update(map(suffix_of, found.companions))
    others.subtract(map(suffix_of, companions))
    about = {**settings, "images": images, "reused": reused, "others": dict(+others), "skipped": dict(found.skipped)}
    metadata: dict[str, Any] = {"salt": settings["salt"], "scan": about}
    if public_ids:
        metadata["dictionary"] = _dictionary(table["path"], pattern, salt, zero_is_id)
    return Manifest(table, folder.resolve(), metadata)


def scan_to(folder: Path, output: Path, *, previous: Manifest | None = None, **options: Any) -> Manifest:
    """Scan with a journal beside the output, so that a scan that is killed goes on where it was.

    Args:
        folder: the archive.
        output: the manifest. It is written only if it is not there yet: an earlier one keeps its labels and splits
            until its successor has them too and is written by the caller.
        previous: of an earlier scan.
        **options: of `scan`.

    Returns:
        As `scan`; the journal is deleted.

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
    if not pc.any(nobody).as_py():
        return manifest
    return manifest.with_column("status", pc.if_else(nobody, pa.scalar(_NO_PATIENT), status))


def _known(previous: Manifest | None, settings: Row) -> Iterator[pa.RecordBatch]:
    """The rows of an earlier scan with the same settings; reports are no rows of a scan, but joined to it."""
    if previous is None or not all(previous.has(name) for name in SCHEMA.names):
        return
    about = previous.metadata.get("scan", {})
    if {name: about.get(name) for name in settings} != settings or Stated.of(about) != Stated.of(settings):
        return
    for piece in pieces(previous.table):
        for rows in piece.select(SCHEMA.names).cast(SCHEMA).to_batches(max_chunksize=_CHUNK):
            yield rows.filter(pc.not_equal(pc.fill_null(rows["modality"], ""), "report"))


def _unchanged(
    rows: pa.RecordBatch, folder: Path, wanted: Container[str], without: Container[str] = ()
) -> pa.RecordBatch:
    """The rows that may be taken over; what could not be read is always tried again."""
    same: list[bool] = []
    for row in rows.select(["path", "files", "size", "mtime_ns", "found_status"]).to_pylist():
        there = row["path"] in wanted and row["path"] not in without
        now = state(folder, row["path"], row["files"] or []) if there else {}
        same.append(row["found_status"] == "ok" and now == {"size": row["size"], "mtime_ns": row["mtime_ns"]})
    return rows.filter(pa.array(same, pa.bool_()))


def _single(rows: pa.RecordBatch) -> pa.Array:
    """Which rows are of one file each, and not of a series."""
    return pc.invert(pc.is_in(rows["format"], pa.array(SERIES)))


def _paths(batches: Iterable[pa.RecordBatch]) -> Iterator[str]:
    return (path for rows in batches for path in rows["path"].to_pylist())


def _companions(batches: Iterable[pa.RecordBatch]) -> Iterator[str]:
    """The files that a header names as its own; the slices of a DICOM volume are of one rank."""
    for rows in batches:
        for row in rows.select(["path", "files"]).to_pylist():
            folder, slash, _ = row["path"].rpartition("/")
            yield from (f"{folder}{slash}{name}" for name in row["files"][1:])


def _without(batches: Iterable[pa.RecordBatch], segments: SortedNames) -> Iterator[pa.RecordBatch]:
    """The rows without those of some files."""
    there = len(segments) > 0
    for rows in batches:
        part = pa.array([there and path in segments for path in rows["path"].to_pylist()], pa.bool_())
        yield rows.filter(pc.invert(pc.and_(_single(rows), part)))


def _zero_is_id(paths: SortedNames, pattern: re.Pattern[str] | None) -> bool:
    """Whether 0 in the paths is a patient like the others; nothing is looked up where no path has such a number."""

    def patients(some: Iterable[str]) -> Iterable[str | None]:
        for path in some:
            try:
                yield ids_of(path, pattern).get("patient")
            except UnreadableError:
                continue

    zeros = patients(path for path in paths if _ZEROS.search(path))
    return zero_is_an_id(patients(paths)) if any(one is not None and _ZEROS.fullmatch(one) for one in zeros) else False


def _dictionary(
    paths: pa.ChunkedArray, pattern: re.Pattern[str] | None, salt: bytes, zero_is_id: bool
) -> dict[str, dict[str, str]]:
    """Patient code -> clear id, of the ids that stand in paths; what a header says of a patient is never kept."""
    clear = {}
    for path in paths:
        try:
            patient = ids_of(path.as_py(), pattern).get("patient")
        except UnreadableError:
            continue
        if patient is not None and not is_placeholder(patient, zero_is_id=zero_is_id):
            clear[str(code("patient", patient, salt))] = patient
    return {"patient": clear}
