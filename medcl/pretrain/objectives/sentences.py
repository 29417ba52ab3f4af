"""Sentences of reports: each a positive of its record (1-to-K), a finding in its context, or a part of the whole."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.losses.clip import clip
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import Pairing, PairMasks, itself, same
from medcl.errors import UsageError
from medcl.modality.report.rewriting import SentenceTokens
from medcl.pretrain.objectives.base import Parts
from medcl.pretrain.objectives.contrast import LateContrast
from medcl.pretrain.objectives.contrast_config import ContrastConfig
from medcl.pretrain.objectives.positives import ITEM, TEXT, Side, linked
from medcl.pretrain.passes import Seen, Step
from medcl.pretrain.recipe import Recipe

WHOLE = "whole"


@dataclass(frozen=True)
class SentencesConfig(ContrastConfig):
    """Contrast of the sentences of reports.

    `between: [image, report]`: a record with all sentences of its report, each of which is encoded alone and a full
    positive, so that none is a negative of its siblings: the mean over the records i of -1/K sum_k log softmax over all
    sentences of the batch, and that over the sentences of -log softmax over the records (1-to-K: CCRK, KDD 2024; its
    released code gives the second direction 1/K of its weight). A record whose report has the same sentence is a
    positive of it as well.

    `of: report, positives: text`: a sentence's mean of tokens, which were encoded within the report; positive are
    sentences of the same words, in any report, and its second pass; all others are negatives, those of the same report
    too (sub-sentence encoder).

    `of: report, positives: whole`: a report with the mean of its sentences, each encoded alone (CompCSE, split at the
    ends of sentences and not by a parser).

    Args:
        most: sentences of a report, the first ones.
    """

    kind: str = "sentences"
    positives: str | dict[str, float] = ITEM
    most: int = 16

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse what has no sentences."""
        super().check(where, recipe)
        kinds = {ITEM} if self.between else {TEXT, WHOLE}
        name = (self.between or (self.of,))[-1]
        fits = len(self.between) in (0, 2) and hasattr(recipe.inputs[name].data, "sections")
        if not fits or self.positives not in kinds or self.loss or self.dense or self.negatives.queue:
            raise UsageError(
                f"{where}: sentences is `between` a record and a report, or `of` a report with positives `text` or "
                "`whole`; without loss, dense or queue"
            )
        if self.most < 1:
            raise UsageError(f"{where}.most: {self.most} is below 1")

    @property
    def columns(self) -> tuple[str, ...]:
        """Without the words of this objective."""
        return tuple(word for word in super().columns if word != WHOLE)


class Sentences(LateContrast):
    """See `SentencesConfig`."""

    Config = SentencesConfig
    config: SentencesConfig

    def __init__(self, config: SentencesConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        encoder: Any = parts.encoders[self.names[-1]]
        self._sentences = SentenceTokens(encoder.tokenizer, config.most)

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The loss, under the empty name."""
        if self.config.between:
            return {"": self._one_to_many(step)}
        seen = step.see(self.config.of, self.wanted[self.config.of])
        return {"": self._composed(step, seen) if self.config.positives == WHOLE else self._in_context(step, seen)}

    def _one_to_many(self, step: Step) -> Tensor:
        first, second = (step.see(name, self.wanted[name]) for name in self.names)
        _, codes = self._sentences(second.x)
        report = (codes >= 0).nonzero()[:, 0]
        own = codes[codes >= 0]
        z = self.head(self.names[1])(second.pooled_of(self._sentences.alone(second.x)))
        ids = {name: one[report] for name, one in second.ids.items()}
        records = self._side(step, first, (self.names[0],), 1)
        sides = records, Side(ids, 1, len(own), (self.names[1],))
        said = torch.full((len(step.present[self.names[0]]), self.config.most), -1, device=codes.device)
        said[step.present[self.names[1]]] = codes
        pairing = linked(*sides) | _contains(said[step.present[self.names[0]]], own)
        for level in self.config.exclude:
            pairing = pairing.without(same(*(side.of(level) for side in sides)).but(pairing))
        if self.config.within:
            pairing = pairing.among(same(*(side.of(self.config.within) for side in sides)))
        a, b = (F.normalize(one.float(), dim=-1) for one in (self._z(first, self.names[0], 1), z))
        return clip(a, b, pairing, temperature=self.temperature(), group=step.group)

    def _in_context(self, step: Step, seen: Seen) -> Tensor:
        numbers, codes = self._sentences(seen.x)
        of = F.one_hot(numbers + 1, self.config.most + 1)[..., 1:].to(seen.dense)  # (n, L, S)
        sums = torch.einsum("nls,nld->nsd", of, seen.dense)
        there = of.any(dim=1)
        z = self.head(self.config.of)((sums / of.sum(dim=1).clamp(min=1)[..., None])[there])
        pairing = same(codes[there]).without(itself(z))
        return info_nce(z, z, pairing, temperature=self.temperature(), group=step.group)

    def _composed(self, step: Step, seen: Seen) -> Tensor:
        _, codes = self._sentences(seen.x[: seen.n])
        report = (codes >= 0).nonzero()[:, 0]
        alone = seen.pooled_of(self._sentences.alone(seen.x[: seen.n]))
        count = (codes >= 0).sum(dim=1).clamp(min=1)[:, None]
        mean = alone.new_zeros(seen.n, alone.shape[1]).index_add(0, report, alone) / count
        side = self._side(step, seen, (self.config.of,), 1)
        pairing = linked(side, side)
        for level in self.config.exclude:
            pairing = pairing.without(same(side.of(level)).but(pairing))
        head = self.head(self.config.of)
        return info_nce(
            self._z(seen, self.config.of, 1), head(mean), pairing, temperature=self.temperature(), group=step.group
        )


def _contains(said: Tensor, codes: Tensor) -> Pairing:
    """Records, by the numbers of what their reports say (n, S), with the sentences (M,) that are among these."""

    def rule(anchors: Tensors, candidates: Tensors) -> PairMasks:
        return PairMasks((anchors[0][:, None] == candidates[0][None, :, None]).any(dim=2))

    return Pairing(rule, (said,), (codes,))
