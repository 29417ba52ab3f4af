"""ConR (Keramati et al., ICLR 2024): a regression, and contrast of what it takes for alike and is not."""

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from medcl.contrast.core.gather import mean
from medcl.contrast.losses.conr import conr
from medcl.pretrain.objectives.base import HeadConfig, Objective, OneViewedConfig, Parts, dim_of, projection
from medcl.pretrain.objectives.labelled import TargetConfig
from medcl.pretrain.objectives.positives import VALUE
from medcl.pretrain.passes import Step


@dataclass(frozen=True)
class ConRConfig(TargetConfig, OneViewedConfig):
    """Regression of a value by its absolute error, and beta times `medcl.contrast.conr` of both views.

    Args:
        target: column of the manifest, of numbers; records without one are not used.
        centre: of the values, from which the regression begins.
        spread: of the values; the error of the regression is in this unit.
        beta: weight of the contrast.
        within: how far apart values are at most that are near each other, in the unit of the column.
        strength: see `medcl.contrast.wrong_proximities`.
        temperature: of the softmax.
        head: projection of an embedding.
    """

    kind: str = "conr"
    centre: float = 0.0
    spread: float = 1.0
    beta: float = 4.0
    within: float = 1.0
    strength: float = 0.01
    temperature: float = 0.2
    head: HeadConfig = field(default_factory=HeadConfig)
    ranges: ClassVar = {"above 0": ("spread", "beta", "within", "temperature")}

    @property
    def losses(self) -> dict[str, float]:
        """Regression and contrast."""
        return {"regression": 1.0, "contrast": self.beta}

    @property
    def word(self) -> str:
        """By which the value of a record is looked up."""
        return f"{VALUE}{self.target}"


class ConR(Objective):
    """See `ConRConfig`."""

    Config = ConRConfig
    config: ConRConfig

    def __init__(self, config: ConRConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        width = dim_of(parts.encoders[config.of])
        self.head, self.regression = projection(config.head, width), nn.Linear(width, 1)

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The losses."""
        config = self.config
        seen = step.see(config.of, self.wanted[config.of])
        y = seen.repeated(config.word, 2)
        predicted = config.centre + config.spread * self.regression(seen.pooled[: 2 * seen.n].float())[:, 0]
        known = ~y.isnan()
        error = ((predicted - y).abs() / config.spread)[known]
        contrast = conr(
            seen.project(self.head, 2),
            y,
            predicted.detach(),
            within=config.within,
            strength=config.strength,
            temperature=config.temperature,
            group=step.group,
        )
        return {"regression": mean(error.sum(), known.sum().to(error), step.group), "contrast": contrast}
