"""The general objective: any pairing x similarity x loss of `medcl.contrast`, within an input or between inputs."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.core.gather import Group, gather
from medcl.contrast.losses.identity import identities
from medcl.contrast.losses.info_nce import info_nce_levels
from medcl.contrast.losses.m3col import draw as draw_mixing
from medcl.contrast.pairings.pairs import Pairing, hard, itself, same
from medcl.errors import UsageError
from medcl.modality.spatial.encoders.unet import GlobalHead
from medcl.pretrain.objectives.base import (
    HeadConfig,
    Objective,
    ObjectiveConfig,
    Parts,
    dim_of,
    map_features,
    named,
    projection,
)
from medcl.pretrain.objectives.named_loss import BIAS, NamedLoss, Temperature
from medcl.pretrain.objectives.positives import (
    IN_BATCH,
    ITEM,
    NEIGHBOURS,
    PARTITION,
    POSITION,
    SOFT,
    VALUE,
    Rules,
    Side,
    check_words,
    pair,
)
from medcl.pretrain.passes import Seen, Step, Wanted
from medcl.spelling import not_a_choice

if TYPE_CHECKING:
    from medcl.pretrain.recipe import Recipe

Cells = Tensor | tuple[Tensor, Tensor]
"""Of samples (n, P, width), or words with where they are (n, Q)."""


@dataclass(frozen=True)
class NegativesConfig:
    """Candidates beside those of the batch.

    Args:
        queue: embeddings of earlier batches, by a slowly following copy of the encoder; 0 for none.
        momentum: of this copy.
        batch: with a queue, whether embeddings of other samples of the batch are candidates too; MoCo takes its queue
            alone.
        drop: share of the most similar negatives of each anchor that are left out as probably false ones.
    """

    queue: int = 0
    momentum: float = 0.99
    batch: bool = True
    drop: float = 0.0


@dataclass(frozen=True)
class ContrastConfig(ObjectiveConfig):
    """Contrast within one input (its views), between two, or jointly over three and more.

    Args:
        of: the input whose views are contrasted with each other.
        between: the inputs that are contrasted with each other.
        positives: what two samples share that attract each other: a level (`patient`, `trial`, `study`), `item` (the
            sample itself, or records that belong together), `text`, `label:COLUMN`, `value:COLUMN` (continuous),
            `position` or `partition` (of slices), `neighbours` (in raw features), `soft:INPUT` (weighted by a frozen
            encoder); or several with their shares.
        exclude: levels; pairs that share one without being positive are left out, neither positive nor negative.
        within: a level; only samples that share it are compared at all.
        labels: share of the training patients whose labels are used.
        loss: name of a loss of `medcl.contrast`, or `package.module:function`; default: `info_nce` within an input,
            `clip` between two, `symile` between more.
        settings: further arguments of the loss, such as {tau_plus: 0.1}.
        similarity: name of a similarity of `medcl.contrast`, or `package.module:name`.
        similarity_settings: arguments of a similarity that takes some, such as {threshold: 0.1} of `sparc`.
        temperature: of the softmax, or what it begins with.
        learn_temperature: whether it is trained, to no less than 0.01; `siglip` trains its bias with it.
        dense: whether cells and words are compared instead of one embedding a sample.
        head: projection of an embedding, or the name of an objective whose head it shares.
        copies: random views of each sample that are contrasted within an input.
        original: whether the sample as it is comes first.
        views: name of `more_views` of the input; empty takes its `views`.
        masked: whether time steps are hidden, where the views hide some.
        apart: whether its views are drawn for it alone, in passes of its own.
        negatives: candidates beside those of the batch.
        width: largest difference of positives by `value` or `position`.
        bandwidth: of a Gaussian kernel that weighs positives by `value`; 0 takes `width`.
        parts: equal parts of a volume, for `partition`.
    """

    of: str = ""
    between: tuple[str, ...] = ()
    positives: str | dict[str, float] = ITEM
    exclude: tuple[str, ...] = ()
    within: str = ""
    labels: float = 1.0
    loss: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    similarity: str = "cosine"
    similarity_settings: dict[str, Any] = field(default_factory=dict)
    temperature: float = 0.1
    learn_temperature: bool = False
    dense: bool = False
    head: HeadConfig | str = field(default_factory=HeadConfig)
    copies: int = 2
    original: bool = False
    views: str = ""
    masked: bool = True
    apart: bool = False
    negatives: NegativesConfig = field(default_factory=NegativesConfig)
    width: float = 0.35
    bandwidth: float = 0.0
    parts: int = 4

    @property
    def inputs(self) -> tuple[str, ...]:
        """Those that are contrasted, and those whose frozen embeddings weigh the pairs."""
        own = (self.of,) if self.of else self.between
        return tuple(dict.fromkeys((*own, *(word.removeprefix(SOFT) for word in self.words if word.startswith(SOFT)))))

    @property
    def words(self) -> dict[str, float]:
        """What is positive, with its share."""
        return {self.positives: 1.0} if isinstance(self.positives, str) else self.positives

    @property
    def columns(self) -> tuple[str, ...]:
        """Labels, values and levels that are looked up in the manifest."""
        found = [word for word in (*self.words, *self.exclude, self.within) if word and word not in IN_BATCH]
        return tuple(word for word in found if not word.startswith(SOFT))

    @property
    def partitions(self) -> int:
        """Those of its slices."""
        return self.parts if PARTITION in (*self.words, *self.exclude) else 1

    @property
    def loss_name(self) -> str:
        """The loss, also where it is the default."""
        return self.loss or ("info_nce" if self.of else "clip" if len(self.between) == 2 else "symile")

    def adapted(self, name: str, encoder: Any) -> Any:
        """A U-Net without its decoder, where its bottleneck is compared."""
        if isinstance(self.head, HeadConfig) and self.head.map and hasattr(encoder, "with_blocks"):
            return encoder.with_blocks(0)
        return encoder

    def check(self, where: str, recipe: "Recipe") -> None:
        """Refuse what does not fit together."""
        super().check(where, recipe)
        if bool(self.of) == bool(self.between):
            raise UsageError(f"{where}: name either `of`, one input, or `between`, two or more; got both or none")
        if self.between and len(set(self.between)) < 2:
            raise UsageError(f"{where}.between: two or more different inputs, got {named(self.between)}")
        check_words(where, self.words)
        if isinstance(self.head, str):
            other = recipe.objectives.get(self.head)
            if other is None or other is self or isinstance(getattr(other, "head", ""), str):
                raise UsageError(f"{where}.head: {not_a_choice(self.head, recipe.objectives)} with a head of its own")
        if not self.temperature > 0:
            raise UsageError(f"{where}.temperature: {self.temperature:g} is not above 0")
        if not 0 < self.labels <= 1:
            raise UsageError(f"{where}.labels: {self.labels:g} is not above 0 and at most 1")
        if self.copies + self.original < 2 and self.of:
            raise UsageError(f"{where}.copies: {self.copies} views of a sample leave nothing to contrast it with")
        if not 0 <= self.negatives.momentum <= 1:
            raise UsageError(f"{where}.negatives.momentum: {self.negatives.momentum:g} is not from 0 to 1")
        if not 0 <= self.negatives.drop < 1 or self.negatives.queue < 0:
            raise UsageError(f"{where}.negatives: drop lies from 0 to below 1 and queue is not negative")
        if self.negatives.drop and not self.negatives.queue:
            raise UsageError(f"{where}.negatives.drop: takes a queue of negatives (negatives.queue)")
        if self.negatives.queue and any(word == POSITION or word.startswith(VALUE) for word in self.words):
            raise UsageError(
                f"{where}: a queue (negatives.queue) holds ids, and positives {self.positives!r} are numbers"
            )
        if self.negatives.queue and self.dense:
            raise UsageError(f"{where}: dense embeddings have no queue; `densecl` contrasts cells with a queue")
        if self.negatives.queue and len(self.between) > 2:
            raise UsageError(f"{where}: negatives.queue takes two inputs at a time, between has {len(self.between)}")
        for word in self.words:
            if word in (PARTITION, NEIGHBOURS) and self.between:
                raise UsageError(f"{where}: positives {word!r} are of views of one input (`of`), not of `between`")
            if word.startswith(SOFT) and not recipe.inputs[word.removeprefix(SOFT)].locked:
                name = word.removeprefix(SOFT)
                raise UsageError(f"{where}: positives {word!r} need a frozen encoder: set inputs.{name}.locked")
        if PARTITION in (*self.words, *self.exclude) and recipe.batch.samples % self.parts:
            raise UsageError(
                f"batch.samples: {recipe.batch.samples} slices of a volume cannot lie in the {self.parts} partitions "
                f"of {where} equally; take a multiple"
            )
        NamedLoss(self, where)


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
        self.rules = Rules(config.words, config.exclude, config.within, config.width, config.bandwidth, config.parts)
        self.heads: nn.ModuleDict
        if isinstance(config.head, str):
            # In a list, so that it is not a part of this module too.
            self._shared = [cast(Contrast, parts.objectives[config.head])]
        else:
            self._shared = []
            self.heads = nn.ModuleDict(
                {name: self._head(name, config.head, parts) for name in self._projected(parts.name, parts)}
            )
        self.temperature = Temperature(config.temperature, config.learn_temperature)
        learns_bias = "bias" in self._loss.parameters and config.learn_temperature
        # As with the temperature: weight decay draws it to where it began.
        self.bias = nn.Parameter(torch.zeros(())) if learns_bias else None
        # A loss with a state of its own holds one entry a record.
        self.state = self._loss.with_state(config, parts.rows)

    @staticmethod
    def _projected(name: str, parts: Parts) -> tuple[str, ...]:
        """Inputs that have a head here: also those of objectives that share it."""
        every = parts.recipe.objectives.items()
        sharing = [one for key, one in every if key == name or getattr(one, "head", None) == name]
        used = {one for config in sharing if isinstance(config, ContrastConfig) for one in (config.of, *config.between)}
        return tuple(one for one in parts.recipe.inputs if one in used)

    def _head(self, name: str, config: HeadConfig, parts: Parts) -> nn.Module:
        encoder = parts.encoders[name]
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
    def head_config(self) -> HeadConfig:
        """Its own, or that of the objective whose head it shares."""
        return cast(HeadConfig, self._shared[0].config.head if self._shared else self.config.head)

    @property
    def wanted(self) -> dict[str, Wanted]:
        """Views of one input, or one view of each."""
        config = self.config
        own: dict[str, Any] = {
            "views": config.views,
            "masked": config.masked,
            "apart": self.name if config.apart else "",
        }
        if config.of:
            found = {config.of: Wanted(copies=config.copies, original=config.original, **own)}
        else:
            found = {name: Wanted(copies=1, **own) for name in config.between}
        if self.soft:
            found.setdefault(self.soft, Wanted(copies=1))
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
        frozen = None
        if self.soft:
            frozen = {self.soft: step.see(self.soft, self.wanted[self.soft]).pooled.detach()}
        raw = seen.drawn.source if NEIGHBOURS in self.config.words else None
        return Side(seen.ids, blocks, seen.n, names, raw, frozen)

    def pairing(self, step: Step, blocks: int) -> Pairing:
        """Of the views of one input."""
        seen = step.see(self.config.of, self.wanted[self.config.of])
        return pair(self.rules, self._side(step, seen, (self.config.of,), blocks), None, step.group)

    def positive_share(self, step: Step) -> float | None:
        """The share of the anchors of a batch that have a positive; None where it is not known before the loss."""
        config = self.config
        parameters = self._loss.parameters
        if self.keyed or len(self.names) > 2 or not {"pairing", "ids"} & parameters.keys():
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
            pairing = pair(self.rules, a, b, step.group)
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
        module = self.state if self.state is not None else self._loss.function
        return self._loss(module, self._given(step, **given), step.group)

    def _between(self, step: Step) -> Tensor:
        first, second = (step.see(name, self.wanted[name]) for name in self.names)
        sides = [self._side(step, seen, (name,), 1) for seen, name in zip((first, second), self.names, strict=True)]
        a, b = (self._z(seen, name, 1) for seen, name in zip((first, second), self.names, strict=True))
        a, b = (F.normalize(z.float(), dim=-1) for z in (a, b))
        # A loss that weighs pairs by frozen embeddings itself is told who belongs together.
        rules = replace(self.rules, positives={ITEM: 1.0}) if "frozen" in self._loss.parameters else self.rules
        given: dict[str, Any] = {"a": a, "b": b, "pairing": pair(rules, sides[0], sides[1], step.group)}
        if self.config.dense:
            cells = [_cells(seen, z, step.group) for seen, z in ((first, a), (second, b))]
            given |= {"a": cells[0], "b": cells[1]}
            given |= self._regions_and_words(step, cells)
        if "frozen" in self._loss.parameters:
            given["frozen"] = step.see(self.soft, self.wanted[self.soft]).pooled.detach()
        return self._loss(self._loss.function, self._given(step, **given), step.group)

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
            # A sample that lacks one of them takes no part.
            whole = present.all(dim=1)
            given["modalities"] = modalities = [one[whole] for one in modalities]
        if "anchor" in self._loss.parameters:
            side = Side(
                {name: one[present.all(dim=1)] for name, one in step.ids.items()}, 1, len(modalities[0]), self.names
            )
            given |= {
                "anchor": modalities[0],
                "others": modalities[1:],
                "pairing": pair(self.rules, side, side, step.group),
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
        plain = not (config.settings or config.exclude or config.within)
        if not (config.of and by_id and plain and config.similarity == "cosine" and not config.learn_temperature):
            return None
        dense = config.dense and config.loss_name == "identity"
        if not dense and (config.dense or config.loss_name != "info_nce"):
            return None
        head = None if dense else id(self.head(config.of))
        return config.of, self.wanted[config.of], head, config.temperature, dense


def fused(objectives: Sequence[Contrast], step: Step) -> list[dict[str, Tensor]]:
    """The losses of objectives of one `fusion`, from one pass over the similarities."""
    first = objectives[0]
    config, wanted = first.config, first.wanted[first.config.of]
    seen, blocks = step.see(config.of, wanted), wanted.copies + wanted.original
    levels = [next(iter(one.config.words)) for one in objectives]
    if config.dense:
        one, other = seen.dense.chunk(2)
        losses = identities(
            one, other, {level: seen.ids[level] for level in levels}, temperature=config.temperature, group=step.group
        )
        return [{"": losses[level]} for level in levels]
    z = first._z(seen, config.of, blocks)
    found = info_nce_levels(
        z,
        z,
        {level: same(seen.repeated(level, blocks)) for level in levels},
        without=itself(z),
        temperature=config.temperature,
        group=step.group,
    )
    return [{"": found[level]} for level in levels]


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
