"""What was computed from a file of embeddings once, kept in a folder beside it that may be deleted at any time."""

import hashlib
import json
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from medcl import files, parquet
from medcl.embed.embeddings import EmbeddingsFile, parquet_file
from medcl.embed.shards import parquet_writer
from medcl.embed.vectors import Vectors, vectors_of
from medcl.errors import MedclError, UsageError
from medcl.explore.axes import Axes
from medcl.explore.project import MOST, Method, Plane, Projection, place

X, Y = "x", "y"
_ROWS = 65536  # of a row group


def write_xy(embeddings: EmbeddingsFile, xy: Plane) -> None:
    """Write the columns `x` and `y` (float32), instead of those that are there; each file in one move.

    Args:
        embeddings: whose files are written anew, row by row as they are.
        xy: (N, 2), such as the `xy` of a projection.

    Raises:
        UsageError: there is not one place for each embedding, or a label of this name is in the way.
        MedclError: a file cannot be written.
    """
    if xy.shape != (len(embeddings), 2):
        raise UsageError(f"places of shape {xy.shape}, for {len(embeddings)} embeddings they must be (N, 2)")
    targets = [name for name in (X, Y) if name in embeddings.about.archive.get("targets", {})]
    if targets:
        raise UsageError(f"{embeddings.paths[0]}: the label {targets[0]!r} would be lost: give the label another name")
    at = 0
    for path in embeddings.paths:
        with files.draft(path, private=True) as place:
            file = parquet_file(path)
            old = file.schema
            names = [name for name in old.names if name not in (X, Y)]
            own = [pa.field(X, pa.float32()), pa.field(Y, pa.float32())]
            schema = pa.schema([*(old.field(name) for name in names), *own], metadata=old.metadata)
            with parquet_writer(place, schema) as writer:
                for batch in file.iter_batches(_ROWS, names):
                    part = xy[at : at + len(batch)].astype("float32")
                    at += len(batch)
                    columns = [*(batch.column(name) for name in names), pa.array(part[:, 0]), pa.array(part[:, 1])]
                    writer.write_batch(pa.record_batch(columns, schema=schema))
            parquet.seal(place)


_ROWS_cached = 4096
_VERSION = 1


def folder_of(embeddings: EmbeddingsFile) -> Path:
    """Where it is kept: `FILE.explore`, beside the first of the files."""
    return embeddings.paths[0].with_name(embeddings.paths[0].name + ".explore")


def content_key(embeddings: EmbeddingsFile, vectors: Vectors) -> str:
    """Short name of what is embedded and how; a column that is added to the file, such as `x`, does not change it.

    Of many vectors, 4,096 evenly spread are looked at.

    Args:
        embeddings: of a run.
        vectors: theirs, (N, dim).

    Returns:
        20 hexadecimal digits.
    """
    rows = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), _ROWS_cached)).astype(np.int64))
    about = embeddings.about
    digest = hashlib.sha256(json.dumps([_VERSION, about.run, about.manifest, about.level, about.pool]).encode())
    digest.update(repr((vectors.shape, vectors.dtype.str)).encode())
    digest.update(np.ascontiguousarray(vectors[rows]).tobytes())
    return digest.hexdigest()[:20]


def projection_of(
    embeddings: EmbeddingsFile,
    method: Method = "tsne",
    *,
    seed: int = 0,
    most: int = MOST,
    vectors: Vectors | None = None,
    axes: Axes | None = None,
) -> Projection:
    """Project the embeddings of a file, or read the projection that was kept.

    Args:
        embeddings: of a run.
        method: see `project`.
        seed: of everything random.
        most: points that are fitted.
        vectors: of the embeddings, where they have been read and checked.
        axes: principal axes of the vectors, where they have been computed.

    Returns:
        The projection; where nothing can be written beside the file, it is not kept.

    Raises:
        UsageError: see `project`.
        MedclError: there is no embedding, or some hold NaN.
    """
    if vectors is None:
        vectors = vectors_of(embeddings)
    settings = json.dumps([content_key(embeddings, vectors), method, seed, min(most, len(vectors)), _libraries(method)])
    path = folder_of(embeddings) / f"{method}-{hashlib.sha256(settings.encode()).hexdigest()[:20]}.npz"
    # ZIP has checksums; a damaged file fails in as many ways as there are.
    with suppress(Exception):
        kept = np.load(path, allow_pickle=False)
        if kept["xy"].shape == (len(vectors), 2):
            known = kept["xy"], kept["fitted"], str(kept["note"])
            return place(vectors, method, seed=seed, most=most, axes=axes, known=known)
    made = place(vectors, method, seed=seed, most=most, axes=axes)
    with suppress(MedclError):
        _keep(path, made)
    return made


def _keep(path: Path, made: Projection) -> None:
    with files.draft(path, durable=False) as place, place.open("wb") as file:
        np.savez(file, xy=made.xy, fitted=made.fitted, note=np.array(made.note))


@lru_cache(maxsize=8)
def _libraries(method: Method) -> str:
    """The version of what projects, which decides where points lie."""
    from importlib.metadata import PackageNotFoundError, version

    with suppress(PackageNotFoundError):
        return version({"pca": "numpy", "tsne": "openTSNE", "umap": "umap-learn"}[method])
    return ""
