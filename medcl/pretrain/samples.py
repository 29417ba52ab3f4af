"""Training on samples in memory, without an archive."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from medcl.data.samples import InMemory, Samples
from medcl.errors import UsageError
from medcl.modality import wing
from medcl.modality.views import Compose
from medcl.pretrain.batches import Source
from medcl.pretrain.inputs import Made
from medcl.pretrain.recipe import InputConfig, Recipe
from medcl.spelling import not_a_choice

_IN_MEMORY = ("signal", "image", "volume")


@dataclass(frozen=True)
class _Shape:
    """What a wing's spec reads of a store."""

    channels: tuple[str, ...]
    n_channels: int
    sampling_rate: float


def made_of(recipe: Recipe, given: Mapping[str, Any]) -> tuple[dict[str, Made], Source, InMemory]:
    """The inputs of a recipe from samples in memory.

    Args:
        recipe: the whole.
        given: {input: samples}, see `Samples.of`.

    Raises:
        UsageError: an input has no samples, or they do not fit its settings.
    """
    real = [name for name, one in recipe.inputs.items() if not one.like]
    for name in given:
        if name not in real:
            raise UsageError(f"samples: {not_a_choice(name, real)}")
    if missing := [name for name in real if name not in given]:
        raise UsageError(f"samples: none for the input {', '.join(missing)}")
    data = InMemory({name: Samples.of(given[name], name) for name in real})
    made = {name: _made(name, config, data.samples[config.like or name]) for name, config in recipe.inputs.items()}
    batch = recipe.batch
    sizes = {"patients": batch.patients, "records": batch.records, "samples": batch.samples}
    size = f"{len(data)} samples"
    return made, Source(data, sizes, np.unique(data.patients), size, "", data.id_names), data


def _made(name: str, config: InputConfig, samples: Samples) -> Made:
    if config.modality not in _IN_MEMORY:
        raise UsageError(f"samples[{name!r}]: {wing(config.modality).plural} are trained on from an archive only")
    own = wing(config.modality)
    first = samples.read([0])
    n_channels, *size = (int(one) for one in first.shape[1:])
    rate = float(samples.sampling_rate or getattr(config.data, "sampling_rate", None) or 1.0)
    channels = tuple(samples.channels) or tuple(f"channel {one + 1}" for one in range(n_channels))
    if len(channels) != n_channels:
        raise UsageError(f"samples[{name!r}].channels: {len(channels)} names of {n_channels} channels")
    changes = {"window": size[0] / rate, "sampling_rate": rate, "channels": list(channels)}
    data: Any = replace(config.data, **changes) if hasattr(config.data, "sampling_rate") else config.data
    shape = _Shape(channels, n_channels, rate)
    encoder = own.spec_of(config.encoder, data, shape, config.modality)

    def views(called: str) -> Compose | None:
        return own.views(config.more_views[called] if called else config.views, data, shape)

    def network(chosen: Any) -> nn.Module:
        return own.encoder(own.spec_of(chosen, data, shape, config.modality))

    return Made(
        replace(config, data=data), shape, None, network, views, encoder, data, (n_channels, *size), first.dtype, 0
    )
