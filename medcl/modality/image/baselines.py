"""What an encoder of images has to beat: coarse pixels."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medcl.modality.baselines import Baseline, Fixed, Floats
from medcl.modality.image.config import ImageConfig

SIDE = 16


def pixels(x: Tensor) -> Floats:
    """Means over 16 x 16 cells of images (B, C, rows, columns), (B, C * 256)."""
    means: Floats = torch.flatten(F.adaptive_avg_pool2d(x, SIDE), 1).double().numpy()
    return means


def baselines(config: ImageConfig) -> dict[str, Baseline]:
    """See `Wing.baselines`."""
    return {"pixels": Fixed(f"{SIDE} x {SIDE} pixels", pixels)}
