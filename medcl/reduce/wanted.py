"""What is wanted: the units that are nearest to terms, or to a few records, by an encoder (CiT)."""

from collections import Counter
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.embed.encoders import sides_of
from medcl.embed.texts import embed_texts
from medcl.embed.vectors import unit as of_length_1
from medcl.errors import MedclError, UsageError, reason
from medcl.reduce.config import ReduceConfig
from medcl.reduce.embedding import Embedding, encoder_of
from medcl.reduce.signatures import Described
from medcl.reduce.strategy import Pieces, Range, Signatures, Strategy, Unit
from medcl.reduce.units import Units, families_of, units_of


@dataclass(frozen=True)
class Wanted(Strategy):
    """Highest cosine similarity to what is wanted: a score of each unit alone.

    Data curation by metadata as in CiT (Xu et al., CiT: Curation in Training for Effective Vision-Language Data, ICCV
    2023), whose threshold of 0.55 is the default. There it is done anew every 100 steps by the text encoder that
    is trained; here by a finished run, so that a round is `medcl reduce`, then `medcl pretrain`.

    Args:
        inner: makes embeddings.
        wanted: (W, dim) of length 1.
        terms: (W,) names of these.
    """

    inner: Embedding
    wanted: NDArray[np.float32]
    terms: tuple[str, ...]
    name = "wanted"
    measure = "score"
    thresholds = Range(0.55, -1, 1, (0.0, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9))

    @property
    def kinds(self) -> tuple[Kind, ...]:  # type: ignore[override]
        """Those of the encoder."""
        return self.inner.kinds

    @property
    def dims(self) -> tuple[Unit, ...]:  # type: ignore[override]
        """Those of the encoder."""
        return self.inner.dims

    @property
    def key(self) -> str:
        """Of the encoder: what is kept are its signatures."""
        return self.inner.key

    def signatures(self, pieces: Pieces) -> Signatures:
        """Return scores and places of the nearest wanted ones, (n, 2) float32."""
        return self._scores(self.inner.signatures(pieces))

    def described(
        self, manifest: Manifest, units: Units, store: Path, *, axis: int, jobs: int = -1, cluster: str | None = None
    ) -> Described:
        """Score the records by the encoder's signatures, which are kept in the store."""
        found = self.inner.described(manifest, units, store, axis=axis, jobs=jobs, cluster=cluster)
        scores = {row: self._scores(one) for row, one in found.of.items()}
        return Described(scores, found.unreadable, found.incomparable)

    def _scores(self, z: Signatures) -> Signatures:
        cosine = np.asarray(z, dtype=np.float32) @ self.wanted.T
        return np.stack([cosine.max(axis=1), cosine.argmax(axis=1).astype(np.float32)], axis=1)

    def shares(self, signatures: Signatures, keep: NDArray[np.bool_]) -> dict[str, tuple[int, int]]:
        """Of the units (n,) that each term is the nearest one of, how many are kept, and how many there are."""
        nearest = [self.terms[int(one)] for one in signatures[:, 1].tolist()]
        every, kept = Counter(nearest), Counter(compress(nearest, keep.tolist()))
        return {term: (kept[term], every[term]) for term in dict.fromkeys(self.terms)}

    def compare(self, a: Signatures, b: Signatures) -> NDArray[np.float32]:
        """Refuse: a score compares nothing, a `UsageError`."""
        raise UsageError("wanted is a score of each unit alone: it finds no duplicates; choose another strategy")


def strategy_of(config: ReduceConfig, manifest: Manifest, store: Path) -> Wanted:
    """The strategy by what is wanted.

    Args:
        config: with `wanted`, a manifest (.parquet) of a few records, or a text file of terms, one a line.
        manifest: that is reduced.
        store: of prepared records; those of the wanted records lie in `wanted` below it.

    Raises:
        UsageError: nothing is wanted, or the encoder reads no terms or none of the records.
        MedclError: the file cannot be read.
    """
    if not config.wanted:
        raise UsageError(
            "--by wanted needs --wanted FILE: a manifest of a few records, or a text file with a term a line"
        )
    path, inner = Path(config.wanted), encoder_of(config)
    found = _records(path, inner, config, store) if path.suffix == ".parquet" else _terms(path, config)
    return Wanted(inner, *found)


def _terms(path: Path, config: ReduceConfig) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise MedclError(f"--wanted {path}: the file of terms {reason(error)}") from error
    terms = tuple(dict.fromkeys(one.strip() for one in lines if one.strip()))
    if not terms:
        raise UsageError(f"--wanted {path}: holds no term; write one a line, such as 'left pleural effusion'")
    if not config.run:
        raise UsageError("--wanted of terms needs --run RUN, a run that was trained on reports")
    (side,) = sides_of(Path(config.run), "report")
    return of_length_1(embed_texts(side.network, side.card, terms).numpy()), terms


def _records(
    path: Path, inner: Embedding, config: ReduceConfig, store: Path
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    records = Manifest.read(path).ok()
    found = []
    for family in families_of(config):
        if family.kind in inner.kinds and family.unit in inner.dims and (records.kinds == family.kind).any():
            units = units_of(records, family, np.ones(len(records), dtype=bool), config.axis)
            described = inner.described(records, units, store / "wanted", axis=config.axis, jobs=1)
            found += list(described.of.values())
    if not found:
        raise UsageError(f"--wanted {path}: holds no record that the encoder takes")
    # Not by their ids: what is printed names no record.
    z = np.concatenate(found)
    return of_length_1(np.asarray(z, dtype=np.float32)), (path.stem,) * len(z)
