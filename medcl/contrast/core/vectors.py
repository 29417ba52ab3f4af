"""Vectors of length 1, and the number format in which losses are computed."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def accurate(x: Tensor) -> Tensor:
    """At least float32, whatever the encoder ran in: exponentials of half-precision similarities overflow."""
    return x if x.dtype == torch.float64 else x.float()


def no_autocast(x: Tensor) -> torch.autocast:
    """A context in which nothing on the device of `x` is cast to half precision, used around every loss."""
    return torch.autocast(x.device.type, enabled=False)


SMALLEST = 1e-12
"""A vector shorter than this has no direction: it stays 0, with a derivative of 0."""


def unit(x: Tensor) -> Tensor:
    """Divide each vector by its length.

    As `torch.nn.functional.normalize`, but keeping the result for the backward pass instead of the input, which
    nothing else needs, and without an explosion of the derivative at 0.

    Args:
        x: (N, D).

    Returns:
        (N, D).
    """
    return cast(Tensor, _Unit.apply(x))  # type: ignore[no-untyped-call]


class _Unit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        lengths = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        inverse = torch.where(lengths > SMALLEST, 1 / lengths, 0.0)
        result = x * inverse
        ctx.save_for_backward(result, inverse)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        result, inverse = ctx.saved_tensors
        along = torch.linalg.vecdot(grad, result)[:, None]
        return torch.addcmul(grad, result, along, value=-1).mul_(inverse)
