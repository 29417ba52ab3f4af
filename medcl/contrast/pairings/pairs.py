"""Who is positive for whom, and how much: from the ids of any level, for any block of the matrix."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor

from medcl.contrast.core.blockwise import Tensors
from medcl.errors import UsageError


@dataclass(frozen=True)
class PairMasks:
    """The pairs of a block of anchors with all candidates.

    Attributes:
        positive: (n, M), bool or, for soft pairings, a weight of 0 or more.
        candidate: (n, M) bool, what the anchor is compared with at all; None: everything.
        importance: (n, M), how much a candidate weighs in the denominator; None: 1 each.
    """

    positive: Tensor
    candidate: Tensor | None = None
    importance: Tensor | None = None


@dataclass(frozen=True)
class Pairing:
    """A rule that says from two sides' ids, labels or positions who is positive for whom.

    Nothing of size (N, M) is held: a loss asks for one block of anchors after the other. Since the rule sees nothing
    but its tensors, candidates can come from a queue or from other processes, whose ids travel with them.

    Attributes:
        rule: what belongs to a block of anchors and to all candidates -> their pairs.
        anchors: tensors (N, ...).
        candidates: tensors (M, ...).
        soft: positives are weights instead of yes or no.
        local: the rule holds for this process's candidates only (a matrix that was given whole).
        groups: positives are those of equal ids, `anchors[0]` and `candidates[0]`, of which InfoNCE needs no matrix:
            all of them, as places that differ from one another, or without the anchor's own place, `anchors[1]`
            among `candidates[1]`.
    """

    rule: Callable[[Tensors, Tensors], PairMasks]
    anchors: Tensors
    candidates: Tensors
    soft: bool = False
    local: bool = False
    groups: Literal["whole", "places", "without itself"] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Anchors and candidates."""
        return len(self.anchors[0]), len(self.candidates[0])

    def pairs(self) -> PairMasks:
        """All pairs at once: for looking, and for small batches."""
        return self.rule(self.anchors, self.candidates)

    @property
    def T(self) -> "Pairing":  # noqa: N802 - as torch names a transpose
        """The other direction: candidates as anchors."""

        def rule(anchors: Tensors, candidates: Tensors) -> PairMasks:
            pairs = self.rule(candidates, anchors)
            swapped = (None if x is None else x.T for x in (pairs.candidate, pairs.importance))
            return PairMasks(pairs.positive.T, *swapped)

        return replace(self, rule=rule, anchors=self.candidates, candidates=self.anchors)

    def without(self, other: "Pairing") -> "Pairing":
        """Leave the pairs of another pairing out: neither positive nor negative.

        Two views without themselves: `same(ids).without(itself(ids))`. No negatives of the same patient:
        `same(recording).without(same(patient).but(same(recording)))`.
        """

        def combine(own: PairMasks, out: PairMasks) -> PairMasks:
            stays = ~hard(out.positive)
            candidate = stays if own.candidate is None else own.candidate & stays
            return PairMasks(_within(own.positive, candidate), candidate, own.importance)

        left = self._with(other, combine)
        by_groups = self.groups == "whole" and other.groups == "places"
        return replace(left, groups="without itself") if by_groups else left

    def but(self, other: "Pairing") -> "Pairing":
        """Positives that are not positive in another pairing; the others become negatives."""
        return self._with(other, lambda own, out: replace(own, positive=_within(own.positive, ~hard(out.positive))))

    def __and__(self, other: "Pairing") -> "Pairing":
        """Positive in both; candidates of both."""

        def combine(own: PairMasks, out: PairMasks) -> PairMasks:
            return replace(own, positive=_within(own.positive, hard(out.positive)))

        return self._with(other, combine)

    def __or__(self, other: "Pairing") -> "Pairing":
        """Positive in one or both (as yes or no)."""
        either = self._with(other, lambda own, out: replace(own, positive=hard(own.positive) | hard(out.positive)))
        return replace(either, soft=False)

    def among(self, other: "Pairing") -> "Pairing":
        """Compare an anchor with nothing but what is positive in another pairing: cells of one image, one site."""

        def combine(own: PairMasks, group: PairMasks) -> PairMasks:
            inside = hard(group.positive)
            candidate = inside if own.candidate is None else own.candidate & inside
            return PairMasks(_within(own.positive, candidate), candidate, own.importance)

        return self._with(other, combine)

    def _with(self, other: "Pairing", combine: Callable[[PairMasks, PairMasks], PairMasks]) -> "Pairing":
        if self.shape != other.shape:
            raise UsageError(f"pairings of {self.shape} and {other.shape} anchors and candidates cannot be combined")
        anchors, candidates = len(self.anchors), len(self.candidates)

        def rule(a: Tensors, c: Tensors) -> PairMasks:
            own = self.rule(a[:anchors], c[:candidates])
            return combine(own, other.rule(a[anchors:], c[candidates:]))

        return Pairing(
            rule,
            self.anchors + other.anchors,
            self.candidates + other.candidates,
            self.soft,
            self.local or other.local,
        )


def same(ids_a: Tensor, ids_b: Tensor | None = None) -> Pairing:
    """Pairs that share an id: patient, trial, study, sample, label, slice partition, hash of a report's text.

    Two modalities pair by the id of what they belong to; an anchor whose partner is missing has no positive and does
    not count, and remains a negative for the others.

    Args:
        ids_a: (N,) int64 ids of the anchors.
        ids_b: (M,) int64 ids of the candidates; default: the same ones.

    Returns:
        The pairing.

    Raises:
        TypeError: when ids are not integers: neighbouring int64 ids become equal as floats.
        UsageError: when ids are not vectors.

    Example:
        >>> import torch
        >>> from medcl.contrast import same
        >>> patients = torch.tensor([7, 7, 9])
        >>> same(patients).pairs().positive.int()
        tensor([[1, 1, 0],
                [1, 1, 0],
                [0, 0, 1]], dtype=torch.int32)
    """
    ids_b = ids_a if ids_b is None else ids_b
    for ids in (ids_a, ids_b):
        if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
            raise TypeError(f"ids must be integers (int64), got {ids.dtype}: different ids can be equal in that type")
        if ids.ndim != 1:
            raise UsageError(f"ids must be of shape (batch,), got {tuple(ids.shape)}")
    return Pairing(_equal, (ids_a,), (ids_b,), groups="whole")


def itself(like: Tensor, candidates: int | None = None) -> Pairing:
    """Each anchor and the candidate at its own place: an image and its report, a view and itself.

    The places differ between processes, so that gathered candidates stay distinct.

    Args:
        like: any tensor (N, ...) of the anchors; only its length and device count.
        candidates: number of candidates, where more follow behind the anchors' partners, such as a queue's.

    Returns:
        The pairing.
    """
    rank = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
    places = torch.arange(max(len(like), candidates or 0), device=like.device) + (rank << 40)
    of_candidates = places if candidates is not None else places[: len(like)]
    return Pairing(_equal, (places[: len(like)],), (of_candidates,), groups="places")


def matrix(positive: Tensor, exclude: Tensor | None = None) -> Pairing:
    """Pairs that are given as a matrix, for this process's candidates.

    Args:
        positive: (N, M), bool or weights of 0 or more.
        exclude: (N, M) bool, neither positive nor negative.

    Returns:
        The pairing.

    Raises:
        UsageError: when the shapes differ or `exclude` is not bool.
    """
    if positive.ndim != 2:
        raise UsageError(f"pairs must be (anchors, candidates), got {tuple(positive.shape)}")
    if exclude is not None and (exclude.shape != positive.shape or exclude.dtype != torch.bool):
        raise UsageError(
            f"exclude must be bool of shape {tuple(positive.shape)}, got {exclude.dtype} of {tuple(exclude.shape)}"
        )

    def rule(anchors: Tensors, candidates: Tensors) -> PairMasks:
        (columns,) = candidates
        block = anchors[0][:, columns]
        if exclude is None:
            return PairMasks(block)
        stays = ~anchors[1][:, columns]
        return PairMasks(_within(block, stays), stays)

    columns = torch.arange(positive.shape[1], device=positive.device)
    tensors = (positive,) if exclude is None else (positive, exclude)
    return Pairing(rule, tensors, (columns,), soft=positive.dtype != torch.bool, local=True)


def among_views(ids: Tensor) -> Pairing:
    """The pairs among the two views of a batch, all first views followed by all second views.

    Ids that are unique to a sample make exactly its two views positive (SimCLR); ids of a higher level make all views
    of all samples that share it positive (SupCon). No view is compared with itself.

    Args:
        ids: (N,) int64.

    Returns:
        A pairing of 2N anchors with 2N candidates.

    Raises:
        TypeError: when ids are not integers.
        UsageError: when ids are not a vector.

    Example:
        >>> import torch
        >>> from medcl.contrast import among_views
        >>> among_views(torch.tensor([0, 1])).pairs().positive.int()
        tensor([[0, 0, 1, 0],
                [0, 0, 0, 1],
                [1, 0, 0, 0],
                [0, 1, 0, 0]], dtype=torch.int32)
    """
    both = torch.cat([ids, ids])
    return same(both).without(itself(both))


def mixture(parts: Mapping[str, Pairing], shares: Mapping[str, float]) -> Pairing:
    """Positive by the sum of the shares of those pairings in which a pair is positive."""
    sizes = [(len(one.anchors), len(one.candidates)) for one in parts.values()]

    def rule(anchors: Tensors, candidates: Tensors) -> PairMasks:
        total: Tensor | None = None
        stays: Tensor | None = None
        a = c = 0
        for (word, one), (more_a, more_c) in zip(parts.items(), sizes, strict=True):
            found = one.rule(anchors[a : a + more_a], candidates[c : c + more_c])
            share = found.positive.float() * shares[word]
            total = share if total is None else total + share
            if found.candidate is not None:
                stays = found.candidate if stays is None else stays & found.candidate
            a, c = a + more_a, c + more_c
        assert total is not None
        return PairMasks(total if stays is None else total.masked_fill(~stays, 0), stays)

    every = list(parts.values())
    tensors = (sum((one.anchors for one in every), ()), sum((one.candidates for one in every), ()))
    return Pairing(rule, *tensors, soft=True)


def _equal(anchors: Tensors, candidates: Tensors) -> PairMasks:
    return PairMasks(anchors[0][:, None] == candidates[0][None, :])


def hard(positive: Tensor) -> Tensor:
    """Positives as yes or no, (n, M) bool."""
    return positive if positive.dtype == torch.bool else positive > 0


def _within(positive: Tensor, allowed: Tensor) -> Tensor:
    return positive & allowed if positive.dtype == torch.bool else positive.masked_fill(~allowed, 0)
