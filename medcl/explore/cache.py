"""Results computed from a file of embeddings, kept in a folder next to it that may be deleted at any time."""

import hashlib
import json
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np

from medcl import files
from medcl.embed.embeddings import EmbeddingsFile
from medcl.embed.vectors import Vectors, vectors_of
from medcl.errors import MedclError
from medcl.explore.axes import Axes
from medcl.explore.project import MOST, Method, Projection, place

_ROWS = 4096
_VERSION = 1


def folder_of(embeddings: EmbeddingsFile) -> Path:
    """Where it is kept: `FILE.explore`, next to the first of the files."""
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
    most: int = MOST,
    vectors: Vectors | None = None,
    axes: Axes | None = None,
) -> Projection:
    """Project the embeddings of a file, or read the projection that was kept.

    Args:
        embeddings: of a run.
        method: see `project`.
        seed: random seed.
        most: points that are fitted.
        vectors: of the embeddings, where they have been read and checked.
        axes: principal axes of the vectors, where they have been computed.

    Returns:
        The projection; where nothing can be written next to the file, it is not kept.

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
