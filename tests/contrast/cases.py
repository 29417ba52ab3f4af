"""What every loss of the library is held against: one case each, in one signature."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from medcl.contrast.core.gather import Group
from medcl.contrast.losses.hierarchical import hierarchical
from medcl.contrast.losses.identity import identity
from medcl.contrast.losses.info_nce import info_nce, info_nce_levels, info_nce_views
from medcl.contrast.pairings.pairs import itself, same
from medcl.contrast.similarities.similarity import dot, one_sided


@dataclass(frozen=True)
class Case:
    """A loss as a function of two embeddings, ids and continuous targets of the same N samples.

    Attributes:
        name: of the loss, as in `LOSSES`, and of the case, after a comma.
        loss: (z1 (N, D), z2 (N, D), ids (N,) int64, y (N,) float, **scale) -> scalar; scale is `block` and `group`.
        permuted: the value does not depend on the order of the samples.
        relabelled: the value depends on which ids are equal only.
        differentiated: the gradient is that of the value, nothing being held fixed by definition.
        distributed: the mean over processes of value and gradient is that of one process with all samples.
        compiled: compiled for its pairing, as is the last case of every loss.
    """

    name: str
    loss: Callable[..., Tensor]
    permuted: bool = True
    relabelled: bool = True
    differentiated: bool = True
    distributed: bool = True
    compiled: bool = False

    @property
    def loss_name(self) -> str:
        """The loss, as in `LOSSES`."""
        return self.name.split(",")[0]


def steps(z: Tensor) -> Tensor:
    """Embeddings (N, D) as dense ones of two steps, (N, 2, D / 2)."""
    return z.unflatten(1, (2, -1))


def comet_identity(
    z1: Tensor, z2: Tensor, ids: Tensor, y: Tensor, block: int | None = None, group: Group = None
) -> Tensor:
    return identity(steps(z1), steps(z2), ids, group=group)


def comet_within(
    z1: Tensor, z2: Tensor, ids: Tensor, y: Tensor, block: int | None = None, group: Group = None
) -> Tensor:
    losses = hierarchical(steps(z1), steps(z2), group=group)
    return losses["sample"] + 2 * losses["observation"]


CASES = [
    Case("info_nce", lambda z1, z2, ids, y, **scale: info_nce(z1, z2, same(ids), temperature=0.2, **scale)),
    Case(
        "info_nce, inside, own, learned temperature",
        lambda z1, z2, ids, y, **scale: info_nce(
            z1, z2, same(ids), temperature=z1.double().square().mean().sqrt(), log="inside", denominator="own", **scale
        ),
        # The temperature is that of a process's own samples here.
        distributed=False,
    ),
    Case(
        "info_nce, own, without itself",
        lambda z1, z2, ids, y, **scale: info_nce(z1, z2, same(ids).without(itself(ids)), denominator="own", **scale),
    ),
    Case("info_nce, dot", lambda z1, z2, ids, y, **scale: info_nce(z1, z2, same(ids), similarity=dot, **scale)),
    Case(
        "info_nce, one-sided, one temperature an anchor",
        lambda z1, z2, ids, y, **scale: info_nce(
            z1, z2, same(ids), similarity=one_sided, temperature=1 + z1.double().square().sum(1), log="inside", **scale
        ),
    ),
    Case("info_nce_views", lambda z1, z2, ids, y, **scale: info_nce_views(z1, z2, ids, **scale)),
    Case(
        "info_nce_levels",
        lambda z1, z2, ids, y, **scale: sum(
            info_nce_levels(
                z1, z2, {"sample": itself(ids), "trial": same(ids), "patient": same(ids // 2)}, **scale
            ).values()
        ),
        relabelled=False,
    ),
    Case("identity, COMET's trial or patient", comet_identity, permuted=False),
    Case("hierarchical, COMET's sample and observation", comet_within),
]
