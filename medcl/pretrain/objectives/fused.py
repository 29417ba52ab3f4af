"""Losses of several objectives from one pass over the similarities."""

from collections.abc import Sequence

from torch import Tensor

from medcl.contrast.losses.identity import identities
from medcl.contrast.losses.info_nce import info_nce_levels
from medcl.contrast.pairings.pairs import itself, same
from medcl.pretrain.objectives.contrast import Contrast
from medcl.pretrain.passes import Step


def fused(objectives: Sequence[Contrast], step: Step) -> list[dict[str, Tensor]]:
    """The losses of objectives of one `fusion`, from one pass over the similarities."""
    first = objectives[0]
    config, wanted = first.config, first.wanted[first.config.of]
    seen, blocks = step.see(config.of, wanted), wanted.copies + wanted.original
    levels = [next(iter(one.config.words)) for one in objectives]
    if config.dense:
        one, other = seen.dense.chunk(2)
        losses = identities(
            one, other, {level: seen.ids[level] for level in levels}, temperature=config.temperature, group=step.group
        )
        return [{"": losses[level]} for level in levels]
    z = first._z(seen, config.of, blocks)
    found = info_nce_levels(
        z,
        z,
        {level: same(seen.repeated(level, blocks)) for level in levels},
        without=itself(z),
        temperature=config.temperature,
        group=step.group,
    )
    return [{"": found[level]} for level in levels]
