"""Several views of a batch, one after the other, with the mask of what is hidden from the encoder."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.views.base import Params, View

KEEP = "mask.keep"


class Mask(Protocol):
    """A random mask, which is not applied to a batch but given to the encoder."""

    def draw(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw the positions (B, positions) bool of `x` (B, ...) that are kept."""


class Compose:
    """Applies views in the given order.

    The parameters of all of them are one flat dict of tensors, named `view.parameter`, as `torch.save` or safetensors
    take it.

        params = views.draw(x, generator)
        y, keep = views.apply(x, params), views.keep(params)

    Args:
        views: in the order in which they are applied; each kind at most once.
        mask: the mask to draw with the views; it is not applied to the batch but given to the encoder.

    Raises:
        UsageError: when a view is there twice.
    """

    def __init__(self, views: Sequence[View], mask: Mask | None = None) -> None:
        names = [view.name for view in views]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise UsageError(f"each view can be applied once, got more than one of: {', '.join(repeated)}")
        self.views = tuple(views)
        self.mask = mask

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the parameters of one view of each sample of `x` (B, ...)."""
        params: Params = {}
        for view in self.views:
            params.update({f"{view.name}.{key}": value for key, value in view.draw(x, generator).items()})
        if self.mask is not None:
            params[KEEP] = self.mask.draw(x, generator)
        return params

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Make the view of `x` (B, ...) that `params` describe."""
        for view in self.views:
            prefix = f"{view.name}."
            own = {key.removeprefix(prefix): value for key, value in params.items() if key.startswith(prefix)}
            x = view.apply(x, own)
        return x

    def keep(self, params: Params) -> Tensor | None:
        """Return the encoder's mask (B, positions), True where one is kept; None when nothing is masked."""
        return params.get(KEEP)
