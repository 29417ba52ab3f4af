"""Channels that are put later in time, so that what was heard or seen lies beside the response to it."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UsageError
from medcl.modality.signal.channels import canonical
from medcl.spelling import not_a_choice


def check(delay: Mapping[str, float] | None, channels: Sequence[str]) -> dict[str, float] | None:
    """The delays by the names that channels are wanted by.

    Raises:
        UsageError: there is no such channel, or a delay is below 0.
    """
    found = {canonical(name): float(seconds) for name, seconds in (delay or {}).items()}
    for name, seconds in found.items():
        if name not in channels:
            raise UsageError(f"data.delay: {not_a_choice(name, channels)}")
        if not (math.isfinite(seconds) and seconds >= 0):
            raise UsageError(f"data.delay: {name}: {seconds:g} s; a delay is 0 s or more")
    return found or None


def delayed(x: NDArray[np.float32], steps: Sequence[int], starts: Sequence[int]) -> NDArray[np.float32]:
    """Put channels later.

    Args:
        x: (C, time).
        steps: (C,) by how much.
        starts: first samples of the stretches, which have no gap within.

    Returns:
        (C, time); what has no value at the beginning of a stretch has its first one.
    """
    found = x.copy()
    ends = [*starts[1:], x.shape[1]]
    for channel, late in enumerate(steps):
        for start, end in zip(starts, ends, strict=True) if late else ():
            come = min(start + late, end)
            found[channel, come:end] = x[channel, start : end - (come - start)]
            found[channel, start:come] = x[channel, start]
    return found
