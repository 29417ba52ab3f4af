"""Two inputs compared as sparse mixtures of one list of learned tokens (FDT)."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.losses.clip import clip
from medcl.errors import UsageError
from medcl.networks.codes import Codes
from medcl.pretrain.objectives.base import HeadConfig, Parts, dim_of, named
from medcl.pretrain.objectives.contrast import Contrast
from medcl.pretrain.objectives.contrast_config import ContrastConfig
from medcl.pretrain.objectives.positives import pair
from medcl.pretrain.passes import Seen, Step
from medcl.pretrain.recipe import Recipe


@dataclass(frozen=True)
class FDTConfig(ContrastConfig):
    """CLIP of embeddings that are sparse mixtures of learned codes, which both inputs share, see `Codes`.

    The finished run embeds by its codes. Their temperature falls geometrically over the stage: at first most codes have
    a part in every sample, at last few.

    Args:
        codes: number of codes.
        first: temperature of the codes at the beginning.
        last: temperature of the codes at the end, and of the finished run.
        head: its `dim` is the width of a code; there is no other projection.
    """

    kind: str = "fdt"
    temperature: float = 0.07
    learn_temperature: bool = True
    codes: int = 256
    first: float = 100.0
    last: float = 10.0
    head: HeadConfig | str = field(default_factory=lambda: HeadConfig(hidden=0))
    ranges: ClassVar = {**ContrastConfig.ranges, "above 0": ("temperature", "first", "last")}

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse what is not between two inputs."""
        super().check(where, recipe)
        if len(self.between) != 2 or self.dense or self.negatives.queue or self.loss_name != "clip":
            raise UsageError(f"{where}: fdt is between two inputs, by clip of its codes, without dense or queue")
        if set(recipe.inputs) != set(self.between):
            raise UsageError(f"{where}.between: of fdt it names all inputs, {named(list(recipe.inputs))}")
        if isinstance(self.head, str) or self.head.hidden or not self.head.dim or self.head.map or self.head.dropout:
            raise UsageError(f"{where}.head: of fdt it is the width of a code alone, such as {{hidden: 0, dim: 128}}")
        if self.codes < 2:
            raise UsageError(f"{where}.codes: {self.codes} is below 2")


class FDT(Contrast):
    """See `FDTConfig`."""

    Config = FDTConfig
    config: FDTConfig
    taken: Tensor

    def __init__(self, config: FDTConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        assert isinstance(config.head, HeadConfig)
        dims = {name: dim_of(parts.encoders[name]) for name in self.names}
        self.codes = Codes(dims, config.codes, config.head.dim, config.last)
        self.steps = parts.steps
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))

    def _head(self, name: str, parts: Parts) -> nn.Module:
        return nn.Identity()

    def falling(self) -> float:
        """The temperature of the codes in this step."""
        done = min(1.0, int(self.taken) / max(1, self.steps))
        return float(self.config.first * (self.config.last / self.config.first) ** done)

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The loss, under the empty name."""
        seen = [step.see(name, self.wanted[name]) for name in self.names]
        sides = [self._side(step, one, (name,), 1) for one, name in zip(seen, self.names, strict=True)]
        now = self.falling() if self.training else None
        a, b = (
            F.normalize(self.codes(name, one.dense[: one.n], there(one), now), dim=-1)
            for one, name in zip(seen, self.names, strict=True)
        )
        if self.training:
            self.taken += 1
        given: dict[str, Any] = {"temperature": self.temperature(), "group": step.group}
        return {"": clip(a, b, pair(self.config, sides[0], sides[1], step.group), **given)}


def there(seen: Seen) -> Tensor | None:
    """(n, P) bool, which tokens of texts are words; None of other inputs."""
    return seen.words[: seen.n] if hasattr(seen.encoder, "keep") else None
