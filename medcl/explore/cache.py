"""Results computed from a file of embeddings, kept in a folder next to it that may be deleted at any time."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from medcl import files, parquet
from medcl.documents import read_json, sealed
from medcl.embed.embeddings import EmbeddingsFile
from medcl.embed.vectors import Axes, Vectors, vectors_of
from medcl.errors import MedclError
from medcl.explore.project import MOST, Method, Projection, project
from medcl.files import file_checksum

_ROWS = 4096
_VERSION = 1


def folder_of(embeddings: EmbeddingsFile) -> Path:
    """Where it is kept: `FILE.explore`, next to the first of the files."""
    return embeddings.paths[0].with_name(embeddings.paths[0].name + ".explore")


def content_key(embeddings: EmbeddingsFile, vectors: Vectors) -> str:
    """Short name of what is embedded and how, 20 hexadecimal digits.

    A column that is added to the file, such as `x`, does not change it. Of many vectors (N, dim), 4,096 evenly spread
    are looked at.
    """
    rows = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), _ROWS)).astype(np.int64))
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
    vectors: Vectors | None = None,
    axes: Axes | None = None,
) -> Projection:
    """Project the embeddings of a file, or read the projection that was kept.

    Vectors of the embeddings are given where they have been read and checked. Where nothing can be written next to the
    file, the projection is not kept.

    Raises:
        UsageError: see `project`.
        MedclError: there is no embedding, or some hold NaN.
    """
    if vectors is None:
        vectors = vectors_of(embeddings)
    settings = json.dumps([content_key(embeddings, vectors), method, seed, min(MOST, len(vectors)), _libraries(method)])
    path = folder_of(embeddings) / f"{method}-{hashlib.sha256(settings.encode()).hexdigest()[:20]}.npz"
    # ZIP has checksums; a damaged file fails in as many ways as there are.
    with suppress(Exception):
        kept = np.load(path, allow_pickle=False)
        if kept["xy"].shape == (len(vectors), 2):
            known = kept["xy"], kept["fitted"], str(kept["note"])
            return project(vectors, method, seed=seed, axes=axes, known=known)
    made = project(vectors, method, seed=seed, axes=axes)
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


_NAME = "index.json"
Sources: TypeAlias = tuple[tuple[EmbeddingsFile, str], ...]
"""Files, each with the key of its content."""


@dataclass(frozen=True)
class Saved:
    """What was read.

    Args:
        sources: the files whose embeddings it holds.
        records: a row an embedding.
        faiss: the vectors.
        changes: how often it was added to.
    """

    sources: Sources
    records: pa.Table
    faiss: Any
    changes: int


def read_index(folder: Path, embeddings: EmbeddingsFile, key: str) -> Saved | None:
    """Read the index of a file.

    Returns:
        The index; None where there is none, one of another content, or a damaged one, which is made anew.

    Raises:
        MedclError: a file that was added to it is missing, or its content has changed.
    """
    import faiss

    try:
        about = read_json(folder / _NAME, "")
        if about["sources"][0]["key"] != key:
            return None
        if "sum" in about and file_checksum(folder / about["faiss"]) != about["sum"]:
            return None
        # Mapped: cells that nobody looks into stay on the disk.
        index = faiss.read_index(str(folder / about["faiss"]), faiss.IO_FLAG_MMAP)
        records = parquet.read(folder / about["records"], "")
        added = about["sources"][1:]
    except (MedclError, OSError, ValueError, KeyError, IndexError, RuntimeError, pa.ArrowException):
        return None
    if index.ntotal != len(records):
        return None
    sources = [(embeddings, key)]
    for one in added:
        try:
            other = EmbeddingsFile.read(*one["paths"])
            same = content_key(other, other.vectors()) == one["key"]
        except MedclError as error:
            raise MedclError(f"{error}: it was added to the index; remove {folder} to make a new one") from error
        if not same:
            raise MedclError(
                f"{one['paths'][0]}: holds other embeddings than were added to the index: remove {folder} to make a "
                "new one"
            )
        sources.append((other, one["key"]))
    return Saved(tuple(sources), records, index, about["changes"])


def save_index(folder: Path, saved: Saved) -> None:
    """Write an index next to the old one, then name the new one in one move, then remove the old one.

    What cannot be written, since the folder is another's, is made anew the next time.
    """
    import faiss

    names = {"faiss": f"vectors-{saved.changes}.faiss", "records": f"records-{saved.changes}.parquet"}
    sources = [{"paths": [str(path.resolve()) for path in one.paths], "key": key} for one, key in saved.sources]
    with suppress(MedclError, RuntimeError):
        with files.draft(folder / names["faiss"], durable=False) as place:
            faiss.write_index(saved.faiss, str(place))
            sums = {"sum": file_checksum(place)}
        parquet.write(folder / names["records"], saved.records, private=True, durable=False)
        about = {"changes": saved.changes, "sources": sources, **names, **sums}
        files.write(folder / _NAME, json.dumps(sealed(about)), durable=False)
        _remove(folder, tuple(names.values()))


def _remove(folder: Path, keep: Sequence[str]) -> None:
    for old in [*folder.glob("vectors-*.faiss"), *folder.glob("records-*.parquet")]:
        if old.name not in keep:
            old.unlink(missing_ok=True)


def writable(folder: Path, saved: Saved) -> Any:
    """The vectors as an index that may be added to: a mapped one may not."""
    import faiss

    path = folder / f"vectors-{saved.changes}.faiss"
    return faiss.read_index(str(path)) if path.exists() else faiss.clone_index(saved.faiss)
