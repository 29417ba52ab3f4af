"""The sides of a multimodal encoder in training: views of each, the encoders, projections, and who belongs together."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.core.gather import Group, encode_in_chunks
from medcl.contrast.pairings.pairs import Pairing, PairMasks
from medcl.modality.views import Compose
from medcl.networks.multimodal import REPORT, MultimodalEncoder
from medcl.pretrain.loop import laid_out
from medcl.pretrain.shared_views import draw

MOST = 2**18
"""Vectors that are kept; 400 MB at a width of 384."""


class TextCache:
    """The pooled embeddings of texts by a locked encoder: they are the same at every step, to the rounding of a batch.

    A report is drawn again in every epoch, and a transformers model takes longer than all else in a step. Beyond `most`
    different texts, further ones are embedded anew.

    Args:
        most: texts that are kept.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._known: dict[bytes, Tensor] = {}

    def __call__(self, x: Tensor, words: Tensor, embed: Callable[[Tensor], Tensor]) -> Tensor:
        """Embed a batch of which only those texts that are new pass the encoder.

        Args:
            x: (B, L) tokens.
            words: (B, L) bool, which of them are not padding.
            embed: tokens (n, L) to pooled embeddings (n, dim).

        Returns:
            (B, dim), without a derivative.
        """
        tokens, real = x.cpu().numpy(), words.cpu().numpy()
        keys = [row[kept].tobytes() for row, kept in zip(tokens, real, strict=True)]
        first = {key: place for place, key in enumerate(keys) if key not in self._known}
        found = {}
        if first:
            with torch.no_grad():
                found = dict(zip(first, embed(x[list(first.values())]), strict=True))
            room = self.most - len(self._known)
            self._known.update(list(found.items())[:room])
        return torch.stack([found[key] if key in found else self._known[key] for key in keys])


Ids = dict[str, Tensor]


@dataclass(frozen=True)
class Seen:
    """What an encoder takes: the views of one kind, of the n samples that have it.

    Args:
        x: (n, ...).
        keep: (n, T) bool, time steps that are not hidden; None hides none.
        ids: {name: (n,) int64}.
    """

    x: Tensor
    keep: Tensor | None
    ids: Ids


@dataclass(frozen=True)
class EmbeddedViews:
    """What an encoder gives.

    Args:
        z: (n, projection) of length 1.
        cells: (n, P, width) of length 1, or None where there is no local term.
        there: (n, P) bool, which of the cells are words; None: all are cells.
        ids: {name: (n,) int64}.
    """

    z: Tensor
    cells: Tensor | None
    there: Tensor | None
    ids: Ids


class Towers(nn.Module):
    """Makes the views of a batch and embeds them.

    Args:
        joint: the encoders and heads.
        views: {kind: random changes}; a kind without changes nothing.
        locked: kinds whose encoder is not trained; it stays in evaluation mode.
        chunk: samples that pass an encoder at a time; 0 is all of them.
        dropout: of pooled embeddings, before they are projected in training.
    """

    def __init__(
        self,
        joint: MultimodalEncoder,
        views: Mapping[str, Compose],
        locked: Collection[str] = (),
        chunk: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.joint, self.views, self.locked, self.chunk = joint, dict(views), tuple(locked), chunk
        for kind in self.locked:
            joint.side(kind).requires_grad_(False)
        self.text_cache = TextCache() if REPORT in self.locked else None
        self.train()

    def train(self, mode: bool = True) -> "Towers":
        """Switch between training and evaluation; what is locked stays in evaluation."""
        super().train(mode)
        for kind in self.locked:
            self.joint.side(kind).eval()
        return self

    def see(
        self, batch: dict[str, Any], generator: torch.Generator, group: Group, *, copies: int = 1
    ) -> dict[str, Seen]:
        """Draw the views of a batch.

        Args:
            batch: of `Pairs`.
            generator: on the CPU, the same in all processes.
            group: processes that share the batch.
            copies: views of each sample: all first ones, then all second ones.

        Returns:
            {kind: views}; without a kind that no sample has.
        """
        seen = {}
        for kind in self.joint.sides:
            x = batch["inputs"].get(kind)
            if x is None:
                continue
            there = batch["present"][kind]
            ids = batch["ids"] if len(x) == len(there) else {name: own[there] for name, own in batch["ids"].items()}
            views, keep = self.views.get(kind), None
            repeated = x.repeat(copies, *(1,) * (x.ndim - 1)) if copies > 1 else x
            if views is not None:
                params = draw(views, x, copies, generator, group)
                repeated, keep = views.apply(repeated, params), views.keep(params)
            seen[kind] = Seen(laid_out(repeated), keep, ids)
        return seen

    def forward(self, seen: dict[str, Seen], *, cells: bool = False) -> dict[str, EmbeddedViews]:
        """Embed views.

        Args:
            seen: of each kind.
            cells: whether dense embeddings are projected too.
        """
        return {kind: self._embed(kind, one, cells) for kind, one in seen.items()}

    def _embed(self, kind: str, seen: Seen, cells: bool) -> EmbeddedViews:
        encoder = self.joint.side(kind)
        if kind == REPORT and self.text_cache is not None and not cells:
            words = cast(Any, encoder).keep(seen.x)
            pooled = self.text_cache(seen.x, words, self._read)
            return EmbeddedViews(self.joint.project(kind, self.dropout(pooled)), None, words, seen.ids)
        with torch.set_grad_enabled(torch.is_grad_enabled() and kind not in self.locked):
            parts = (seen.x,) if seen.keep is None else (seen.x, seen.keep)
            chunk = self.chunk if self.chunk and torch.is_grad_enabled() else len(seen.x)
            dense = encode_in_chunks(encoder, *parts, chunk=max(chunk, 1))
            pooled = self.joint.pool(kind, dense, seen.x)
        z = self.joint.project(kind, self.dropout(pooled))
        there = cast(Any, encoder).keep(seen.x) if kind == REPORT else None
        return EmbeddedViews(z, self.joint.project_dense(kind, dense) if cells else None, there, seen.ids)

    def _read(self, tokens: Tensor) -> Tensor:
        """Pooled embeddings of texts, `chunk` at a time."""
        return torch.cat(
            [self.joint.encode(REPORT, part)[1] for part in torch.split(tokens, self.chunk or len(tokens))]
        )


def partners(a: str, b: str, anchors: Ids, candidates: Ids) -> Pairing:
    """Who belongs together of two kinds; other pairs of one patient are neither positive nor negative.

    Positive are a record and what was drawn with it, and what was drawn with the same record elsewhere in the batch: a
    report of a study belongs to each of its images. Equal texts are positive too, whatever the patient.

    Args:
        a: kind of the anchors.
        b: kind of the candidates.
        anchors: their ids.
        candidates: their ids.
    """

    def rule(own: Tensors, others: Tensors) -> PairMasks:
        together, patient = _together(own, others)
        return PairMasks(together, together | ~patient)

    return _pairing(rule, a, b, anchors, candidates)


def apart(a: str, b: str, anchors: Ids, candidates: Ids) -> Pairing:
    """Pairs of one patient who do not belong together, see `partners`."""

    def rule(own: Tensors, others: Tensors) -> PairMasks:
        together, patient = _together(own, others)
        return PairMasks(patient & ~together)

    return _pairing(rule, a, b, anchors, candidates)


def _pairing(rule: Callable[[Tensors, Tensors], PairMasks], a: str, b: str, anchors: Ids, candidates: Ids) -> Pairing:
    names = ["patient", "item", a, b, *(["text"] if REPORT in (a, b) else [])]
    return Pairing(rule, tuple(anchors[name] for name in names), tuple(candidates[name] for name in names))


def _together(own: Tensors, others: Tensors) -> tuple[Tensor, Tensor]:
    """Whether pairs belong together, and whether they are of one patient: (n, M) bool each."""
    patient, *levels = (x[:, None] == y[None, :] for x, y in zip(own, others, strict=True))
    return torch.stack(levels).any(dim=0), patient
