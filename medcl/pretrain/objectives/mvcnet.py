"""MVCNet: classes from two networks of several views, which agree with one another (motor imagery)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.core.gather import mean, rows_before
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import itself, same
from medcl.errors import UsageError
from medcl.pretrain.objectives.base import Objective, ObjectiveConfig, Parts, dim_of
from medcl.pretrain.objectives.positives import LABEL
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.views import Wanted


@dataclass(frozen=True)
class MVCNetConfig(ObjectiveConfig):
    """Classification of a sample as it is and of its views, with contrast across views and across networks.

        L = sum over v of CE(class | f(x_v)) + cross_view CVC + cross_network CMC
        CVC = mean over the views v of NT-Xent([f(x); g(x)], [f(x_v); g(x_v)])
        CMC = NT-Xent(f, g) over the samples and all their views

    with f a convolutional network, which alone is kept and alone tells the class, and g another one, brought to its
    width. Classes that lie on one side are exchanged where the view exchanges the sides: without that, reflection
    teaches the wrong class; where the classes are hands and feet, nothing is exchanged.

    Args:
        network: the input of f, without views of its own.
        other: an input `like` the first, with the encoder g.
        target: column of the manifest; records of other classes, or of none, are in the contrast alone.
        classes: of the column.
        views: names of `more_views` of the first input: in the paper the sign, a shift of frequencies, a reflection.
        reflected: those among them that exchange the sides.
        exchanged: two classes that these exchange, `[left, right]`, if any.
        cross_view: weight of CVC.
        cross_network: weight of CMC.
        temperature: of both.
    """

    kind: str = "mvcnet"
    network: str = ""
    other: str = ""
    target: str = ""
    classes: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    reflected: tuple[str, ...] = ()
    exchanged: tuple[str, ...] = ()
    cross_view: float = 0.1
    cross_network: float = 0.1
    temperature: float = 0.2
    ranges: ClassVar = {"above 0": ("temperature",)}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Both networks'."""
        return self.network, self.other

    @property
    def losses(self) -> dict[str, float]:
        """Classes, and the contrasts that have a weight."""
        weights = {"classes": 1.0, "views": self.cross_view, "networks": self.cross_network}
        return {name: weight for name, weight in weights.items() if weight}

    @property
    def columns(self) -> tuple[str, ...]:
        """Whether a record is of a class."""
        return tuple(f"{LABEL}{self.target}={one}" for one in self.classes)

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse views and classes that there are not."""
        super().check(where, recipe)
        if recipe.inputs[self.other].like != self.network:
            raise UsageError(f"{where}: both networks see the same views: set inputs.{self.other}.like: {self.network}")
        if not self.target or len(set(self.classes)) < 2:
            raise UsageError(f"{where}: target names a column, classes two or more of its values")
        for name, known in (("views", recipe.inputs[self.network].more_views), ("reflected", self.views)):
            if missing := [one for one in getattr(self, name) if one not in known]:
                raise UsageError(f"{where}.{name}: {missing[0]!r} is none of {', '.join(known) or '(none)'}")
        if len(set(self.exchanged) & set(self.classes)) != len(self.exchanged) or len(self.exchanged) not in (0, 2):
            raise UsageError(f"{where}.exchanged: two of the classes {', '.join(self.classes)}, or none")
        if not self.views or min(self.cross_view, self.cross_network) < 0:
            raise UsageError(f"{where}: one view or more, and weights of 0 or more, are needed")


class MVCNet(Objective):
    """See `MVCNetConfig`."""

    Config = MVCNetConfig
    config: MVCNetConfig
    order: Tensor

    def __init__(self, config: MVCNetConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        width, other = (dim_of(parts.encoders[name]) for name in config.inputs)
        self.classifier = nn.Linear(width, len(config.classes))
        self.contrasts = bool(config.cross_view or config.cross_network)
        if self.contrasts:
            self.joined = nn.Sequential(
                nn.Linear(other, 4 * width), nn.LayerNorm(4 * width), nn.ReLU(), nn.Linear(4 * width, width), nn.Tanh()
            )
        order = list(range(len(config.classes)))
        if config.exchanged:
            first, second = (config.classes.index(one) for one in config.exchanged)
            order[first], order[second] = second, first
        self.register_buffer("order", torch.tensor(order), persistent=False)

    @property
    def wanted(self) -> dict[str, Wanted]:
        """The samples as they are."""
        return {name: Wanted(copies=1) for name in self.config.inputs}

    @property
    def looks(self) -> tuple[tuple[str, Wanted], ...]:
        """The samples as they are, then each of their views, by both networks."""
        views = ("", *self.config.views)
        return tuple((name, Wanted(view, copies=1)) for view in views for name in self.config.inputs)

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The losses."""
        config, count = self.config, len(self.config.views) + 1
        f = [step.see(name, wanted).pooled for name, wanted in self.looks[::2]]
        losses = {"classes": self._classes(f, step)}
        if self.contrasts:
            g = [self.joined(step.see(name, wanted).pooled) for name, wanted in self.looks[1::2]]
            before, total = rows_before(len(f[0]), f[0], step.group)
            own = torch.arange(len(f[0]), device=f[0].device) + before
        if config.cross_view:
            both = [torch.cat(pair) for pair in zip(f, g, strict=True)]
            ids = torch.cat([own, own + total])
            across = [self._agree(both[0], one, ids, step) for one in both[1:]]
            losses["views"] = torch.stack(across).mean()
        if config.cross_network:
            ids = torch.cat([own + view * total for view in range(count)])
            losses["networks"] = self._agree(torch.cat(f), torch.cat(g), ids, step)
        return losses

    def _agree(self, a: Tensor, b: Tensor, ids: Tensor, step: Step) -> Tensor:
        """NT-Xent of two views of the same ids."""
        z, both = torch.cat([a, b]), ids.repeat(2)
        pairing = same(both).without(itself(both))
        return info_nce(z, z, pairing, temperature=self.config.temperature, group=step.group)

    def _classes(self, f: list[Tensor], step: Step) -> Tensor:
        """The cross-entropies of the samples and of each of their views, added up."""
        seen = step.see(self.config.network, Wanted(copies=1))
        told = torch.stack([seen.ids[word] for word in self.config.columns], dim=1)
        known = (told == 1).any(dim=1)
        own = told.argmax(dim=1)[known]
        total = f[0].new_zeros((), dtype=torch.float32)
        for view, z in zip(("", *self.config.views), f, strict=True):
            y = self.order[own] if view in self.config.reflected else own
            total = total + F.cross_entropy(self.classifier(z[known]).float(), y, reduction="sum")
        return mean(total, known.sum().to(total), step.group)
