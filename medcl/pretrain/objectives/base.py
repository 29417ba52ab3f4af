"""The contract of objectives: which views of which inputs they look at, and a loss that follows."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import prod
from operator import attrgetter
from typing import Any, ClassVar

from torch import Tensor, nn

from medcl.errors import UsageError
from medcl.modality.spatial.encoders.unet import UNet
from medcl.networks.captioner import Captioner
from medcl.networks.heads import ProjectionHead
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.views import Wanted

RANGES: dict[str, Callable[[float], bool]] = {
    "from 0 to 1": lambda value: 0 <= value <= 1,
    "from 0 to below 1": lambda value: 0 <= value < 1,
    "above 0 and at most 1": lambda value: 0 < value <= 1,
    "above 0": lambda value: value > 0,
    "0 or more": lambda value: value >= 0,
}
"""Where numbers lie that settings hold, in words."""


@dataclass(frozen=True)
class HeadConfig:
    """What is put on top of an embedding before it is compared, and thrown away after training.

    Args:
        hidden: width of the hidden layer; 0 is a linear projection.
        dim: width of the projection; 0 compares the embedding itself.
        dropout: probability by which a feature of the embedding is dropped before it, in training.
        map: whether the whole map is projected, its positions flattened and not pooled (Chaitanya et al. 2020): of a
            U-Net that of its bottleneck. Neither layer has a bias then.
    """

    hidden: int = 128
    dim: int = 128
    dropout: float = 0.0
    map: bool = False


@dataclass(frozen=True)
class ObjectiveConfig:
    """What every objective states.

    Args:
        kind: name of the objective, or `package.module:Class`.
        weight: of its loss in the sum.
        begin: share of the stage's steps after which it begins.
        end: share of the stage's steps after which it ends.
        ramp: share of the stage's steps over which its weight rises from 0.
    """

    kind: str = "contrast"
    weight: float = 1.0
    begin: float = 0.0
    end: float = 1.0
    ramp: float = 0.0
    chunks: ClassVar[bool] = True
    """Whether it may train in chunks of views; not where its loss needs the whole maps of a batch at once."""
    ranges: ClassVar[dict[str, tuple[str, ...]]] = {}
    """{one of `RANGES`: names of the settings that lie in it}."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs that it looks at."""
        raise NotImplementedError

    @property
    def wanted(self) -> dict[str, Wanted]:
        """Which views of each input it looks at."""
        return {name: Wanted() for name in self.inputs}

    @property
    def losses(self) -> dict[str, float]:
        """{name of a loss: its share of the weight}; one loss has the empty name."""
        return {"": 1.0}

    @property
    def columns(self) -> tuple[str, ...]:
        """What it looks up in the manifest by row: `label:diagnosis`, `value:age`, `site`."""
        return ()

    @property
    def partitions(self) -> int:
        """Equal parts of a volume from which its slices are drawn; 1 draws them anywhere."""
        return 1

    def weight_at(self, done: float) -> float:
        """The weight when a share of the stage's steps is done."""
        if not self.begin <= done < self.end:
            return 0.0
        return self.weight * min(1.0, (done - self.begin) / self.ramp) if self.ramp else self.weight

    def adapted(self, name: str, encoder: Any) -> Any:
        """The configuration of an input's encoder as this objective needs it."""
        return encoder

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse what is invalid, before anything is read.

        Args:
            where: name in the recipe, for messages.
            recipe: the whole.

        Raises:
            UsageError: names the setting, or the two parts that do not fit together.
        """
        for told, names in self.ranges.items():
            for name in names:
                value = attrgetter(name)(self)
                if not RANGES[told](value):
                    raise UsageError(f"{where}.{name}: {value:g} is not {told}")
        if self.weight < 0:
            raise UsageError(f"{where}.weight: {self.weight:g} is negative")
        if not 0 <= self.begin < self.end <= 1 or not 0 <= self.ramp <= 1:
            raise UsageError(
                f"{where}: 0 <= begin < end <= 1 and 0 <= ramp <= 1 must hold, shares of the steps; got "
                f"begin={self.begin:g}, end={self.end:g}, ramp={self.ramp:g}"
            )
        if recipe.hardware.chunk and not self.chunks:
            raise UsageError(f"hardware.chunk: {where} ({self.kind}) cannot train in chunks; take smaller batches")


@dataclass(frozen=True)
class OneInputConfig(ObjectiveConfig):
    """What an objective of one input states.

    Args:
        of: the input.
    """

    of: str = ""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The one."""
        return (self.of,)


@dataclass(frozen=True)
class OneViewedConfig(OneInputConfig):
    """What an objective of one input states that may look at other views than the input's `views`.

    Args:
        views: name of `more_views` of the input; empty takes its `views`.
    """

    views: str = ""

    @property
    def wanted(self) -> dict[str, Wanted]:
        """Two of these views."""
        return {self.of: Wanted(self.views)}


@dataclass(frozen=True)
class Parts:
    """What an objective is built on.

    Args:
        name: of the objective.
        encoders: {input: encoder}.
        sizes: {input: shape of a sample, channels first}.
        recipe: the whole.
        objectives: those built before, whose heads may be shared.
        steps: of the stage.
        rows: of the manifest.
        id_names: of the ids of a batch.
        chunk: views that pass an encoder at a time; 0 is all of them.
    """

    name: str
    encoders: Mapping[str, nn.Module]
    sizes: Mapping[str, tuple[int, ...]]
    recipe: Recipe
    objectives: Mapping[str, nn.Module]
    steps: int
    rows: int
    id_names: tuple[str, ...]
    chunk: int = 0


class Objective(nn.Module, ABC):
    """A loss of the embeddings of one or several inputs.

    A subclass names its configuration as `Config`, says by `wanted` which views of which inputs it looks at, where its
    configuration does not, and gives its losses in `forward`. Views and encoders' passes are shared with all objectives
    that want the same ones.

    Args:
        config: of the class `Config`.
        parts: what it is built on.
    """

    Config: ClassVar[type[ObjectiveConfig]] = ObjectiveConfig
    follows: float | None = None
    """Momentum of the slowly following copies of the encoders, where it looks at their embeddings."""

    def __init__(self, config: Any, parts: Parts) -> None:
        super().__init__()
        self.config = config

    @classmethod
    def made(cls, config: Any, parts: Parts) -> "Objective":
        """The objective of a configuration."""
        return cls(config, parts)

    @property
    def wanted(self) -> dict[str, Wanted]:
        """Which views it looks at, by input; by default those of its configuration, two of each sample."""
        found: dict[str, Wanted] = self.config.wanted
        return found

    @property
    def looks(self) -> tuple[tuple[str, Wanted], ...]:
        """All views that it looks at, where it looks at several kinds of views of an input."""
        return tuple(self.wanted.items())

    @property
    def captioners(self) -> dict[str, Captioner]:
        """{input: decoder of its reports} that the run folder keeps."""
        return {}

    def positive_share(self, step: Step) -> float | None:
        """The share of the anchors of a batch that have a positive; None where it is not known."""
        return None

    @abstractmethod
    def forward(self, step: Step) -> dict[str, Tensor]:
        """The losses of a batch, without their weights: a scalar each, by the names of `config.losses`."""


def projection(config: HeadConfig, dim: int) -> nn.Module:
    """The head of an embedding of a width: a perceptron, a linear map, or nothing."""
    if not config.dim:
        return nn.Identity()
    return ProjectionHead(dim, config.hidden, config.dim, 2 if config.hidden else 1)


def follower(module: nn.Module) -> nn.Module:
    """A copy of a module that is not trained, but moved towards it."""
    return deepcopy(module).requires_grad_(False)


def dim_of(encoder: nn.Module) -> int:
    """Width of an encoder's embedding."""
    return int(encoder.config.dim)  # type: ignore[arg-type]


def named(values: Sequence[str]) -> str:
    """Names in a sentence."""
    return ", ".join(values) or "none"


def map_features(encoder: nn.Module, size: Sequence[int]) -> int:
    """Features times positions of what `Seen.bottleneck` gives of a sample of a size."""
    network = getattr(encoder, "network", None)
    if not isinstance(network, UNet):
        return dim_of(encoder)
    check_size(encoder, size)
    return int(network.widths[-1] * prod(length // 2**network.levels for length in size))


def check_size(encoder: nn.Module, size: Sequence[int]) -> None:
    """Refuse sizes of samples that the maps of a U-Net do not divide."""
    network = getattr(encoder, "network", None)
    multiple = 2**network.levels if isinstance(network, UNet) else 1
    if any(length % multiple for length in size):
        raise UsageError(
            f"data.size: this U-Net takes sizes that are multiples of {multiple}, got {' x '.join(map(str, size))}; "
            "choose another size, or fewer encoder.widths"
        )
