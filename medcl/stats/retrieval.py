"""How well one side finds the other: ranks of the hits among all candidates, against the chance of a random order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from medcl.errors import MedclError, UsageError
from medcl.stats import ranking as chance
from medcl.stats.ranking import Floats, weighted_median

Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class RelevanceIds:
    """Ids of the records of one side: a hit is a candidate that shares an id with the query.

    A record may have several, as an image with three reports does, or none.

    Args:
        row: (entries,) number of the record.
        id: (entries,) its id.
        size: number of records.
    """

    row: Ints
    id: Ints
    size: int

    @classmethod
    def of(cls, ids: ArrayLike | Sequence[ArrayLike]) -> "RelevanceIds":
        """Ids as one number a record (records,), negative for none; as indicators (records, classes); or as lists."""
        if isinstance(ids, list | tuple) and (not ids or np.ndim(ids[0]) == 1):
            parts = [np.unique(np.asarray(one, dtype=np.int64)) for one in ids]
            row = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
            marks = np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
            return cls(row[marks >= 0], marks[marks >= 0], len(parts))
        table = np.asarray(ids)
        if table.ndim == 2:
            row, column = np.nonzero(table == 1)
            return cls(row.astype(np.int64), column.astype(np.int64), len(table))
        return cls(np.flatnonzero(table >= 0), table[table >= 0].astype(np.int64), len(table))


@dataclass(frozen=True)
class SharedIds:
    """The candidates that share an id with each query, for any block of queries: sparse matrices by ids."""

    queries: Any
    candidates: Any

    @classmethod
    def of(cls, queries: RelevanceIds, candidates: RelevanceIds, order: Ints) -> "SharedIds":
        """Compare two sides, the candidates in an order (candidates,)."""
        from scipy.sparse import csr_array

        known, numbers = np.unique(np.concatenate([queries.id, candidates.id]), return_inverse=True)
        parts = np.split(numbers, [len(queries.id)])
        first, second = (
            csr_array((np.ones(len(part), dtype=np.int32), (side.row, part)), shape=(side.size, max(1, len(known))))
            for side, part in zip((queries, candidates), parts, strict=True)
        )
        return cls(first, second[order].T.tocsr())

    def block(self, start: int, step: int) -> Tensor:
        """(block, candidates) bool for the queries from `start` on."""
        return torch.from_numpy((self.queries[start : start + step] @ self.candidates).toarray() > 0)

    def pairs(self) -> Ints:
        """(pairs, 2) numbers of queries and candidates that share an id, ascending."""
        found = (self.queries @ self.candidates).tocsr()
        found.sort_indices()
        rows = np.repeat(np.arange(found.shape[0]), np.diff(found.indptr))
        return np.stack([rows, found.indices], axis=1).astype(np.int64)


RANKS = (1, 5, 10)
_BLOCK_NUMBERS = 1_000_000  # similarities at a time: 4 MB, and some hundred with their order, whatever the archive


@dataclass(frozen=True)
class Ranking:
    """The hits of each query, (queries,) each; a query without any hit among its candidates has rank -1.

    Args:
        ranks: numbers k of `found`, ascending.
        best: rank of the best hit, from 1.
        found: (queries, ranks) hits among the first k.
        precision: average precision.
        hits: hits among the candidates.
        candidates: candidates that were not left out for the query.
    """

    ranks: tuple[int, ...]
    best: Ints
    found: Ints
    precision: Floats
    hits: Ints
    candidates: Ints

    @property
    def answerable(self) -> NDArray[np.bool_]:
        """(queries,) whether a query has a hit among the candidates; the others are not counted."""
        return self.hits > 0


@dataclass(frozen=True)
class QueryValues:
    """Values of each query, of which metrics are means, ready to be measured under any weights.

    Args:
        means: metric -> (queries,).
        median: weights (queries, resamples) -> median rank of the best hit, (resamples,); None where nothing is ranked.
    """

    means: dict[str, Floats]
    median: Callable[[Floats], Floats] | None = None

    @property
    def n_items(self) -> int:
        """Number of queries."""
        return len(next(iter(self.means.values())))

    def metrics(self, weights: Floats) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """{metric: (resamples,)} under weights (queries, resamples); there are no values by class."""
        total = weights.sum(0)
        found = {name: value @ weights / total for name, value in self.means.items()}
        return found if self.median is None else {**found, "median_rank": self.median(weights)}, {}


def rank(
    queries: Tensor,
    candidates: Tensor,
    hits: tuple[RelevanceIds, RelevanceIds],
    leave_out: tuple[RelevanceIds, RelevanceIds] | None = None,
    *,
    ranks: Sequence[int] = RANKS,
    seed: int = 0,
) -> Ranking:
    """Order all candidates by cosine similarity for each query and find the ranks of the hits.

    Equal similarities are put in a random order, the same for all queries: an encoder that has collapsed is at chance.
    Memory is bounded: a block of queries at a time.

    Args:
        queries: (Q, D); need not be of unit length.
        candidates: (C, D), on the same device.
        hits: ids of the queries and of the candidates; those that share one are hits.
        leave_out: ids that exclude a candidate for a query: the query itself, or other records of its patient.
        ranks: the k of recall@k and precision@k.
        seed: of the order of equals.

    Raises:
        UsageError: numbers of ids and embeddings differ, or a k is below 1.
        MedclError: an embedding is not finite.
    """
    sides = (queries, candidates)
    for name, z, marks in zip(("queries", "candidates"), sides, hits, strict=True):
        if z.ndim != 2 or marks.size != len(z) or not len(z):
            raise UsageError(f"retrieval: {tuple(z.shape)} embeddings of {name} and ids of {marks.size} records")
        if not torch.isfinite(z).all():
            raise MedclError(f"retrieval: embeddings of {name} are not finite: the model has diverged")
    if min(ranks) < 1:
        raise UsageError(f"retrieval: recall@{min(ranks)} is invalid, ranks start at 1")
    order = np.random.default_rng(seed).permutation(len(candidates)).astype(np.int64)
    unit = [torch.nn.functional.normalize(z.float(), dim=1) for z in sides]
    shuffled = unit[1][torch.from_numpy(order).to(candidates.device)]
    wanted, barred = SharedIds.of(*hits, order), SharedIds.of(*leave_out, order) if leave_out else None
    parts, step = [], max(1, _BLOCK_NUMBERS // len(candidates))
    for start in range(0, len(queries), step):
        similarity = unit[0][start : start + step] @ shuffled.T
        hit = wanted.block(start, step).to(similarity.device)
        kept = torch.ones_like(hit)
        if barred is not None:
            kept = ~barred.block(start, step).to(similarity.device)
            similarity = similarity.masked_fill(~kept, -torch.inf)
        places = similarity.argsort(dim=1, descending=True, stable=True)
        parts.append(_looked_up((hit & kept).gather(1, places), kept.sum(1), ranks))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Ranking(tuple(ranks), *columns)


def values_of(ranking: Ranking) -> tuple[QueryValues, QueryValues]:
    """What the queries with a hit among the candidates find, and what they find in a random order: the chance.

    `recall@k` is the share of queries with a hit among the first k, `precision@k` the share of the first k that are
    hits (as in CheXpert 8x200; of all candidates where there are fewer than k), `mAP` the mean of the average
    precision, `median_rank` that of the best hit.

    Raises:
        MedclError: no query has a hit among the candidates.
    """
    kept = ranking.answerable
    if not kept.any():
        raise MedclError(f"retrieval: none of {len(kept)} queries has a hit among the candidates")
    found, hits, candidates = ranking.found[kept], ranking.hits[kept], ranking.candidates[kept]
    own: dict[str, Floats] = {}
    expected: dict[str, Floats] = {}
    for column, k in enumerate(ranking.ranks):
        own[f"recall@{k}"] = (found[:, column] > 0).astype(np.float64)
        expected[f"recall@{k}"] = chance.recall(candidates, hits, k)
    for column, k in enumerate(ranking.ranks):
        own[f"precision@{k}"] = found[:, column] / np.minimum(k, candidates)
        expected[f"precision@{k}"] = hits / candidates
    own["mAP"], expected["mAP"] = ranking.precision[kept], chance.average_precision(candidates, hits)
    best = ranking.best[kept].astype(np.float64)
    return (
        QueryValues(own, partial(weighted_median, best)),
        QueryValues(expected, partial(chance.median_rank, candidates, hits)),
    )


def _looked_up(hit: Tensor, kept: Tensor, ranks: Sequence[int]) -> tuple[Ints, Ints, Floats, Ints, Ints]:
    """Of the hits in the order of similarity (block, candidates): the columns of `Ranking`."""
    running = hit.cumsum(1)
    total = running[:, -1]
    place = torch.arange(1, hit.shape[1] + 1, device=hit.device)
    precision = torch.where(hit, running.double() / place, 0.0).sum(1) / total.clamp(min=1)
    best = torch.where(total > 0, hit.int().argmax(1) + 1, -1)
    found = torch.stack([running[:, min(k, hit.shape[1]) - 1] for k in ranks], dim=1)
    whole: list[Ints] = [one.cpu().numpy().astype(np.int64) for one in (best, found, total, kept)]
    return whole[0], whole[1], precision.cpu().numpy(), whole[2], whole[3]
