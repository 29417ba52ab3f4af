"""The caption term of CoCa: the report of a record, token by token, from the record's cells."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from medcl.contrast.core.gather import mean
from medcl.errors import UsageError
from medcl.networks.captioner import Captioner, CaptionerConfig
from medcl.pretrain.objectives.base import Objective, ObjectiveConfig, Parts, dim_of, named
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.views import Wanted


@dataclass(frozen=True)
class CaptionConfig(ObjectiveConfig):
    """Cross-entropy of each token of a report, given those before it and the cells of the record that it describes.

        L = -1 / (number of tokens) sum_i sum_k log p(token_ik | tokens_i,<k, cells_i)

    over the records that have a report: the caption term of Yu et al., CoCa (TMLR 2022), to be put beside a contrastive
    term. It needs no negatives, so that equal reports do no harm, and every word of a report teaches the cells. The
    decoder stays in the run folder, for `medcl evaluate`. The report is read as it is, without random views.

    Args:
        between: what is described, and its report.
        hidden: width of the decoder's layers, a multiple of 32.
        depth: layers of its half without cells, and of that with cells.
        queries: vectors that the cells are pooled to by attention.
        left: share of the weight that is left at the end of the stage, to which it falls evenly; the paper's weight of
            2 stays, and drowns the contrast where records are few.
        views: name of `more_views` of the first input; empty takes its `views`.
    """

    kind: str = "caption"
    between: tuple[str, ...] = ()
    hidden: int = 128
    depth: int = 1
    queries: int = 16
    left: float = 1.0
    views: str = ""
    ranges: ClassVar = {"from 0 to 1": ("left",)}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Both."""
        return self.between

    def weight_at(self, done: float) -> float:
        """The weight when a share of the stage's steps is done."""
        return super().weight_at(done) * (1 - (1 - self.left) * done)

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse what is not a record and its report."""
        super().check(where, recipe)
        if len(set(self.between)) != 2 or not hasattr(recipe.inputs[self.between[1]].data, "sections"):
            raise UsageError(
                f"{where}.between: takes a record and its report, in this order, got {named(self.between)}"
            )


class Caption(Objective):
    """See `CaptionConfig`."""

    Config = CaptionConfig
    config: CaptionConfig

    def __init__(self, config: CaptionConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        first, second = (parts.encoders[name] for name in config.between)
        report: Any = second
        sizes = report.tokenizer.size, dim_of(first), config.hidden, config.depth, config.queries
        self.captioner = Captioner(CaptionerConfig(*sizes))

    @property
    def wanted(self) -> dict[str, Wanted]:
        """One view of each."""
        first, second = self.config.between
        return {first: Wanted(self.config.views, copies=1), second: Wanted(copies=1)}

    @property
    def captioners(self) -> dict[str, Captioner]:
        """That of the first input."""
        return {self.config.between[0]: self.captioner}

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The loss, under the empty name."""
        first, second = self.config.between
        seen, read = (step.see(name, self.wanted[name]) for name in self.config.between)
        both = step.present[first] & step.present[second]
        cells, tokens = seen.dense[: seen.n], read.drawn.source
        loss, number = self.captioner.surprise(tokens[both[step.present[second]]], cells[both[step.present[first]]])
        return {"": mean(loss.sum(), number.sum().to(loss), step.group)}
