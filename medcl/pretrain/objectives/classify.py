"""Classification of records that belong together: by each input alone, and by all that there are."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.core.gather import mean
from medcl.errors import UsageError
from medcl.networks.fusion import EarlyHead, FusedWidth
from medcl.pretrain.objectives.base import Objective, ObjectiveConfig, Parts, dim_of
from medcl.pretrain.objectives.labelled import check_classes
from medcl.pretrain.objectives.positives import places
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.views import Wanted


@dataclass(frozen=True)
class ClassifyConfig(ObjectiveConfig):
    """Cross-entropy of a classifier of each input and of one of all, as M3CoL trains beside its contrast.

        L = CE(y, f(z_1, ..., z_M)) + each * sum over the inputs m of CE(y, f_m(z_m))

    An input that a sample lacks does not count for its own classifier; that of all learns what stands in its place. The
    classifiers are thrown away after training: `medcl finetune --inputs` trains new ones.

    Args:
        of: the inputs.
        target: column of the manifest; samples of other classes, or of none, do not count.
        classes: of the column.
        each: weight of the classifiers of single inputs.
        hidden: width of the hidden layer of the classifier of all.
    """

    kind: str = "classify"
    of: tuple[str, ...] = ()
    target: str = ""
    classes: tuple[str, ...] = ()
    each: float = 1.0
    hidden: int = 128
    ranges: ClassVar = {"above 0": ("each",)}

    @property
    def inputs(self) -> tuple[str, ...]:
        """All of them."""
        return self.of

    @property
    def losses(self) -> dict[str, float]:
        """Of the classifier of all, and of those of single inputs."""
        return {"all": 1.0, "each": self.each}

    @property
    def word(self) -> str:
        """By which the class is looked up."""
        return places(self.target, self.classes)

    @property
    def columns(self) -> tuple[str, ...]:
        """The classes."""
        return (self.word,)

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse what has no classes, or a single input."""
        super().check(where, recipe)
        if len(set(self.of)) < 2:
            raise UsageError(f"{where}.of: names two or more different inputs")
        check_classes(where, self.target, self.classes)


class Classify(Objective):
    """See `ClassifyConfig`."""

    Config = ClassifyConfig
    config: ClassifyConfig

    def __init__(self, config: ClassifyConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        widths, count = [dim_of(parts.encoders[name]) for name in config.of], len(config.classes)
        self.each = nn.ModuleList([nn.Linear(width, count) for width in widths])
        self.all = EarlyHead(FusedWidth(tuple(widths)), count, config.hidden)

    @property
    def wanted(self) -> dict[str, Wanted]:
        """A view of each, that of `contrast` between inputs."""
        return {name: Wanted(copies=1) for name in self.config.of}

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The losses."""
        y, total, count, parts = step.ids[self.config.word], [], [], []
        for name, classifier in zip(self.config.of, self.each, strict=True):
            seen, there = step.see(name, self.wanted[name]), step.present[name]
            z = seen.pooled[: seen.n].float()
            own = y[there]
            total.append(F.cross_entropy(classifier(z)[own >= 0], own[own >= 0], reduction="sum"))
            count.append((own >= 0).sum().to(z))
            parts.append(z.new_zeros(len(y), z.shape[1]).index_put((there.nonzero()[:, 0],), z))
        present = torch.stack([step.present[name] for name in self.config.of], dim=1)
        logits, known = self.all(torch.cat([*parts, present.to(parts[0])], dim=1)), y >= 0
        every = F.cross_entropy(logits[known], y[known], reduction="sum")
        each = [mean(one, number, step.group) for one, number in zip(total, count, strict=True)]
        return {"all": mean(every, known.sum().to(every), step.group), "each": torch.stack(each).sum()}
