"""Which embeddings are far from those that an encoder was trained on: drift of groups, unusual records."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.embed.embeddings import EmbeddingsFile
from medcl.embed.vectors import Ints, Vectors, blocks, groups_of
from medcl.errors import UsageError
from medcl.explore.neighbours import new_index, search
from medcl.explore.page import Categories
from medcl.show.thumbnails import write_contact_sheet
from medcl.stats.intervals import patient_weights, percentile_interval
from medcl.stats.ranking import Floats, Ranks

K = 10
MARGIN = 0.95
"""Share of the training embeddings that count as usual."""
RESAMPLES = 500
MOST = 20_000
"""Training embeddings that stand for all."""
_MORE = 40  # neighbours that are looked at, to be left with `K` of other patients


@dataclass(frozen=True)
class Distances:
    """How far embeddings are from the training embeddings.

    Args:
        values: (N,) mean cosine distance to the nearest training embeddings of other patients, from 0 to 2; NaN where
            there are none.
        margin: that of the training embeddings themselves which 95% of them do not exceed.
        training: (N,) which they are.
    """

    values: Floats
    margin: float
    training: NDArray[np.bool_]

    def most(self, count: int) -> Ints:
        """The rows that are furthest, the furthest first."""
        known = np.flatnonzero(np.isfinite(self.values))
        return known[np.argsort(-self.values[known], kind="stable")][:count]


@dataclass(frozen=True)
class Drift:
    """A group of embeddings compared with those of training.

    Args:
        name: of the group.
        rows: embeddings.
        median: of their distances.
        beyond: share of them beyond the margin; 0.05 where nothing has changed.
        auroc: probability that one of them is further away than one of training; 0.5 where nothing has changed.
        low: lower end of the 95% interval, over resamples of the patients of both.
        high: upper end.
    """

    name: str
    rows: int
    median: float
    beyond: float
    auroc: float
    low: float
    high: float


def distances(vectors: Vectors, training: NDArray[np.bool_], patients: Ints, *, k: int = K, seed: int = 0) -> Distances:
    """Measure how far each embedding is from the training embeddings.

    Sun et al., Out-of-Distribution Detection with Deep Nearest Neighbors (ICML 2022), with the mean over k neighbours
    instead of the last of them, by cosine. No record is compared with others of its patient: training embeddings have
    such neighbours, new ones do not, and would seem to have drifted.

    Args:
        vectors: (N, dim).
        training: (N,) which are the training embeddings; 20,000 of more stand for all.
        patients: (N,) group of each row.
        k: neighbours.
        seed: of the training embeddings that stand for all.

    Raises:
        UsageError: there is no training embedding.
    """
    reference = np.flatnonzero(training)
    if not len(reference):
        raise UsageError("there are no training embeddings to compare with: embed the records of `split` train as well")
    if len(reference) > MOST:
        reference = np.sort(np.random.default_rng([seed, 5]).choice(reference, MOST, replace=False))
    index = new_index(vectors[reference])
    values = np.empty(len(vectors))
    for at, part in blocks(vectors, 8192):
        similarity, places = search(index, part, min(k + _MORE, len(reference)))
        other = (places >= 0) & (patients[reference[places]] != patients[at : at + len(part), None])
        used = other & (np.cumsum(other, axis=1) <= k)
        number = used.sum(axis=1)
        total = np.where(used, 1 - similarity.astype(np.float64), 0.0).sum(axis=1)
        values[at : at + len(part)] = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    own = values[training & np.isfinite(values)]
    return Distances(values, float(np.quantile(own, MARGIN)) if len(own) else float("nan"), training)


def drift(found: Distances, groups: Categories, patients: Ints, *, seed: int = 0) -> list[Drift]:
    """Compare groups (N,), such as splits or sites, with the training embeddings, which count in none of them.

    Patients (N,) are resampled with the seed.
    """
    told = []
    known = np.isfinite(found.values)
    train = np.flatnonzero(found.training & known)
    for code, name in enumerate(groups.names):
        rows = np.flatnonzero((np.asarray(groups.codes) == code) & ~found.training & known)
        if not len(rows) or not len(train):
            continue
        both = np.concatenate([train, rows])
        new = np.arange(len(both)) >= len(train)
        # Rounding differs with the place in the index: embeddings that are the same are equally far.
        far = np.round(found.values[both], 6)
        ranks = Ranks.of(new, far)
        resamples = patient_weights(patients[both], n_boot=RESAMPLES, seed=[seed, 4])
        over = percentile_interval(np.concatenate([ranks.auroc(weights) for weights in resamples]))
        beyond = float((far[new] > found.margin + 1e-6).mean())
        median = float(np.median(found.values[rows]))
        told.append(Drift(name, len(rows), median, beyond, float(ranks.auroc()[0]), over.low, over.high))
    return told


def write_unusual(
    found: Distances, manifest: Manifest, record_ids: NDArray[np.object_], path: Path, count: int = 20
) -> Ints:
    """Write the most unusual records as a contact sheet `.png`, the furthest first, and return their rows.

    Record ids (N,) of embeddings are None where these are of several records.

    Raises:
        UsageError: see `write_contact_sheet`.
    """
    rows = found.most(count)
    captions = [(f"{rank}  distance {found.values[row]:.3g}", str(record_ids[row])) for rank, row in enumerate(rows, 1)]
    write_contact_sheet(manifest, [record_ids[row] for row in rows], captions, path)
    return rows


def write_unusual_of(
    embeddings: EmbeddingsFile, vectors: Vectors, manifest: Manifest, path: Path, count: int = 20
) -> Ints:
    """The same of a file and its vectors (N, dim): the records that are furthest from those of its split `train`.

    Raises:
        UsageError: see `distances` and `write_unusual`.
    """
    training = embeddings.column("split") == "train"
    found = distances(vectors, training, groups_of(embeddings.column("patient")))
    return write_unusual(found, manifest, embeddings.column("record_id"), path, count)
