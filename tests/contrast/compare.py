"""How a loss is compared with its reference: value and gradients."""

from collections.abc import Callable

import torch
from torch import Tensor

Loss = Callable[..., Tensor]


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def value_and_gradients(loss: Loss, *views: Tensor) -> tuple[Tensor, ...]:
    """The value, then the gradient with respect to each view (0 where the value does not depend on it)."""
    leaves = [view.detach().requires_grad_() for view in views]
    value = loss(*leaves)
    gradients = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
    return (value.detach(), *gradients)


def assert_same(loss: Loss, reference: Loss, *views: Tensor, single: float = 2e-5) -> None:
    """Float64 to rounding, float32 to `single`; `views` are float64."""
    expected = value_and_gradients(reference, *views)
    for dtype in (torch.float64, torch.float32):
        found = value_and_gradients(loss, *(view.to(dtype) for view in views))
        tolerance = 1e-10 if dtype == torch.float64 else single
        for got, wanted in zip(found, expected, strict=True):
            torch.testing.assert_close(got, wanted.to(dtype), rtol=tolerance, atol=tolerance)
