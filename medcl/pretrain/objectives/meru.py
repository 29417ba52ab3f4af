"""Images and reports in a hyperbolic space, in which a text holds what it is true of (MERU)."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from medcl.contrast.core.gather import mean
from medcl.contrast.losses.clip import clip
from medcl.contrast.similarities.hyperbolic import entailment, lifted, lorentz
from medcl.errors import UsageError
from medcl.pretrain.objectives.base import Parts, dim_of
from medcl.pretrain.objectives.contrast import Contrast
from medcl.pretrain.objectives.contrast_config import ContrastConfig
from medcl.pretrain.objectives.positives import pair
from medcl.pretrain.objectives.queued import projected_dim
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe

CURVATURES = 0.1, 10.0
"""Between which the learned curvature stays."""


@dataclass(frozen=True)
class MeruConfig(ContrastConfig):
    """CLIP by distances in a hyperbolic space of learned curvature, and a term by which the general holds the special.

    The projections e of each side, of any length, are scaled by a learned factor a <= 1 of the side that begins at
    1 / sqrt(width), and taken to the hyperboloid of curvature -c (see `lifted`). The loss is `clip` of minus their
    distances, and `entail` times the mean of `entailment` over samples with both. Desai et al., Hyperbolic Image-text
    Representations (MERU, ICML 2023). `medcl evaluate` compares the projections by their cosine: the way to the
    hyperboloid keeps directions, so that order differs from that of the paper where lengths do.

    Args:
        general: the input that entails the other, as a short text many images; default: the second of `between`.
        entail: weight of the second term.
        boundary: K of the cones.
    """

    kind: str = "meru"
    temperature: float = 0.07
    learn_temperature: bool = True
    general: str = ""
    entail: float = 0.2
    boundary: float = 0.1
    ranges: ClassVar = {**ContrastConfig.ranges, "above 0": ("temperature", "boundary")}

    @property
    def losses(self) -> dict[str, float]:
        """Contrast and entailment."""
        return {"contrast": 1.0, "entailment": self.entail}

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse what is not between two inputs."""
        super().check(where, recipe)
        if len(self.between) != 2 or self.dense or self.negatives.queue or self.loss_name != "clip":
            raise UsageError(
                f"{where}: meru is between two inputs, by clip of their pooled embeddings, without a queue"
            )
        if self.general not in ("", *self.between):
            raise UsageError(f"{where}.general: {self.general!r} is none of {', '.join(self.between)}")


class Meru(Contrast):
    """See `MeruConfig`."""

    Config = MeruConfig
    config: MeruConfig

    def __init__(self, config: MeruConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        width = projected_dim(self.head(self.names[0]), dim_of(parts.encoders[self.names[0]]))
        self.log_curvature = nn.Parameter(torch.zeros(()))
        self.log_scales = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor(-0.5 * math.log(width))) for name in self.names}
        )

    @property
    def root(self) -> Tensor:
        """The root of the curvature."""
        least, most = (math.log(one) for one in CURVATURES)
        return (self.log_curvature.clamp(least, most) / 2).exp()

    def points(self, name: str, z: Tensor) -> Tensor:
        """Where projections (n, width) of an input lie, see `lifted`."""
        return lifted(z.float() * self.log_scales[name].clamp(max=0.0).exp(), self.root)

    def forward(self, step: Step) -> dict[str, Tensor]:
        """Both losses."""
        seen = [step.see(name, self.wanted[name]) for name in self.names]
        sides = [self._side(step, one, (name,), 1) for one, name in zip(seen, self.names, strict=True)]
        x = {name: self.points(name, self._z(one, name, 1)) for one, name in zip(seen, self.names, strict=True)}
        a, b = (x[name] for name in self.names)
        pairing = pair(self.config, sides[0], sides[1], step.group)
        # Coordinates, and with them distances, are times the root of the curvature.
        temperature = torch.as_tensor(self.temperature(), device=a.device) * self.root
        given: dict[str, Any] = {"temperature": temperature, "similarity": lorentz, "group": step.group}
        contrast = clip(a, b, pairing, **given)
        general = self.config.general or self.names[1]
        special = next(name for name in self.names if name != general)
        both = step.present[general] & step.present[special]
        own = {name: one[both[step.present[name]]] for name, one in x.items()}
        outside = entailment(own[general], own[special], boundary=self.config.boundary)
        number = torch.tensor(float(len(outside)), device=a.device)
        return {"contrast": contrast, "entailment": mean(outside.sum(), number, step.group)}
