"""Files of embeddings as `medcl embed` writes them, of vectors that a test chooses."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medcl.archive.manifest import Manifest
from medcl.embed.embeddings import EmbeddingsFile
from medcl.embed.metadata import (
    EMBEDDING,
    KIND,
    PIECES,
    RECORDS,
    RUN,
    START,
    EmbeddingsMetadata,
    records_fingerprint,
    schema_of,
)


def write(manifest: Manifest, vectors: np.ndarray, path: Path) -> EmbeddingsFile:
    """One embedding for each record."""
    count, dim = vectors.shape
    about = EmbeddingsMetadata(
        run="f" * 16,
        run_name="ecg",
        manifest=records_fingerprint(manifest),
        root=str(manifest.root),
        level="record",
        pool="mean",
        dim=dim,
        half=False,
        joint=False,
        kinds=("signal",),
        archive=manifest.metadata,
    )
    own = {
        KIND: pa.array(["signal"] * count),
        PIECES: pa.array([1] * count),
        RECORDS: pa.array([1] * count),
        START: pa.nulls(count, pa.list_(pa.float64())),
        RUN: pa.array([about.run] * count),
        EMBEDDING: pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).ravel()), dim),
    }
    schema = about.into(schema_of(manifest, dim, half=False))
    pq.write_table(pa.table([*manifest.table.columns, *own.values()], schema=schema), path)
    return EmbeddingsFile.read(path)
