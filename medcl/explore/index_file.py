"""An index of embeddings on disk: vectors for faiss, records as Parquet, and a page of JSON that names both."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from medcl import files, parquet
from medcl.checksums import file_checksum, read_json, sealed
from medcl.embed.embeddings import EmbeddingsFile
from medcl.errors import MedclError
from medcl.explore.cache import content_key

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

    Args:
        folder: where it is saved.
        embeddings: the file.
        key: of its content.

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
