"""Draws from a beta distribution by a generator of one's own, which torch's distributions do not take."""

import torch
from torch import Tensor


def draw_beta(alpha: float, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
    """Draw from Beta(alpha, alpha), the same for the same generator.

    Args:
        alpha: above 0.
        shape: of the result.
        generator: on the CPU; default: torch's own.

    Returns:
        Numbers from 0 to 1, on the CPU.
    """
    seed = torch.randint(2**62, (), generator=generator)
    # torch.distributions draws from the global generator only.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed))
        drawn: Tensor = torch.distributions.Beta(alpha, alpha).sample(shape)
    return drawn
