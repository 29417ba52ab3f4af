"""Who is positive for whom, from ids of any level."""

from torch import Tensor


def same(a: Tensor, b: Tensor) -> Tensor:
    """Pairs that share an id.

    Args:
        a: (N,) int64 ids of a level.
        b: (M,) int64 ids of the same level.

    Returns:
        (N, M) bool on the device of the ids.

    Raises:
        ValueError: if the ids are not integers: float ids above 2^53 collide.
    """
    for ids in (a, b):
        if ids.is_floating_point() or ids.ndim != 1:
            raise ValueError(f"ids must be integers of shape (batch,), got {ids.dtype} of shape {tuple(ids.shape)}")
    return a[:, None] == b[None, :]
