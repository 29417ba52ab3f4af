"""The general objective: any pairing x similarity x loss of `medcl.contrast`, within an input or between inputs."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.core.gather import Group, gather
from medcl.contrast.losses.m3col import draw as draw_mixing
from medcl.contrast.losses.temperatures import Temperature
from medcl.contrast.pairings.pairs import Pairing, hard
from medcl.modality.spatial.encoders.unet import GlobalHead
from medcl.pretrain.objectives.agreement import weights_of
from medcl.pretrain.objectives.base import HeadConfig, Objective, Parts, dim_of, map_features, projection
from medcl.pretrain.objectives.contrast_config import ContrastConfig
from medcl.pretrain.objectives.named_loss import BIAS, NamedLoss
from medcl.pretrain.objectives.positives import IN_BATCH, ITEM, NEIGHBOURS, SOFT, Side, pair
from medcl.pretrain.passes import Seen, Step
from medcl.pretrain.views import Wanted

Cells = Tensor | tuple[Tensor, Tensor]
"""Of samples (n, P, width), or words with where they are (n, Q)."""


class Contrast(Objective):
    """See `ContrastConfig`."""

    Config = ContrastConfig
    config: ContrastConfig

    @classmethod
    def made(cls, config: ContrastConfig, parts: Parts) -> Objective:
        """With a queue, what contrasts with one."""
        if config.negatives.queue and cls is Contrast:
            from medcl.pretrain.objectives.queued import QueuedContrast

            return QueuedContrast(config, parts)
        return cls(config, parts)

    def __init__(self, config: ContrastConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.name = parts.name
        self._loss = NamedLoss(config, f"objectives.{parts.name}")
        self.names = (config.of,) if config.of else config.between
        self.soft = next((word.removeprefix(SOFT) for word in config.words if word.startswith(SOFT)), "")
        self.heads: nn.ModuleDict
        self.owner = config.head if isinstance(config.head, str) else parts.name
        # Its own, or that of the objective whose head it shares.
        self.head_config = cast(HeadConfig, cast(ContrastConfig, parts.recipe.objectives[self.owner]).head)
        # The first that is trained of those that share a head has it; in a list, so that it is no part of the others.
        every = (one for one in parts.objectives.values() if isinstance(one, Contrast))
        self._shared = [one for one in every if one.owner == self.owner][:1]
        if not self._shared:
            # Also inputs of objectives that share it have a head here.
            recipe = parts.recipe
            objectives = [(key, one) for key, one in recipe.objectives.items() if isinstance(one, ContrastConfig)]
            sharing = [one for key, one in objectives if self.owner in (key, one.head)]
            used = {one for config in sharing for one in (config.of, *config.between)}
            self.heads = nn.ModuleDict({name: self._head(name, parts) for name in recipe.inputs if name in used})
        self.temperature = Temperature(config.temperature, config.learn_temperature)
        learns_bias = "bias" in self._loss.parameters and config.learn_temperature
        # As with the temperature: weight decay draws it to where it began.
        self.bias = nn.Parameter(torch.zeros(())) if learns_bias else None
        # A loss with a state of its own holds one entry a record.
        self.state = self._loss.with_state(config, parts.rows)

    def _head(self, name: str, parts: Parts) -> nn.Module:
        encoder, config = parts.encoders[name], self.head_config
        if config.map:
            return GlobalHead(map_features(encoder, parts.sizes[name][1:]), config.hidden, config.dim)
        if self.config.dense and not config.hidden and config.dim:
            return nn.Linear(dim_of(encoder), config.dim)
        return projection(config, dim_of(encoder))

    def head(self, name: str) -> nn.Module:
        """What projects the embeddings of an input."""
        heads = self._shared[0].heads if self._shared else self.heads
        return heads[name]

    @property
    def wanted(self) -> dict[str, Wanted]:
        """Views of one input, or one view of each."""
        config = self.config
        one = Wanted(config.views, copies=config.across, masked=config.masked, apart=self.name if config.apart else "")
        several = replace(one, copies=config.copies, original=config.original)
        found = {name: several if config.of else one for name in self.names}
        for name in self.config.frozen:
            found.setdefault(name, Wanted(copies=1))
        return found

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The loss, under the empty name."""
        if self.config.of:
            return {"": self._within(step)}
        if len(self.names) == 2 and self._loss.several != "modalities":
            return {"": self._between(step)}
        return {"": self._jointly(step)}

    def _z(self, seen: Seen, name: str, blocks: int) -> Tensor:
        config = self.head_config
        source = "bottleneck" if config.map else "dense" if self.config.dense else "pooled"
        head = self.head(name)
        if config.dropout and source == "pooled":
            return cast(Tensor, head(F.dropout(seen.pooled[: blocks * seen.n], config.dropout, self.training)))
        return seen.project(head, blocks, source)

    def _side(self, step: Step, seen: Seen, names: tuple[str, ...], blocks: int) -> Side:
        frozen = {}
        for name in self.config.frozen:
            pooled = step.see(name, self.wanted[name]).pooled.detach()
            # Of samples without this input nothing is known: a vector of zeros.
            everyone = pooled.new_zeros(len(step.present[name]), pooled.shape[1])
            everyone[step.present[name]] = pooled
            frozen[name] = everyone[step.present[names[0]]]
        raw = seen.drawn.source if NEIGHBOURS in self.config.words else None
        return Side(seen.ids, blocks, seen.n, names, raw, frozen)

    def pairing(self, step: Step, blocks: int) -> Pairing:
        """Of the views of one input."""
        seen = step.see(self.config.of, self.wanted[self.config.of])
        return pair(self.config, self._side(step, seen, (self.config.of,), blocks), None, step.group)

    def positive_share(self, step: Step) -> float | None:
        """The share of the anchors of a batch that have a positive; None where it is not known before the loss."""
        config = self.config
        parameters = self._loss.parameters
        if len(self.names) > 2 or not {"pairing", "ids"} & parameters.keys():
            return None
        if "pairing" not in parameters:
            # Of other samples: two views of one are no pair.
            seen = step.see(config.of, self.wanted[config.of])
            own = seen.ids[next(iter(config.words))]
            return float(((own[:, None] == own).sum(dim=1) > 1).double().mean()) if seen.n else 0.0
        if config.of:
            wanted = self.wanted[config.of]
            pairing = self.pairing(step, wanted.copies + wanted.original)
        else:
            a, b = (self._side(step, step.see(name, self.wanted[name]), (name,), 1) for name in self.names)
            pairing = pair(self.config, a, b, step.group)
        if not pairing.shape[0]:
            return 0.0
        return float(hard(pairing.pairs().positive).any(dim=1).double().mean())

    def _given(self, step: Step, **own: Any) -> dict[str, Any]:
        given = {
            "temperature": self.temperature(),
            "similarity": self._loss.similarity,
            "generator": step.generator,
            **({} if self.state is not None else self.config.settings),
            **own,
        }
        if "mixing" in self._loss.parameters:
            whole = self.config.of and not self.config.negatives.queue
            blocks = self.config.copies + self.config.original if whole else 1
            given["mixing"] = self._loss.negative_mixing(given["a"], blocks, self.config.settings, step)
        if "bias" in self._loss.parameters:
            given["bias"] = BIAS if self.bias is None else BIAS + self.bias
        return given

    def _within(self, step: Step) -> Tensor:
        config = self.config
        wanted = self.wanted[config.of]
        seen, blocks = step.see(config.of, wanted), wanted.copies + wanted.original
        z = self._z(seen, config.of, blocks)
        parameters = self._loss.parameters
        given: dict[str, Any] = {"a": z, "b": z}
        if "pairing" in parameters:
            given["pairing"] = self.pairing(step, blocks)
        if "views" in parameters:
            given["views"] = z.reshape(blocks, seen.n, -1)
        if "z1" in parameters:
            given["z1"], given["z2"] = z.chunk(2)
        if {"y", "ids"} & parameters.keys():
            given["y"] = given["ids"] = seen.ids[next(iter(config.words))]
        if "index" in parameters:
            given["index"] = seen.ids["row"]
        if "frozen" in parameters:
            given["frozen"] = step.see(self.soft, self.wanted[self.soft]).pooled.detach().repeat(blocks, 1)
        if config.agreement:
            given["weights"] = weights_of(seen, config.agreement, step.group)
        module = self.state if self.state is not None else self._loss.function
        return self._loss(module, self._given(step, **given), step.group)

    def _between(self, step: Step) -> Tensor:
        first, second = (step.see(name, self.wanted[name]) for name in self.names)
        sides = [self._side(step, seen, (name,), 1) for seen, name in zip((first, second), self.names, strict=True)]
        views = self.config.across
        a, b = (self._z(seen, name, views).float() for seen, name in zip((first, second), self.names, strict=True))
        # An inner product of what is not at unit length says so, and means it.
        if self._loss.similarity.unit or not self._loss.similarity.inner:
            a, b = (F.normalize(z, dim=-1) for z in (a, b))
        # A loss that weighs pairs by frozen embeddings itself is told who belongs together.
        rules = replace(self.config, positives=ITEM) if "frozen" in self._loss.parameters else self.config
        given: dict[str, Any] = {"a": a, "b": b, "pairing": pair(rules, sides[0], sides[1], step.group)}
        if self.config.dense:
            cells = [_cells(seen, z, step.group) for seen, z in ((first, a), (second, b))]
            given |= {"a": cells[0], "b": cells[1]}
            given |= self._regions_and_words(step, cells)
        if "frozen" in self._loss.parameters:
            given["frozen"] = step.see(self.soft, self.wanted[self.soft]).pooled.detach()

        def loss(**of: Any) -> Tensor:
            return self._loss(self._loss.function, self._given(step, **given | of), step.group)

        if views == 1:
            return loss()
        return torch.stack([loss(a=x, b=y) for x, y in product(a.chunk(views), b.chunk(views))]).mean()

    def _regions_and_words(self, step: Step, cells: Sequence[Cells]) -> dict[str, Cells]:
        """Those of samples that have both."""
        both = step.present[self.names[0]] & step.present[self.names[1]]
        own = [_rows(one, both[step.present[name]]) for one, name in zip(cells, self.names, strict=True)]
        words_first = isinstance(cells[0], tuple) and not isinstance(cells[1], tuple)
        return dict(zip(("words", "regions") if words_first else ("regions", "words"), own, strict=True))

    def _jointly(self, step: Step) -> Tensor:
        seen = {name: step.see(name, self.wanted[name]) for name in self.names}
        count = len(next(iter(step.present.values())))
        modalities = []
        for name, one in seen.items():
            z = F.normalize(self._z(one, name, 1).float(), dim=-1)
            there = step.present[name].nonzero()[:, 0]
            modalities.append(z.new_zeros(count, z.shape[1]).index_put((there,), z))
        present = torch.stack([step.present[name] for name in self.names], dim=1)
        given: dict[str, Any] = {"modalities": modalities, "present": present}
        if "present" not in self._loss.parameters:
            # A sample that lacks one of them is not used.
            whole = present.all(dim=1)
            given["modalities"] = modalities = [one[whole] for one in modalities]
        if "anchor" in self._loss.parameters:
            side = Side(
                {name: one[present.all(dim=1)] for name, one in step.ids.items()}, 1, len(modalities[0]), self.names
            )
            given |= {
                "anchor": modalities[0],
                "others": modalities[1:],
                "pairing": pair(self.config, side, side, step.group),
            }
        if "mixings" in self._loss.parameters:
            like = modalities[0]
            given["mixings"] = [
                draw_mixing(len(like), generator=step.generator, device=like.device) for _ in modalities
            ]
        return self._loss(self._loss.function, self._given(step, **given), step.group)

    @property
    def fusion(self) -> tuple[Any, ...] | None:
        """What objectives have in common whose losses one pass over the similarities gives; None: it stands alone."""
        config = self.config
        by_id = all(word not in IN_BATCH and ":" not in word for word in config.words) and len(config.words) == 1
        plain = not (config.settings or config.exclude or config.within or config.agreement)
        if not (config.of and by_id and plain and config.similarity == "cosine" and not config.learn_temperature):
            return None
        dense = config.dense and config.loss_name == "identity"
        if not dense and (config.dense or config.loss_name != "info_nce"):
            return None
        head = None if dense else id(self.head(config.of))
        return config.of, self.wanted[config.of], head, config.temperature, dense


def _rows(cells: Cells, rows: Tensor) -> Cells:
    """The cells of some samples."""
    return (cells[0][rows], cells[1][rows]) if isinstance(cells, tuple) else cells[rows]


def _cells(seen: Seen, z: Tensor, group: Group) -> Cells:
    """Cells (n, P, width); or words with where they are (n, Q), with as many places in all processes."""
    if not hasattr(seen.encoder, "keep"):
        return z
    there = seen.words
    if group is not None:
        longest = int(gather(torch.tensor([z.shape[1]], device=z.device), group).max())
        more = longest - z.shape[1]
        z, there = F.pad(z, (0, 0, 0, more)), F.pad(there, (0, more))
    return z, there


class LateContrast(Contrast):
    """A contrast whose pairs are known in its loss alone: of sentences that are yet to be found, or with a queue."""

    @property
    def fusion(self) -> None:
        """None: it stands alone."""
        return

    def positive_share(self, step: Step) -> float | None:
        """Not known before the loss."""
        return None
