"""Max-pooling over pairs of time steps, and its derivative."""

import torch
from torch import Tensor


def halve(z: Tensor) -> Tensor:
    """Max-pool (B, T, K) over time with kernel 2, to (B, T // 2, K); a last odd step is left out."""
    return torch.maximum(*_pairs(z))


def unhalve(grad: Tensor, z: Tensor) -> Tensor:
    """Bring a derivative with respect to `halve(z)` back to z: the first of two equal steps gets it, as in max_pool1d.

    Args:
        grad: (B, T // 2, K).
        z: (B, T, K).

    Returns:
        (B, T, K), 0 at steps that were not the maximum.
    """
    full = torch.empty_like(z, memory_format=torch.contiguous_format)
    full[:, -1] = 0
    even, odd = _pairs(full)
    first, second = _pairs(z)
    if torch.compiler.is_compiling():
        # The compiler fuses this, and refuses an `out=` that is every second step of a tensor.
        even.copy_(torch.where(first >= second, grad, 0.0))
        odd.copy_(torch.where(first >= second, 0.0, grad))
        return full
    # A comparison written as numbers: multiplying by a bool tensor would convert it in a second pass.
    torch.ge(first, second, out=even)
    even.mul_(grad)
    torch.sub(grad, even, out=odd)
    return full


def _pairs(z: Tensor) -> tuple[Tensor, Tensor]:
    """Views of the even and of the odd steps."""
    length = z.shape[1] // 2 * 2
    return z[:, 0:length:2], z[:, 1:length:2]
