"""GML: classes of very different frequency, classified by contrast with all samples of a class at once."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.core.gather import gather, mean
from medcl.contrast.core.momentum import MomentumQueue
from medcl.contrast.losses.gml import gml
from medcl.errors import UsageError
from medcl.pretrain.objectives.base import HeadConfig, Objective, Parts, dim_of, projection
from medcl.pretrain.objectives.labelled import LabelledConfig
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.views import Wanted


@dataclass(frozen=True)
class GMLConfig(LabelledConfig):
    """Cross-entropy of a cosine classifier and `medcl.contrast.gml`, both adjusted by how frequent a class is.

        L = CE(y, sharpness cos(f, w_c) + log prior_c) + gml(g(f), keys of the batch and of earlier ones)

    The prior is the frequency of a class in the batches so far. Keys are embeddings of earlier batches, as many of
    each class at most, which the head g projects anew each time. GML (Suh and Seo, ICML 2023) holds more keys of
    frequent classes and adds distillation from a network that was trained by cross-entropy, which is left out here.

    Args:
        keys: earlier embeddings of each class that are held.
        sharpness: of the cosine classifier.
        temperature: what that of each class begins with; it is trained, to no less than 0.01.
        head: g.
    """

    kind: str = "gml"
    keys: int = 64
    sharpness: float = 30.0
    temperature: float = 0.1
    head: HeadConfig = field(default_factory=lambda: HeadConfig(dim=32))
    ranges: ClassVar = {"above 0": ("sharpness", "temperature")}

    @property
    def losses(self) -> dict[str, float]:
        """Both."""
        return {"classes": 1.0, "contrast": 1.0}

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse a queue of nothing."""
        super().check(where, recipe)
        if self.keys < 1:
            raise UsageError(f"{where}.keys: {self.keys} is below 1")


class GML(Objective):
    """See `GMLConfig`."""

    Config = GMLConfig
    config: GMLConfig
    seen: Tensor

    def __init__(self, config: GMLConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        width, count = dim_of(parts.encoders[config.of]), len(config.classes)
        self.head = projection(config.head, width)
        self.classifier = nn.Parameter(F.normalize(torch.randn(count, width), dim=1))
        self.log_temperature = nn.Parameter(torch.full((count,), config.temperature).log())
        self.queues = nn.ModuleList(MomentumQueue(config.keys, width) for _ in config.classes)
        self.register_buffer("seen", torch.zeros(count))

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The losses."""
        config, group = self.config, step.group
        seen = step.see(config.of, Wanted())
        y, f = seen.repeated(config.word, 2), seen.pooled[: 2 * seen.n].float()
        every = gather(y, group)
        counts = self.seen + torch.bincount(every[every >= 0], minlength=len(self.seen))
        prior = counts / counts.sum().clamp(min=1)
        known = y >= 0
        logits = config.sharpness * F.normalize(f[known], dim=1) @ F.normalize(self.classifier, dim=1).T
        losses = F.cross_entropy(logits + prior.clamp(min=1e-6).log(), y[known], reduction="sum")
        held = torch.cat([queue.embeddings[: len(queue)] for queue in self.queues])  # type: ignore[arg-type,index]
        labels = torch.cat([torch.full((len(q),), c, device=y.device) for c, q in enumerate(self.queues)])  # type: ignore[arg-type]
        contrast = gml(
            seen.project(self.head, 2),
            y,
            prior,
            self.log_temperature.exp().clamp(min=0.01),
            keys=self.head(held),
            key_labels=labels,
            group=group,
        )
        if self.training:
            self.seen.copy_(counts)
            for number, queue in enumerate(self.queues):
                own = f.detach()[y == number]
                queue.enqueue(own, torch.full((len(own),), number, device=y.device), group)  # type: ignore[operator]
        return {"classes": mean(losses, known.sum().to(losses), group), "contrast": contrast}
