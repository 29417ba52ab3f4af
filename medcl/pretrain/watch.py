"""What the training loop asks of those who look at the weights while it runs."""

from collections.abc import Mapping
from typing import Protocol

from torch import nn
from torch.optim.swa_utils import AveragedModel


class Watch(Protocol):
    """Who looks at the weights now and then, in the first process alone."""

    def begin(self, step: int) -> None:
        """Go on after a step."""

    def is_due(self, step: int) -> bool:
        """Whether there is a look after a step."""

    def look(
        self, step: int, method: nn.Module, average: AveragedModel | None, weights: Mapping[str, float]
    ) -> dict[str, float]:
        """Look, without a change of anything that training depends on."""

    def close(self) -> None:
        """Training ends."""


def in_short(found: Mapping[str, float]) -> dict[str, str]:
    """What the line of progress tells of a look: the held-out total, and the lowest effective rank of an input."""
    ranks = [value for name, value in found.items() if name.startswith("rank.")]
    told = {"held-out": f"{found['total']:.3f}"} if "total" in found else {}
    return {**told, "rank": f"{min(ranks):.1f}"} if ranks else told
