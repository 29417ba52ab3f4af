"""Contrast within a window and at each time step, over coarser and coarser scales (TS2Vec, COMET)."""

from dataclasses import dataclass, field

from torch import Tensor

from medcl.contrast.losses import hierarchical as loss
from medcl.errors import UsageError
from medcl.pretrain.objectives.base import Objective, OneViewedConfig, Parts
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.views import Wanted
from medcl.spelling import not_a_choice


@dataclass(frozen=True)
class HierarchicalConfig(OneViewedConfig):
    """TS2Vec (Yue et al., AAAI 2022) and the two inner levels of COMET (Wang et al., NeurIPS 2023).

    Args:
        of: the input, whose dense embeddings are contrasted.
        levels: weight of `sample` (the same time step of other windows) and of `observation` (other time steps of the
            same window); one that is absent is off.
        apart: whether the views of each level are drawn for it alone, in passes of their own, as COMET's released code
            does.
    """

    kind: str = "hierarchical"
    levels: dict[str, float] = field(default_factory=lambda: {"sample": 0.5, "observation": 0.5})
    apart: bool = False

    @property
    def losses(self) -> dict[str, float]:
        """One a level."""
        return {level: self.levels[level] for level in loss.LEVELS if self.levels.get(level)}

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse unknown levels and weights that are negative."""
        super().check(where, recipe)
        for level, weight in self.levels.items():
            if level not in loss.LEVELS:
                raise UsageError(f"{where}.levels: {not_a_choice(level, loss.LEVELS)}")
            if weight < 0:
                raise UsageError(f"{where}.levels: the weight of {level} is negative")
        if not self.losses:
            raise UsageError(f"{where}.levels: no level has a weight above zero")


class Hierarchical(Objective):
    """See `HierarchicalConfig`."""

    Config = HierarchicalConfig
    config: HierarchicalConfig

    def __init__(self, config: HierarchicalConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.name = parts.name
        self.levels = tuple(config.losses)

    @property
    def wanted(self) -> dict[str, Wanted]:
        """Two views."""
        return {self.config.of: self._wanted(self.levels[0])}

    @property
    def looks(self) -> tuple[tuple[str, Wanted], ...]:
        """Those of each level, where they are apart."""
        levels = self.levels if self.config.apart else self.levels[:1]
        return tuple((self.config.of, self._wanted(level)) for level in levels)

    def _wanted(self, level: str) -> Wanted:
        return Wanted(views=self.config.views, apart=f"{self.name}.{level}" if self.config.apart else "")

    def forward(self, step: Step) -> dict[str, Tensor]:
        """One loss a level."""
        groups = [(level,) for level in self.levels] if self.config.apart else [self.levels]
        losses: dict[str, Tensor] = {}
        for levels in groups:
            one, other = step.see(self.config.of, self._wanted(levels[0])).dense.chunk(2)
            losses |= loss.hierarchical(one, other, levels=levels, group=step.group)
        return losses
