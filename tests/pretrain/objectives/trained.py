"""An objective trained on images that are drawn as it goes, with a real encoder and its slowly following copy."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, cast

import torch
from torch import Tensor, nn

from medcl.contrast.core.momentum import momentum_update
from medcl.modality.spatial import encoders, views
from medcl.modality.spatial.config import ImageEncoderConfig, ImageViewsConfig
from medcl.modality.views import Compose
from medcl.pretrain.objectives import Objective, objective_class
from medcl.pretrain.objectives.base import Parts
from medcl.pretrain.passes import Seen, Step
from medcl.pretrain.views import draw_views

Drawn = tuple[Tensor, Mapping[str, Tensor]]
"""Images (N, C, x, y[, z]), and ids of each."""


def parts(encoder: nn.Module, steps: int, recipe: Any = None, name: str = "own") -> Parts:
    """What an objective of an input called `image` is built on."""
    return Parts(name, {"image": encoder}, {"image": (1, 32, 32)}, recipe, {}, steps, 1, ())


def trained(
    config: Any,
    draw: Callable[[int, torch.Generator], Drawn],
    *,
    encoder: ImageEncoderConfig,
    changes: ImageViewsConfig,
    steps: int,
    batch: int = 16,
    rate: float = 3e-3,
    seed: int = 0,
    each: Callable[[Objective, Step], None] | None = None,
    recipe: Any = None,
) -> tuple[nn.Module, Objective]:
    """The encoder and the objective after training, in evaluation.

    Args:
        config: of the objective.
        draw: a batch, from its size and a generator.
        encoder: to build.
        changes: of views.
        steps: of training.
        batch: images of a step.
        rate: of learning.
        seed: of everything.
        each: called after each step, with what was seen in it.
        recipe: where the objective asks for the whole.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = encoders.build(encoder, 1)
    objective = objective_class(config.kind).made(config, parts(network, steps, recipe))
    teacher = deepcopy(network).requires_grad_(False)
    made: Compose = views.build(changes)
    own = [one for one in objective.parameters() if one.requires_grad]
    optimiser = torch.optim.AdamW([*network.parameters(), *own], rate)
    for _ in range(steps):
        x, ids = draw(batch, generator)
        if objective.follows is not None:
            momentum_update(network, teacher, objective.follows)
        seen = {
            (name, wanted.key): Seen(
                draw_views(x, made, wanted, generator, None), wanted.blocks, network, ids, teacher=teacher
            )
            for name, wanted in objective.looks
        }
        step = Step(seen, ids, {}, generator, None)
        loss = torch.stack(list(objective(step).values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if each is not None:
            each(objective, step)
    return network.eval(), cast(Objective, objective.eval())
