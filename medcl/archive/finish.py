"""What a row of the manifest owes to the other rows: its id, and whether it shares its trial."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from medcl.archive.identity import record_code
from medcl.modality.dicom import ASIDE
from medcl.modality.formats import without_suffix

_CHUNK = 8192


def finish(table: pa.Table, salt: bytes, public_ids: bool, images: str) -> pa.Table:
    """Sort the rows of a scan by path and fill in what depends on the others.

    Args:
        table: rows as they were found.
        salt: of the codes.
        public_ids: keep paths as record ids.
        images: `original` sets localizers and derived images aside, `all` uses them.

    Returns:
        The rows with `patient`, `status` and `record_id`: ids are unique, records that share a trial are refused.
    """
    # The chunks of a scan come in the order in which processes end; each is in order itself.
    chunks = [chunk for chunk in table.to_batches() if len(chunk)]
    table = pa.Table.from_batches(sorted(chunks, key=lambda chunk: str(chunk["path"][0])), schema=table.schema)
    place = pa.table({"path": table["path"], "part": pc.fill_null(table["part"], 0)})
    order = pc.sort_indices(place, sort_keys=[("path", "ascending"), ("part", "ascending")])
    # Rows that lie in order stay where they are: in the journal on the disk, not in memory.
    if (np.diff(order.to_numpy().astype(np.int64)) < 0).any():
        table = table.take(order)
    status = table["found_status"].combine_chunks()
    if images == "original":
        status = _aside(status, table["flags"].combine_chunks())
    columns = {
        "patient": table["found_patient"],
        "status": _without_twins(status, table),
        "split": pa.nulls(len(table), pa.string()),
        "record_id": pa.chunked_array(_in_chunks(_ids(table["path"], salt, public_ids)), pa.string()),
    }
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, values)
    return table


def _aside(status: pa.Array, flags: pa.Array) -> pa.Array:
    """The status of usable records that have one of the flags of `ASIDE`: the first of them."""
    owner, flat = pc.list_parent_indices(flags).to_numpy(), pc.list_flatten(flags)
    usable = _is_ok(status)
    for flag in reversed(ASIDE):
        flagged = np.zeros(len(status), dtype=bool)
        flagged[owner[_bools(pc.equal(flat, flag))]] = True
        status = pc.if_else(pa.array(flagged & usable), pa.scalar(flag), status)
    return status


def _without_twins(status: pa.Array, table: pa.Table) -> pa.Array:
    """The status with usable records of one trial refused, each naming another."""
    rows = np.flatnonzero(_is_ok(status))
    trials = pc.fill_null(table["trial"], -1).to_numpy()[rows]
    _, group, count = np.unique(trials, return_inverse=True, return_counts=True)
    twins: dict[int, list[int]] = defaultdict(list)
    for row, number in zip(rows[count[group] > 1].tolist(), group[count[group] > 1].tolist(), strict=True):
        twins[number].append(row)
    refused: dict[int, str] = {}
    for same in twins.values():
        for row in same:
            other = same[1] if row == same[0] else same[0]
            refused[row] = f"duplicate record id: also {table['path'][other].as_py()}"
    mask = np.zeros(len(status), dtype=bool)
    mask[list(refused)] = True
    reasons = pa.array([refused[row] for row in sorted(refused)], pa.string())
    return pc.replace_with_mask(status, pa.array(mask), reasons)


def _ids(paths: pa.ChunkedArray, salt: bytes, public_ids: bool) -> Iterator[str]:
    """The record ids of sorted paths; several volumes may begin in one file."""
    sharing = Counter(without_suffix(path.as_py()) for path in paths.unique()) if public_ids else Counter()
    before, number = None, 0
    for value in paths:
        path = value.as_py()
        before, number = path, number + 1 if path == before else 0
        behind = f"#{number}" if number else ""
        if not public_ids:
            yield record_code(path + behind, salt)
        else:
            stem = without_suffix(path)
            yield (stem if sharing[stem] == 1 else path) + behind


def _in_chunks(ids: Iterator[str]) -> Iterator[pa.Array]:
    """Strings of Python take several times the memory of Arrow's: only a few are held at a time."""
    yield from (pa.array(some, pa.string()) for some in iter(lambda: list(islice(ids, _CHUNK)), []))


def _is_ok(status: pa.Array) -> NDArray[np.bool_]:
    return _bools(pc.equal(status, "ok"))


def _bools(values: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=bool)
