"""Informative sampling: of patients who are drawn, those are trained on whose views the current encoder confuses."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.gather import gather
from medcl.errors import UsageError
from medcl.modality.sampling import Batch
from medcl.pretrain.objectives.base import Objective

if TYPE_CHECKING:
    from medcl.pretrain.model import Model


def check_views(model: "Model") -> None:
    """Refuse a pool where no objective compares two views of a sample.

    Raises:
        UsageError: none of the objectives does.
    """
    looks = [look for one in model.objectives.values() for _, look in cast(Objective, one).looks]
    if not any(look.blocks > 1 for look in looks):
        raise UsageError("batch.pool: chooses patients by two views, which no objective of this recipe looks at")


@torch.no_grad()
def scores(model: "Model", batch: Mapping[str, Any], generator: torch.Generator) -> Tensor:
    """How unlike two views of each sample are to the current encoder, without dropout.

    Args:
        model: that is trained.
        batch: samples of this process.
        generator: on the CPU, the same in all processes; draws the views.

    Returns:
        (n,) 1 - cosine of the embeddings.
    """
    model.eval()
    try:
        step = model.step(batch, generator)
        seen = next(one for one in step.seen.values() if one.blocks > 1)
        z = F.normalize(seen.pooled.float(), dim=1)
        return 1 - (z[: seen.n] * z[seen.n : 2 * seen.n]).sum(dim=1)
    finally:
        model.train()


def informative(model: "Model", batch: Batch, generator: torch.Generator, count: int) -> Batch:
    """The part of a batch whose patients the current encoder confuses most.

    Hard example mining (Shrivastava, Gupta and Girshick, Training Region-based Object Detectors with Online Hard
    Example Mining, CVPR 2016), with the unlikeness of two views in the place of the loss, and patients in that of
    regions. It follows from the weights, the batch and the generator alone, so that a resumed run and several processes
    choose the same.

    Args:
        model: that is trained.
        batch: samples of this process.
        generator: as of `scores`.
        count: of patients that are kept in the batch of all processes, by the mean over their samples.
    """
    group = dist.group.WORLD if model.shared else None
    patient = batch["ids"]["patient"]
    codes, number = torch.unique(gather(patient, group), return_inverse=True)
    own = gather(scores(model, batch, generator), group)
    total = own.new_zeros(len(codes)).index_add_(0, number, own)
    mean = total / torch.bincount(number, minlength=len(codes))
    chosen = codes[torch.argsort(mean, descending=True, stable=True)[:count]]
    return cast(Batch, _rows(batch, torch.isin(patient, chosen).nonzero()[:, 0]))


def _rows(value: Any, rows: Tensor) -> Any:
    """Some samples of everything in a batch."""
    if isinstance(value, Mapping):
        return {name: _rows(one, rows) for name, one in value.items()}
    return value[rows.to(value.device)]
