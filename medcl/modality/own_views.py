"""Views of the user's own: a class or function of an installed package, or transforms of MONAI."""

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from medcl.errors import UsageError, did_you_mean
from medcl.modality.own_config import OwnViewsConfig
from medcl.modality.views import Compose, Params, View, integers
from medcl.names import resolve

SEED = 2**31
"""Above the seeds that are drawn."""


class PerSample(View):
    """A random function of one sample at a time, seeded by a number that is drawn for each.

    So a view can be made again from its parameters, and does not depend on what else is in the batch or on how many
    processes share it.

    Args:
        function: of a sample (C, ...) and a seed.
        called: what it is, for messages.
    """

    name = "own"

    def __init__(self, function: Callable[[Tensor, int], Any], called: str) -> None:
        self.function, self.called = function, called

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw seeds (B,) int64."""
        return {"seed": integers(x, len(x), low=0, high=SEED, generator=generator)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Make the view of each sample by its seed.

        Raises:
            UsageError: the function returns another shape, or no tensor.
        """
        made = []
        for sample, seed in zip(x, params["seed"].tolist(), strict=True):
            # What changes a sample in place must not change the others' views of it.
            found = self.function(sample.clone(), seed)
            found = torch.as_tensor(found) if isinstance(found, np.ndarray) else found
            if not isinstance(found, Tensor) or found.shape != sample.shape:
                got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
                raise UsageError(f"views {self.called}: of a sample {tuple(sample.shape)} they return {got}")
            made.append(found.to(sample))
        return torch.stack(made) if made else x


class Checked(View):
    """A view of the user's own, which has to keep the shape of a batch.

    Args:
        view: that draws and applies.
        called: what it is, for messages.
    """

    name = "own"

    def __init__(self, view: View, called: str) -> None:
        self.view, self.called = view, called

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the parameters of the view.

        Raises:
            UsageError: they are not one a sample.
        """
        params = self.view.draw(x, generator)
        for name, value in params.items():
            if not isinstance(value, Tensor) or not value.ndim or len(value) != len(x):
                raise UsageError(f"views {self.called}: draw returns {name!r} that is no tensor of {len(x)} samples")
        return params

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Make the view.

        Raises:
            UsageError: it has another shape.
        """
        found = self.view.apply(x, params)
        if found.shape != x.shape:
            raise UsageError(f"views {self.called}: of a batch {tuple(x.shape)} they return {tuple(found.shape)}")
        return found


def build(config: OwnViewsConfig, where: str) -> Compose:
    """Make the views that a configuration names.

    Args:
        config: which.
        where: name in the recipe, for messages.

    Raises:
        UsageError: they are not found, or do not take the arguments.
    """
    if bool(config.name) == bool(config.monai):
        raise UsageError(f"{where}: name a class or function (`name`) or transforms (`monai`), one of the two")
    if config.monai:
        return Compose([_of_monai(config.monai, where)])
    found = resolve(config.name, "views")
    if inspect.isclass(found) and issubclass(found, View):
        try:
            return Compose([Checked(found(**config.arguments), config.name)])
        except TypeError as error:
            raise UsageError(f"{where}.arguments: {config.name}: {error}") from error
    # No class but ours and no built-in is called: what a file names must not run with what the file gives it.
    if not isinstance(found, FunctionType):
        raise UsageError(
            f"{where}.name: {config.name} is neither a subclass of medcl.modality.views.View nor a function of a batch "
            "and a generator"
        )
    try:
        inspect.signature(found).bind(None, None, **config.arguments)
    except TypeError as error:
        raise UsageError(
            f"{where}.arguments: {config.name}: {error}; it is called with x, generator and these"
        ) from error

    def one(sample: Tensor, seed: int) -> Any:
        changed = found(sample[None], torch.Generator().manual_seed(seed), **config.arguments)
        return changed[0] if isinstance(changed, Tensor) and changed.ndim == sample.ndim + 1 else changed

    return Compose([PerSample(one, config.name)])


def _of_monai(transforms: list[dict[str, Any]], where: str) -> PerSample:
    import monai.transforms
    from monai.transforms import Compose as Chain
    from monai.transforms import MapTransform, Transform

    known: dict[str, Any] = {
        name: one
        for name, one in vars(monai.transforms).items()
        if inspect.isclass(one)
        and issubclass(one, Transform)
        and not issubclass(one, MapTransform)
        # Nothing that reads or writes files, or calls what a file names.
        and not one.__module__.startswith(("monai.transforms.io", "monai.transforms.compose"))
        and "Lambda" not in name
    }
    made = []
    for place, one in enumerate(transforms):
        if len(one) != 1:
            raise UsageError(f"{where}.monai.{place}: one transform with its arguments, {{RandFlip: {{prob: 0.5}}}}")
        ((name, arguments),) = one.items()
        if name not in known:
            raise UsageError(f"{where}.monai.{place}: monai has no array transform {name!r}{did_you_mean(name, known)}")
        try:
            made.append(known[name](**(arguments or {})))
        except (TypeError, ValueError) as error:
            raise UsageError(f"{where}.monai.{place}: {name}: {error}") from error
    chain = Chain(made)

    def one_sample(sample: Tensor, seed: int) -> Tensor:
        chain.set_random_state(seed=seed)
        changed = chain(sample)
        return cast(Tensor, changed.as_tensor() if hasattr(changed, "as_tensor") else changed)

    return PerSample(one_sample, "of monai")
