"""Who is positive for whom, from the ids of any level."""

import torch
from torch import Tensor

from medcl.errors import UsageError


def same(ids_a: Tensor, ids_b: Tensor) -> Tensor:
    """Pairs that share an id.

    Args:
        ids_a: (N,) int64 ids of one level: patient, trial, study, label, ...
        ids_b: (M,) int64 ids of the same level.

    Returns:
        (N, M) bool on the device of the ids.

    Raises:
        TypeError: when ids are not integers: neighbouring int64 ids become equal as floats.
        UsageError: when ids are not vectors.
    """
    for ids in (ids_a, ids_b):
        if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
            raise TypeError(f"ids must be integers (int64), got {ids.dtype}: different ids can be equal in that type")
        if ids.ndim != 1:
            raise UsageError(f"ids must be of shape (batch,), got {tuple(ids.shape)}")
    return ids_a[:, None] == ids_b[None, :]


def itself(count: int, device: torch.device) -> Tensor:
    """The pairs (count, count) of everything with itself, bool: what an anchor must not be compared with."""
    return torch.eye(count, dtype=torch.bool, device=device)


def same_among_views(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Positives and exclusions among the two views of a batch, all first views followed by all second views.

    Ids that are unique to a sample make exactly its two views positive (SimCLR); ids of a higher level make all views
    of all samples that share it positive (SupCon).

    Args:
        ids: (N,) int64.

    Returns:
        (2N, 2N) bool, the pairs that share an id, no view with itself; and (2N, 2N) bool, each view with itself.

    Raises:
        TypeError: when ids are not integers.
        UsageError: when ids are not a vector.
    """
    both = torch.cat([ids, ids])
    alone = itself(len(both), ids.device)
    return same(both, both) & ~alone, alone
