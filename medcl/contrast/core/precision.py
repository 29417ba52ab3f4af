"""The number format in which losses are computed."""

import torch
from torch import Tensor


def accurate(x: Tensor) -> Tensor:
    """At least float32, whatever the encoder ran in: exponentials of half-precision similarities overflow."""
    return x if x.dtype == torch.float64 else x.float()


def no_autocast(x: Tensor) -> torch.autocast:
    """A context in which nothing on the device of `x` is cast to half precision, used around every loss."""
    return torch.autocast(x.device.type, enabled=False)
