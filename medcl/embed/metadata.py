"""What a file of embeddings says of itself: its run, its records, its pooling, and short names of these."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from medcl.archive.manifest import Manifest
from medcl.errors import MedclError, UsageError, cause
from medcl.runs import weights_in

_KEYED = ("record_id", "checksum", "size", "mtime_ns", "part", "report")
_ROWS = 1 << 16


def run_fingerprint(folder: Path) -> str:
    """Of the weights of a run, 32 hexadecimal digits: the same wherever the folder lies.

    Raises:
        MedclError: the run has no weights.
    """
    weights = weights_in(folder)
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


EMBEDDING, RUN, KIND, PIECES, RECORDS, START = "embedding", "run", "kind", "pieces", "records", "start"
COLUMNS = (KIND, PIECES, RECORDS, START, RUN, EMBEDDING)
"""Behind those of the manifest."""
VERSION = 1
_KEY, _CONTENT = b"medcl", "embeddings"
LEFT_OUT = 1000
"""Records whose reasons a file keeps."""


@dataclass(frozen=True)
class EmbeddingsMetadata:
    """What holds for all embeddings of a file.

    Args:
        run: fingerprint of the weights.
        run_name: name of the run's folder.
        manifest: fingerprint of the records that were embedded.
        root: folder that the records' paths are relative to.
        level: what an embedding is of: `window`, `record` or `patient`.
        pool: how pieces became one: `mean` or `max`.
        dim: width.
        half: whether numbers are float16, else float32.
        joint: whether several modalities lie in one space, on vectors of length 1.
        kinds: of records that were embedded.
        left_out: record id -> why a record has no embedding, of the first 1000.
        n_left_out: number of records without one.
        archive: the manifest's own metadata: targets, salt.
        made_of: what decides the content of a file, by name: run, manifest, level and the like.
    """

    run: str
    run_name: str
    manifest: str
    root: str
    level: str
    pool: str
    dim: int
    half: bool
    joint: bool
    kinds: tuple[str, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    n_left_out: int = 0
    archive: dict[str, Any] = field(default_factory=dict)
    made_of: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, schema: pa.Schema, path: object) -> "EmbeddingsMetadata":
        """What the schema of a file holds.

        Raises:
            UsageError: the file holds no embeddings, or was written by a newer medcl.
        """
        try:
            stored = json.loads((schema.metadata or {})[_KEY])
            content, version = stored.pop("content"), int(stored.pop("version"))
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise UsageError(f"{path}: holds no embeddings: `medcl embed` writes some") from error
        if content != _CONTENT or EMBEDDING not in schema.names or RUN not in schema.names:
            raise UsageError(f"{path}: holds no embeddings: `medcl embed` writes some")
        if version > VERSION:
            raise UsageError(f"{path}: is of version {version}, this medcl reads up to {VERSION}: use a newer medcl")
        try:
            return cls(**{**stored, "kinds": tuple(stored["kinds"])})
        except (KeyError, TypeError) as error:
            raise UsageError(f"{path}: does not say of what its embeddings are: embed the archive again") from error

    def into(self, schema: pa.Schema) -> pa.Schema:
        """A schema that says it."""
        stored = {"content": _CONTENT, "version": VERSION, **asdict(self)}
        return schema.with_metadata({_KEY: json.dumps(stored, ensure_ascii=False).encode()})


def schema_of(manifest: Manifest, dim: int, half: bool) -> pa.Schema:
    """The columns of a file of embeddings: those of the manifest, and `COLUMNS` behind them.

    Raises:
        UsageError: the manifest has a column of one of these names.
    """
    taken = [name for name in COLUMNS if manifest.has(name)]
    if taken:
        raise UsageError(f"the manifest has a column {taken[0]!r}, which embeddings have as well: give it another name")
    own = [
        pa.field(KIND, pa.string()),
        pa.field(PIECES, pa.int64()),
        pa.field(RECORDS, pa.int64()),
        pa.field(START, pa.list_(pa.float64())),
        pa.field(RUN, pa.string()),
        pa.field(EMBEDDING, pa.list_(pa.float16() if half else pa.float32(), dim)),
    ]
    return pa.schema([*manifest.table.schema.remove_metadata(), *own])
