"""What a row of the manifest owes to the other rows: its place, its id, and whether it shares its trial."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from medcl import parquet
from medcl.archive.identity import record_code
from medcl.archive.rows_on_disk import RowsOnDisk
from medcl.archive.schema import DISTINCT, ROWS, SCHEMA
from medcl.archive.sorted_names import SortedNames
from medcl.modality.dicom import ASIDE
from medcl.modality.formats import without_suffix


def finish(
    found: Callable[[], Iterable[pa.RecordBatch]], salt: bytes, public_ids: bool, images: str, place: Path | None
) -> pa.Table | RowsOnDisk:
    """Sort the rows of a scan by path and fill in what depends on the others.

    Args:
        found: gives the rows as they were found, in batches in the order of the first path of each.
        salt: of the codes.
        public_ids: keep paths as record ids.
        images: `original` sets localizers and derived images aside, `all` uses them.
        place: file that takes the rows, which has no name afterwards and ends with the process; None keeps them in
            memory.

    Returns:
        The rows with `patient`, `status` and `record_id`: ids are unique, records that share a trial are refused.

    Raises:
        MedclError: the file cannot be written.
    """
    shared = _shared(path for rows in found() for path in rows["path"].to_pylist()) if public_ids else None
    pieces = _filled(_in_order(found()), salt, shared, images)
    table = pa.concat_tables(pieces) if place is None else _stored(place, pieces)
    return _without_twins(table)


def _in_order(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Rows by path and part, `ROWS` at a time; only those that may still come behind others are held."""
    held, limit = [SCHEMA.empty_table()], ROWS
    for batch in batches:
        if sum(map(len, held)) >= limit:
            table = _sorted(pa.concat_tables(held))
            n_final = pc.sum(pc.less(table["path"], pc.min(batch["path"]))).as_py()
            n_final -= n_final % ROWS
            yield from (table.slice(start, ROWS) for start in range(0, n_final, ROWS))
            held = [table.slice(n_final)]
            limit = len(held[0]) + ROWS
        held.append(pa.Table.from_batches([batch]))
    table = _sorted(pa.concat_tables(held))
    yield from (table.slice(start, ROWS) for start in range(0, max(1, len(table)), ROWS))


def _sorted(table: pa.Table) -> pa.Table:
    place = pa.table({"path": table["path"], "part": pc.fill_null(table["part"], 0)})
    return table.take(pc.sort_indices(place, sort_keys=[("path", "ascending"), ("part", "ascending")]))


def _filled(tables: Iterable[pa.Table], salt: bytes, shared: SortedNames | None, images: str) -> Iterator[pa.Table]:
    """Sorted rows with their ids; several volumes may begin in one file."""
    before, number = None, 0
    for table in tables:
        ids = []
        for path in table["path"].to_pylist():
            before, number = path, number + 1 if path == before else 0
            behind = f"#{number}" if number else ""
            stem = path if shared is None else without_suffix(path)
            ids.append(
                record_code(path + behind, salt) if shared is None else (path if stem in shared else stem) + behind
            )
        status = table["found_status"].combine_chunks()
        if images == "original":
            status = _aside(status, table["flags"].combine_chunks())
        columns = {
            "patient": table["found_patient"],
            "status": status,
            "split": pa.nulls(len(table), pa.string()),
            "record_id": pa.array(ids, pa.string()),
        }
        for name, values in columns.items():
            table = table.set_column(table.column_names.index(name), name, values)
        yield table


def _stored(place: Path, pieces: Iterable[pa.Table]) -> RowsOnDisk:
    try:
        parquet.write_pieces(place, SCHEMA, pieces, private=True, durable=False, distinct=DISTINCT)
        return RowsOnDisk(parquet.ParquetFile(place, "scan the archive again"))
    finally:
        place.unlink(missing_ok=True)


def _shared(paths: Iterable[str]) -> SortedNames:
    """The paths without suffix that several files have."""
    once, shared = SortedNames(), SortedNames()
    for path in SortedNames(paths):
        stem = without_suffix(path)
        (shared if stem in once else once).add(stem)
    return shared


def _aside(status: pa.Array, flags: pa.Array) -> pa.Array:
    """The status of usable records that have one of the flags of `ASIDE`: the first of them."""
    owner, flat = pc.list_parent_indices(flags).to_numpy(), pc.list_flatten(flags)
    usable = _is_ok(status)
    for flag in reversed(ASIDE):
        flagged = np.zeros(len(status), dtype=bool)
        flagged[owner[_bools(pc.equal(flat, flag))]] = True
        status = pc.if_else(pa.array(flagged & usable), pa.scalar(flag), status)
    return status


def _without_twins(table: pa.Table | RowsOnDisk) -> pa.Table | RowsOnDisk:
    """The rows with usable records of one trial refused, each naming another."""
    status = table.column("status").combine_chunks()
    usable, trials = _is_ok(status), pc.fill_null(table.column("trial"), -1).to_numpy()
    ordered = trials[usable]
    ordered.sort()
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(repeated):
        return table
    twins: dict[int, list[int]] = defaultdict(list)
    for row in np.flatnonzero(usable & np.isin(trials, repeated)).tolist():
        twins[int(trials[row])].append(row)
    paths, refused = table.column("path"), {}
    for same in twins.values():
        for row in same:
            other = same[1] if row == same[0] else same[0]
            refused[row] = f"duplicate record id: also {paths[other].as_py()}"
    mask = np.zeros(len(status), dtype=bool)
    mask[list(refused)] = True
    reasons = pa.array([refused[row] for row in sorted(refused)], pa.string())
    status = pc.replace_with_mask(status, pa.array(mask), reasons)
    return table.set_column(table.column_names.index("status"), "status", status)


def _is_ok(status: pa.Array) -> NDArray[np.bool_]:
    return _bools(pc.equal(status, "ok"))


def _bools(values: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=bool)
