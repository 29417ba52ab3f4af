"""The averaged copy of what is trained: of the weights of all steps, or of the last ones."""

from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn

from medcl.pretrain.recipe import OptimiserConfig


def average_of(method: nn.Module, config: OptimiserConfig) -> AveragedModel | None:
    """The averaged copy that a configuration asks for; None where the last weights are kept."""
    if config.average == "none":
        return None
    ema = config.average == "ema"
    averaging: Any = get_ema_multi_avg_fn(config.decay) if ema else _plain_average  # type: ignore[no-untyped-call]
    return AveragedModel(method, multi_avg_fn=averaging, use_buffers=True)


def _plain_average(averaged: list[Tensor], current: list[Tensor], number: Tensor | int) -> None:
    """The running average of all steps; counters and ids, which have no average, are those of the last step."""
    if averaged[0].is_floating_point():
        get_swa_multi_avg_fn()(averaged, current, number)  # type: ignore[no-untyped-call]
    else:
        for before, now in zip(averaged, current, strict=True):
            before.copy_(now)
