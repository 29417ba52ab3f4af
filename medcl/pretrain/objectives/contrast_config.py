"""The settings of the general objective, and which of them fit together."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from medcl.errors import UsageError
from medcl.pretrain.objectives.base import HeadConfig, ObjectiveConfig, named
from medcl.pretrain.objectives.named_loss import NamedLoss
from medcl.pretrain.objectives.positives import (
    ALIKE,
    IN_BATCH,
    ITEM,
    NEIGHBOURS,
    OVERLAP,
    PARTITION,
    POSITION,
    SOFT,
    SURVIVAL,
    VALUE,
    check_words,
    survival,
)
from medcl.pretrain.recipe import Recipe
from medcl.spelling import not_a_choice


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
            `overlap:COLUMN/COLUMN` (weighted by the share of the labels of these columns that two samples have in
            common; a report has those of the records that it describes), `survival:TIME/EVENT=VALUE` (nearness of the
            times of events, see `medcl.contrast.event_times`; ours), `position` (of slices in their volume, of windows
            in seconds), `partition` (of slices), `neighbours` (in raw features), `soft:INPUT` (weighted by a frozen
            encoder), `alike:INPUT` (near each other for a frozen encoder, see `above`); or several with their
            shares.
        exclude: levels, `text` or `alike:INPUT`; pairs that share one without being positive are left out, neither
            positive nor negative.
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
        across: random views of each sample of two inputs; each of one is contrasted with each of the other, and the
            losses of all these pairs are averaged.
        views: name of `more_views` of the input; empty takes its `views`.
        masked: whether time steps are hidden, where the views hide some.
        apart: whether its views are drawn for it alone, in passes of its own.
        negatives: candidates beside those of the batch.
        width: largest difference of positives by `value` or `position`.
        bandwidth: of a Gaussian kernel that weighs positives by `value` or `position`, 0 takes `width`; of `survival`
            the difference of logarithms of times at which a weight is 1/e.
        parts: equal parts of a volume, for `partition`.
        above: cosine of frozen embeddings above which two samples are `alike`.
        agreement: of images and volumes, how much more a pair of views counts whose foregrounds agree than one that
            agrees in its background alone (GenView's weights); 0 weighs all pairs alike.
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
    across: int = 1
    views: str = ""
    masked: bool = True
    apart: bool = False
    negatives: NegativesConfig = field(default_factory=NegativesConfig)
    width: float = 0.35
    bandwidth: float = 0.0
    parts: int = 4
    above: float = 0.95
    agreement: float = 0.0
    ranges: ClassVar = {
        "from 0 to 1": ("negatives.momentum",),
        "above 0": ("temperature",),
        "above 0 and at most 1": ("labels",),
    }

    @property
    def inputs(self) -> tuple[str, ...]:
        """Those that are contrasted, and those whose frozen embeddings weigh the pairs."""
        own = (self.of,) if self.of else self.between
        return tuple(dict.fromkeys((*own, *self.frozen)))

    @property
    def frozen(self) -> tuple[str, ...]:
        """Inputs whose frozen embeddings say who is alike, and how much."""
        found = [word.partition(":") for word in (*self.words, *self.exclude)]
        return tuple(dict.fromkeys(name for kind, _, name in found if f"{kind}:" in (SOFT, ALIKE)))

    @property
    def words(self) -> dict[str, float]:
        """What is positive, with its share."""
        return {self.positives: 1.0} if isinstance(self.positives, str) else self.positives

    @property
    def columns(self) -> tuple[str, ...]:
        """Labels, values and levels that are looked up in the manifest."""
        found = [word for word in (*self.words, *self.exclude, self.within) if word and word not in IN_BATCH]
        both = [survival(word) if word.startswith(SURVIVAL) else (word,) for word in found]
        return tuple(word for words in both for word in words if not word.startswith((SOFT, ALIKE)))

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

    def check(self, where: str, recipe: Recipe) -> None:
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
        if self.copies + self.original < 2 and self.of:
            raise UsageError(f"{where}.copies: {self.copies} views of a sample leave nothing to contrast it with")
        if not 0 <= self.negatives.drop < 1 or self.negatives.queue < 0:
            raise UsageError(f"{where}.negatives: drop lies from 0 to below 1 and queue is not negative")
        if self.negatives.drop and not self.negatives.queue:
            raise UsageError(f"{where}.negatives.drop: takes a queue of negatives (negatives.queue)")
        for word in self.words:
            if word.startswith(SURVIVAL) and not (self.bandwidth > 0 and "/" in word and "=" in word):
                raise UsageError(
                    f"{where}.positives: {word!r} needs {SURVIVAL}TIME/EVENT=VALUE, two columns and the value of an "
                    "observed event, and a bandwidth above 0, a difference of logarithms of times"
                )
        no_ids = (POSITION, VALUE, SURVIVAL, OVERLAP)
        if self.negatives.queue and any(word.startswith(no_ids) for word in self.words):
            raise UsageError(
                f"{where}: a queue (negatives.queue) holds ids, and positives {self.positives!r} are numbers or sets"
            )
        if self.negatives.queue and self.dense:
            raise UsageError(f"{where}: dense embeddings have no queue; `densecl` contrasts cells with a queue")
        if self.negatives.queue and len(self.between) > 2:
            raise UsageError(f"{where}: negatives.queue takes two inputs at a time, between has {len(self.between)}")
        for word in self.words:
            if word in (PARTITION, NEIGHBOURS) and self.between:
                raise UsageError(f"{where}: positives {word!r} are of views of one input (`of`), not of `between`")
        for role, words in (("positives", self.words), ("exclude", self.exclude)):
            for word in words:
                kind, _, name = word.partition(":")
                if f"{kind}:" not in (SOFT, ALIKE):
                    continue
                if name not in recipe.inputs:
                    raise UsageError(f"{where}.{role} {word!r}: {not_a_choice(name, recipe.inputs)}")
                if not recipe.inputs[name].locked:
                    raise UsageError(f"{where}: {role} {word!r} need a frozen encoder: set inputs.{name}.locked")
        if self.frozen and (self.negatives.queue or len(self.between) > 2):
            raise UsageError(f"{where}: {SOFT}INPUT and {ALIKE}INPUT go without a queue, and with two inputs at most")
        if PARTITION in (*self.words, *self.exclude) and recipe.batch.samples % self.parts:
            raise UsageError(
                f"batch.samples: {recipe.batch.samples} slices of a volume cannot lie in the {self.parts} partitions "
                f"of {where} equally; take a multiple"
            )
        loss = NamedLoss(self, where)
        if self.loss_name == "symile" and recipe.batch.records > 1:
            raise UsageError("batch.records: symile takes 1, for its negatives are not to be of the same patient")
        two = self.kind == "contrast" and len(self.between) == 2 and loss.several != "modalities"
        if self.across != 1 and (self.across < 1 or not two or self.dense or self.negatives.queue):
            raise UsageError(
                f"{where}.across: {self.across}; 1 or more views of two inputs (`between`), which an objective of kind "
                "contrast compares by pairs of views, without dense or a queue"
            )
        if self.agreement and not (self.of and self.copies == 2 and not self.original and "weights" in loss.parameters):
            raise UsageError(
                f"{where}.agreement: weighs pairs of two views of one input (`of`, copies: 2) by info_nce, not by "
                f"{self.loss_name}"
            )
        if self.agreement and (self.agreement < 0 or self.negatives.queue or recipe.hardware.chunk):
            raise UsageError(f"{where}.agreement: is not negative, and takes neither a queue nor hardware.chunk")
