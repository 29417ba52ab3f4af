"""Views of tables: values hidden, exchanged between samples, or with noise; what is missing stays missing."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from medcl.modality.table.config import TableViewsConfig
from medcl.modality.views import Compose, Params, TimestampMask, View, check_range, integers, normal, uniform


class Mix(View):
    """Takes variables of a sample, with their missing values, from another sample of the batch.

    SCARF's corruption (Bahri et al. 2022, algorithm 1): each variable of a sample is drawn from what the variable is in
    other samples, here all steps of one of them. A batch of one sample stays as it is.

    Args:
        probability: of taking a variable.
    """

    name: ClassVar[str] = "mix"
    across: ClassVar[bool] = True

    def __init__(self, probability: float) -> None:
        check_range("mix", probability, 0, 1)
        self.probability = probability

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw which variables are taken, and from which sample: never from the same."""
        batch, variables = x.shape[:2]
        taken = uniform(x, batch, variables, generator=generator) < self.probability
        if batch == 1:
            return {"taken": taken & False, "source": torch.zeros_like(taken, dtype=torch.int64)}
        shift = integers(x, batch, variables, low=1, high=batch, generator=generator)
        return {"taken": taken, "source": (torch.arange(batch, device=x.device).unsqueeze(1) + shift) % batch}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Make the view."""
        other = x[params["source"], torch.arange(x.shape[1], device=x.device)]
        return torch.where(params["taken"].unsqueeze(2), other, x)


class Noise(View):
    """Adds white noise to numbers; how strong, is drawn for each sample.

    Args:
        largest: standard deviation, in units of the scaled values.
        numbers: variables that are numbers.
    """

    name: ClassVar[str] = "noise"

    def __init__(self, largest: float, numbers: Sequence[int]) -> None:
        check_range("noise", largest, 0, 100)
        self.largest, self.numbers = largest, list(numbers)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the noise of every value of numbers, (B, N, T)."""
        strength = uniform(x, len(x), 1, 1, generator=generator) * self.largest
        return {"added": strength * normal(x, len(x), len(self.numbers), x.shape[2], generator=generator)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Make the view."""
        out = x.clone()
        out[:, self.numbers] += params["added"].to(x.dtype)
        return out


class VariableDropout(View):
    """Hides variables of a sample at all steps.

    Args:
        probability: of hiding a variable.
    """

    name: ClassVar[str] = "variable_dropout"
    axes: ClassVar[int] = 2
    """Of (B, C, T), along which what is hidden is drawn."""

    def __init__(self, probability: float) -> None:
        check_range(self.name, probability, 0, 1)
        self.probability = probability

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw what is hidden: (B, C, 1), or (B, C, T) of single values."""
        shape = (*x.shape[: self.axes], *[1] * (x.ndim - self.axes))
        return {"hidden": uniform(x, *shape, generator=generator) < self.probability}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Make the view."""
        return x.masked_fill(params["hidden"], float("nan"))


class ValueDropout(VariableDropout):
    """Hides single values.

    Args:
        probability: of hiding a value.
    """

    name: ClassVar[str] = "value_dropout"
    axes: ClassVar[int] = 3


def build(config: TableViewsConfig, n_classes: Sequence[int]) -> Compose:
    """Make the views that a configuration switches on, in the order that it documents.

    Args:
        config: which views, and how strong.
        n_classes: (C,) classes of each variable of the samples; 0 for numbers.

    Raises:
        UsageError: a setting is out of its range.
    """
    views: list[View] = []
    if config.mix:
        views.append(Mix(config.mix))
    if config.noise:
        views.append(Noise(config.noise, [i for i, count in enumerate(n_classes) if not count]))
    if config.variable_dropout:
        views.append(VariableDropout(config.variable_dropout))
    if config.value_dropout:
        views.append(ValueDropout(config.value_dropout))
    mask = None
    if config.mask != "none":
        mask = TimestampMask(config.mask, config.mask_segments, config.mask_length, config.mask_probability)
    return Compose(views, mask)
