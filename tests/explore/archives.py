"""Embeddings files as `medcl embed` writes them, of real encoders and of vectors that a test chooses."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.archive.schema import SCHEMA
from medcl.embed.apply import embed_manifest
from medcl.embed.config import EmbedConfig
from medcl.explore.embeddings import Embeddings
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.phantom.archive import write_ecg
from tests.embed.archives import save, signals
from tests.explore.embedded import write


def embeddings_file(
    path: Path,
    vectors: np.ndarray,
    columns: Mapping[str, Sequence[Any]] | None = None,
    targets: Mapping[str, Any] | None = None,
) -> Embeddings:
    """Vectors of records R0, R1, ... as a file; `columns` replace those of the manifest or come behind them."""
    count = len(vectors)
    own = {
        "record_id": [f"R{number}" for number in range(count)],
        "modality": ["ecg"] * count,
        "format": ["wfdb"] * count,
        "path": [f"{number}.hea" for number in range(count)],
        "patient": list(range(count)),
        "status": ["ok"] * count,
        **(columns or {}),
    }
    arrays = {name: pa.array(own.get(name, [None] * count), SCHEMA.field(name).type) for name in SCHEMA.names}
    arrays |= {name: pa.array(values) for name, values in own.items() if name not in arrays}
    write(Manifest(pa.table(arrays), path.parent, {"targets": dict(targets or {})}), vectors, path)
    return Embeddings.read(path)


def embedded_phantom(folder: Path, patients: int = 60, sites: Sequence[Any] = (), seed: int = 0) -> Path:
    """Synthetic ECGs, embedded by an encoder as it is before training."""
    write_ecg(folder / "ecg", patients, 0, duration=4.0, sites=sites)
    targets = ("diagnosis", "age:regression", "sex", *(("site",) if sites else ()))
    build_manifest(
        ScanRequest(
            folder=folder / "ecg",
            output=folder / "ecg.parquet",
            labels=folder / "ecg" / "labels.csv",
            record_column="record",
            patient_column="patient",
            target_columns=targets,
            fractions=(0.5, 0.25, 0.25),
            jobs=1,
        )
    )
    manifest = Manifest.read(folder / "ecg.parquet")
    encoder = SignalEncoderConfig(dim=32, hidden=16, depth=3)
    run = save(folder / "run", replace(signals(manifest), encoder=encoder), seed)
    output = folder / "embeddings.parquet"
    embed_manifest(run, manifest, EmbedConfig(jobs=1), folder / "ecg.store", output)
    return output
