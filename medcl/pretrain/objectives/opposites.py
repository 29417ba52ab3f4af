"""Two inputs, one of texts, and texts with one word exchanged as negatives: CE-CLIP and DeGLA, by rules."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.core.gather import mean
from medcl.contrast.core.momentum import momentum_update
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.losses.opposites import all_opposites, opposite_gaps, opposites, ranked_opposites
from medcl.errors import UsageError
from medcl.modality.report.rewriting import OppositeTexts
from medcl.modality.report.swaps import SWAPS
from medcl.pretrain.objectives.base import Parts, follower
from medcl.pretrain.objectives.contrast import Contrast
from medcl.pretrain.objectives.contrast_config import ContrastConfig
from medcl.pretrain.objectives.positives import TEXT, Side, pair
from medcl.pretrain.passes import Seen, Step
from medcl.pretrain.recipe import Recipe
from medcl.spelling import not_a_choice

_NOBODY = -(2**62)
"""Id of what shares nothing with any record; the negative ids near 0 are those of what is missing."""


@dataclass(frozen=True)
class OppositesConfig(ContrastConfig):
    """CLIP of records and reports whose candidates are also reports with one word exchanged, and terms of these.

    With v records, t reports, n exchanged reports and s = cosine / temperature,

        contrast   (CE of v over all t and n + CE of t over all v) / 2
        own        v tells t from its own n                            (DeGLA's image-grounded term, weight 0.1)
        taught     t tells t of the slow encoder from its own n        (DeGLA's text-grounded term, 0.1, at 0.1)
        intra      t tells v from the n of all                         (CE-CLIP's intra-modal term, 0.3)
        rank       margin of each kind of word, of the step before     (CE-CLIP's rank term, 0.2)
        distance   squares of v, t and n to those of the slow encoder  (DeGLA's distillation, 0.005)

    Words are exchanged by rules, in English and German, where the papers ask language models; none is left out. A
    report that reads like another one after the exchange is no negative of that other's record.

    Args:
        kinds: words that are exchanged: side, negation, severity, size, change, organ.
        own: weight of the term.
        taught: weight of the term.
        intra: weight of the term.
        rank: weight of the term.
        distance: weight of the term.
        momentum: of the slow encoder.
    """

    kind: str = "opposites"
    kinds: tuple[str, ...] = SWAPS
    own: float = 0.0
    taught: float = 0.0
    intra: float = 0.0
    rank: float = 0.0
    distance: float = 0.0
    momentum: float = 0.9996
    ranges: ClassVar = {**ContrastConfig.ranges, "from 0 to 1": ("negatives.momentum", "momentum")}

    @property
    def losses(self) -> dict[str, float]:
        """The contrast, and the terms that count."""
        terms = {name: getattr(self, name) for name in ("own", "taught", "intra", "rank", "distance")}
        return {"contrast": 1.0, **{name: value for name, value in terms.items() if value}}

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse what is not between a record and a text."""
        super().check(where, recipe)
        texts = [name for name in self.between if hasattr(recipe.inputs[name].data, "sections")]
        if len(self.between) != 2 or texts != [self.between[1]] or self.loss or self.dense or self.negatives.queue:
            raise UsageError(f"{where}: opposites is between two inputs, the second of reports, without loss or queue")
        for kind in self.kinds:
            if kind not in SWAPS:
                raise UsageError(f"{where}.kinds: {not_a_choice(kind, SWAPS)}")
        for name in ("own", "taught", "intra", "rank", "distance"):
            if getattr(self, name) < 0:
                raise UsageError(f"{where}.{name}: {getattr(self, name):g} is negative")


class Opposites(Contrast):
    """See `OppositesConfig`."""

    Config = OppositesConfig
    config: OppositesConfig
    margins: Tensor

    def __init__(self, config: OppositesConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        encoder: Any = parts.encoders[config.between[1]]
        self._rewriting = OppositeTexts(encoder.tokenizer, config.kinds, encoder.longest)
        self.register_buffer("margins", torch.zeros(len(config.kinds)))
        self.follows = config.momentum if config.taught or config.distance else None
        names = self.names if self.follows is not None else ()
        self.followers = nn.ModuleDict({name: follower(self.head(name)) for name in names})

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The losses by the names of `config.losses`."""
        config = self.config
        for name in self.followers if self.training else ():
            momentum_update(self.head(name), self.followers[name], config.momentum)
        first, second = (step.see(name, self.wanted[name]) for name in self.names)
        v, t = (self._z(seen, name, 1).float() for seen, name in zip((first, second), self.names, strict=True))
        tokens, there, code, wrong_code = self._rewriting(second.x[: second.n])
        wrong = self._of(second, tokens, there)
        found = {"contrast": self._contrast(step, (first, second), (v, t, wrong), (there, code, wrong_code))}
        both = step.present[self.names[0]] & step.present[self.names[1]]
        rows_v, rows_t = (both[step.present[name]] for name in self.names)
        own = v[rows_v], t[rows_t], wrong[rows_t]
        valid, temperature, group = there[rows_t], self.temperature(), step.group
        if config.own:
            found["own"] = opposites(*own, valid, temperature=temperature, group=group)
        if config.intra:
            said = code[rows_t], wrong_code[rows_t]
            found["intra"] = all_opposites(*own, valid, said, temperature=temperature, group=group)
        if config.rank:
            found["rank"] = ranked_opposites(*own, self.margins, valid, temperature=temperature, group=group)
            if self.training:
                self.margins.copy_(opposite_gaps(*own, valid, temperature=temperature, group=group))
        if self.follows is not None:
            found |= self._taught(step, (first, second), (v, t, wrong), tokens, there)
        return {name: found[name] for name in config.losses}

    def _of(self, seen: Seen, tokens: Tensor, there: Tensor, slow: bool = False) -> Tensor:
        """(n, K, width) of exchanged texts, 0 where there is none."""
        name = self.names[1]
        head = self.followers[name] if slow else self.head(name)
        z = head(seen.pooled_of(tokens[there], slow)).float()
        whole: Tensor = z.new_zeros(*there.shape, z.shape[1]).index_put(there.nonzero(as_tuple=True), z)
        return whole

    def _contrast(
        self, step: Step, seen: tuple[Seen, Seen], z: tuple[Tensor, ...], said: tuple[Tensor, Tensor, Tensor]
    ) -> Tensor:
        """CLIP, with the exchanged texts as further candidates of the records."""
        (v, t, wrong), (there, code, wrong_code) = z, said
        records, texts = (self._side(step, one, (name,), 1) for one, name in zip(seen, self.names, strict=True))
        plain = pair(self.config, records, texts, step.group)
        more = wrong_code[there]
        # Of a record that reads the same after the exchange, the text is true.
        ids = {name: torch.cat([one, torch.full_like(more, _NOBODY)]) for name, one in texts.ids.items()}
        own = dict(records.ids)
        if TEXT in ids:
            ids[TEXT], own[TEXT] = torch.cat([code, more]), _codes(step, self.names, code)
        candidates = Side(ids, 1, texts.n + len(more), texts.names)
        extended = pair(self.config, Side(own, 1, records.n, records.names), candidates, step.group)
        temperature, group = self.temperature(), step.group
        every = torch.cat([t, wrong[there].to(t)])
        forth = info_nce(v, every, extended, temperature=temperature, group=group)
        return (forth + info_nce(t, v, plain.T, temperature=temperature, group=group)) / 2

    def _taught(
        self, step: Step, seen: tuple[Seen, Seen], z: tuple[Tensor, ...], tokens: Tensor, there: Tensor
    ) -> dict[str, Tensor]:
        """What the slow encoder says of records and texts."""
        v, t, wrong = z
        with torch.no_grad():
            slow = [
                self.followers[name](one.followed(0, 1).pooled).float()
                for name, one in zip(self.names, seen, strict=True)
            ]
            slow_wrong = self._of(seen[1], tokens, there, slow=True)
        found = {"taught": opposites(t, slow[1], wrong, there, temperature=0.1, group=step.group)}
        pairs = (v, slow[0]), (t, slow[1]), (wrong[there], slow_wrong[there])
        squares = [(F.normalize(a, dim=-1) - F.normalize(b, dim=-1)).square().sum() for a, b in pairs]
        total = squares[0] + squares[1] + squares[2]
        # Per record, so that a batch's size does not change the weight.
        found["distance"] = mean(total, torch.tensor(float(len(v)), device=v.device), step.group)
        return found


def _codes(step: Step, names: tuple[str, ...], code: Tensor) -> Tensor:
    """(n,) numbers of the reports of records, as the reports are numbered after they were read; ids without one."""
    everyone = step.ids[TEXT].clone()
    everyone[step.present[names[1]]] = code
    return everyone[step.present[names[0]]]
