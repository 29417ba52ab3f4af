"""SepCLR (Louiset et al., ICLR 2024): what patients have and controls have not, apart from what both share."""

from dataclasses import dataclass, field

from torch import Tensor, nn

from medcl.contrast.losses.sepclr import sepclr
from medcl.errors import UsageError
from medcl.pretrain.objectives.base import HeadConfig, Objective, ObjectiveConfig, Parts, dim_of, projection
from medcl.pretrain.objectives.positives import LABEL
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.views import Wanted


@dataclass(frozen=True)
class SepCLRConfig(ObjectiveConfig):
    """A common and a salient encoder of the same views; the salient one is silent on the background set.

    Args:
        common: the input of what both sets share.
        salient: an input `like` the common one, with an encoder of its own.
        background: `COLUMN=VALUE` of the manifest: the controls; all other labelled records are the target.
        salient_weight: see `medcl.contrast.sepclr`, as the next two.
        background_weight: of the silence on controls.
        information_weight: of what both encoders must not share.
        temperature: width of the kernels.
        head: projection of both embeddings.
    """

    kind: str = "sepclr"
    common: str = ""
    salient: str = ""
    background: str = ""
    salient_weight: float = 1.0
    background_weight: float = 10.0
    information_weight: float = 10.0
    temperature: float = 0.5
    head: HeadConfig = field(default_factory=HeadConfig)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Both."""
        return self.common, self.salient

    @property
    def columns(self) -> tuple[str, ...]:
        """Whether a record is a control."""
        return (f"{LABEL}{self.background}",)

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse inputs of different views and a background that names no value."""
        super().check(where, recipe)
        if recipe.inputs[self.salient].like != self.common:
            raise UsageError(
                f"{where}: both encoders see the same views: set inputs.{self.salient}.like: {self.common}"
            )
        if "=" not in self.background:
            raise UsageError(f"{where}.background: names a column and the value of controls, such as diagnosis=control")


class SepCLR(Objective):
    """See `SepCLRConfig`."""

    Config = SepCLRConfig
    config: SepCLRConfig

    def __init__(self, config: SepCLRConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.heads = nn.ModuleDict(
            {name: projection(config.head, dim_of(parts.encoders[name])) for name in config.inputs}
        )

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The loss; records without this label are not used."""
        config = self.config
        control = step.see(config.common, Wanted()).ids[f"{LABEL}{config.background}"]
        known = control >= 0
        sides = []
        for name in config.inputs:
            seen = step.see(name, Wanted())
            sides.append([one[known] for one in seen.project(self.heads[name], 2).chunk(2)])
        weights = {name: getattr(config, f"{name}_weight") for name in ("salient", "background", "information")}
        return {
            "": sepclr(
                sides[0],
                sides[1],
                control[known] == 0,
                temperature=config.temperature,
                group=step.group,
                **{f"{name}_weight": weight for name, weight in weights.items()},
            )
        }
