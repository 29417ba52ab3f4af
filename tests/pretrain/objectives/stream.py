"""Classes of Gaussian vectors that come two at a time, to a small network that is trained by one objective."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.pretrain.continual import Teacher
from medcl.pretrain.objectives.base import Objective, Parts, dim_of
from medcl.pretrain.objectives.labelled import LabelledConfig
from medcl.pretrain.objectives.positives import places
from medcl.pretrain.passes import Step
from medcl.pretrain.views import Wanted

from .steps import Trained, batch_of

CLASSES, AT_A_TIME, WIDTH, EACH = 10, 2, 32, 40
NAMES = tuple(str(one) for one in range(CLASSES))


@dataclass(frozen=True)
class CrossEntropyConfig(LabelledConfig):
    """A linear classifier of all classes.

    Args:
        of: the input.
        target: column of the classes.
        classes: of the column.
    """


class CrossEntropy(Objective):
    """What replay with proxies is compared with."""

    Config = CrossEntropyConfig
    config: CrossEntropyConfig

    def __init__(self, config: CrossEntropyConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.classifier = nn.Linear(dim_of(parts.encoders[config.of]), len(config.classes))

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The loss."""
        seen = step.see(self.config.of, Wanted())
        return {"": F.cross_entropy(self.classifier(seen.pooled), seen.repeated(self.config.word, 2))}


class Network(nn.Module):
    """Two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(dim=32)
        self.layers = nn.Sequential(nn.Linear(WIDTH, 64), nn.ReLU(), nn.Linear(64, 32))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)[:, None]
        return found

    def pool(self, dense: Tensor) -> Tensor:
        return dense[:, 0]


@dataclass(frozen=True)
class Task:
    """Vectors and their classes."""

    x: Tensor
    y: Tensor


def draw(means: Tensor, classes: range, count: int, noise: float, generator: torch.Generator) -> Task:
    """So many vectors of each of some classes."""
    y = torch.arange(classes.start, classes.stop).repeat_interleave(count)
    return Task(means[y] + noise * torch.randn(len(y), WIDTH, generator=generator), y)


def model_of(objective: Mapping[str, Any], seed: int) -> Trained:
    """A network and its objective."""
    torch.manual_seed(seed)
    kinds = {"of": "image", "target": "kind", "classes": NAMES, **objective}
    return Trained({"kinds": kinds}, {"image": Network()})


def train(
    model: Trained, task: Task, steps: int, generator: torch.Generator, *, rate: float = 3e-3, batch: int = 20
) -> None:
    """Train on one task."""
    optimiser = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=rate, weight_decay=0.0)
    weights = model.recipe.objectives["kinds"].losses
    for _ in range(steps):
        rows = torch.randperm(len(task.x), generator=generator)[:batch]
        given = batch_of({"image": task.x[rows]})
        given["ids"][places("kind", NAMES)] = task.y[rows]
        found = model(given, generator)
        loss = sum(weights[name.partition(".")[2]] * one for name, one in found.items())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        optimiser.step()


def accuracy(model: Trained, vectors: Tensor, task: Task) -> float:
    """Of the nearest of one vector a class, by the cosine."""
    with torch.no_grad():
        z = F.normalize(model.encoders["image"](task.x)[:, 0], dim=1)
        return float(((z @ F.normalize(vectors, dim=1).T).argmax(1) == task.y).double().mean())


def stream(
    objective: Mapping[str, Any],
    seed: int,
    after: Callable[[Trained], None] = lambda model: None,
    *,
    memory: int = 0,
    steps: int = 60,
    noise: float = 1.0,
) -> tuple[Trained, Task]:
    """Train on all tasks in turn.

    Args:
        objective: of the recipe, without its classes.
        seed: of data and network.
        after: called between two tasks.
        memory: vectors of each earlier class that are kept, repeated until they are as many as the new ones.
        steps: a task.
        noise: of the vectors about the mean of their class, whose own deviation is 1.

    Returns:
        The model, and vectors of all classes to test it on.
    """
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(CLASSES, WIDTH, generator=generator)
    model = model_of(objective, seed)
    kept = Task(torch.zeros(0, WIDTH), torch.zeros(0, dtype=torch.int64))
    for first in range(0, CLASSES, AT_A_TIME):
        new = draw(means, range(first, first + AT_A_TIME), EACH, noise, generator)
        again = torch.arange(len(new.x)) % max(len(kept.x), 1) if len(kept.x) else torch.zeros(0, dtype=torch.int64)
        train(model, Task(torch.cat([new.x, kept.x[again]]), torch.cat([new.y, kept.y[again]])), steps, generator)
        after(model)
        chosen = torch.cat([torch.arange(memory) + EACH * place for place in range(AT_A_TIME)])
        kept = Task(torch.cat([kept.x, new.x[chosen]]), torch.cat([kept.y, new.y[chosen]]))
    return model, draw(means, range(CLASSES), 50, noise, generator)


def remember(model: Trained) -> None:
    """What `medcl pretrain --continue` does between two runs of PRD: encoder and prototypes as they are teach."""
    own: Any = model.objectives["kinds"]
    own.teacher = Teacher(deepcopy(model.encoders["image"]))
    own.old, own.taught = own.prototypes.detach().clone(), own.known > 0
