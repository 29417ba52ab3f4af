"""Levels of the hierarchy as a configuration names them, and the loss that contrasts pooled embeddings by their ids."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from medcl.contrast.core.gather import Group
from medcl.contrast.losses.info_nce import info_nce_levels
from medcl.contrast.pairings.pairs import itself, same
from medcl.errors import UsageError


def switched_on(levels: Mapping[str, float], known: Collection[str], field: str) -> dict[str, float]:
    """The levels with a weight above zero.

    Args:
        levels: weight of each.
        known: names that a level may have.
        field: of the configuration, for messages.

    Raises:
        UsageError: an unknown level, a negative weight, or none above zero.
    """
    unknown = [level for level in levels if level not in known]
    if unknown:
        raise UsageError(f"{field}: {', '.join(unknown)} is no level; there are {', '.join(known)}")
    if any(weight < 0 for weight in levels.values()):
        raise UsageError(f"{field}: a weight is negative")
    on = {level: weight for level, weight in levels.items() if weight > 0}
    if not on:
        raise UsageError(f"{field}: no level has a weight above zero")
    return on


def check_known(levels: Collection[str], there: Collection[str], field: str) -> None:
    """Refuse levels of which an archive has no ids.

    Raises:
        UsageError: with their names.
    """
    missing = [level for level in levels if level not in there]
    if missing:
        raise UsageError(f"{field}: the archive has no ids for {', '.join(missing)}; it has {', '.join(there)}")


def by_id(z: Tensor, ids: Mapping[str, Tensor], *, temperature: float, group: Group) -> dict[str, Tensor]:
    """InfoNCE over both views of a batch, in which every view of the same id is a positive, for each level.

    Args:
        z: (2 N, dim) projections: all first views, then all second ones.
        ids: {level: (N,) int64}.
        temperature: of the softmax.
        group: processes that share the batch.

    Returns:
        One scalar a level.
    """
    return info_nce_levels(
        z,
        z,
        {level: same(torch.cat([own, own])) for level, own in ids.items()},
        without=itself(z),
        temperature=temperature,
        group=group,
    )
