"""Short names of what embeddings were computed from: the weights of a run, the records of a manifest."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from medcl.archive.manifest import Manifest
from medcl.errors import MedclError, cause
from medcl.runs import WEIGHTS

_KEYED = ("record_id", "checksum", "size", "mtime_ns", "part", "report")
_ROWS = 1 << 16


def run_fingerprint(folder: Path) -> str:
    """Of the weights of a run, 32 hexadecimal digits: the same wherever the folder lies.

    Raises:
        MedclError: the run has no weights.
    """
    weights = folder / WEIGHTS
    try:
        return _digest(weights, weights.stat().st_mtime_ns)
    except OSError as error:
        raise MedclError(f"{weights}: cannot be read: {cause(error)}") from error


def records_fingerprint(manifest: Manifest) -> str:
    """Of the records of a manifest, whatever labels and splits they have: 32 hexadecimal digits."""
    return _of_table(manifest.table.select([name for name in _KEYED if manifest.has(name)]))


def manifest_fingerprint(manifest: Manifest) -> str:
    """Of a manifest with all of its columns, 32 hexadecimal digits."""
    about = json.dumps([str(manifest.root), manifest.metadata], sort_keys=True)
    return hashlib.sha256((_of_table(manifest.table) + about).encode()).hexdigest()[:32]


@lru_cache(maxsize=8)
def _digest(path: Path, mtime_ns: int) -> str:
    """Of a file's content, read once while it stays as it is."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def _of_table(table: pa.Table) -> str:
    digest = hashlib.sha256(str(table.schema.remove_metadata()).encode())
    for start in range(0, len(table), _ROWS):
        # Rows as Python has them: how they lie in buffers may differ between two readings of one file.
        for column in table.slice(start, _ROWS).columns:
            digest.update(repr(column.to_pylist()).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]
