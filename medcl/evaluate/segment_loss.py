"""The losses of a segmentation, of monai, with Mixup as an option."""

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.errors import UsageError


def build(name: str) -> nn.Module:
    """A loss of logits and one-hot (or mixed) targets, both (B, n_classes, *space).

    Dice is that of the batch as a whole: of a single slice it would jump where the slice holds a few voxels of a
    structure, or none.

    Args:
        name: `dice`: 1 - the mean soft Dice over the classes, with the background; `dice-ce` adds the cross-entropy.

    Raises:
        UsageError: no such loss.
    """
    from monai.losses import DiceCELoss, DiceLoss

    losses = {"dice": DiceLoss, "dice-ce": DiceCELoss}
    if name not in losses:
        raise UsageError(f"no segmentation loss is called {name!r}; choose one of {', '.join(losses)}")
    return cast(nn.Module, losses[name](softmax=True, include_background=True, batch=True))


def one_hot(labels: Tensor, n_classes: int) -> Tensor:
    """Labels (B, *space) as (B, n_classes, *space) of 0 and 1, float32."""
    return F.one_hot(labels.long(), n_classes).movedim(-1, 1).float()


def mixup(x: Tensor, y: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mix each sample with another one of the batch, image and target in one proportion (Zhang et al., ICLR 2018).

    Args:
        x: (B, C, *space).
        y: (B, n_classes, *space).
        alpha: of Beta(alpha, alpha), from which the proportion of the batch is drawn.
        rng: source of randomness.

    Returns:
        Both, mixed.
    """
    share = float(rng.beta(alpha, alpha))
    other = torch.from_numpy(rng.permutation(len(x))).to(x.device)
    return share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]
