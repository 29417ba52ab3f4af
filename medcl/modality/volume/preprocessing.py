"""What goes with an encoder of volumes that is taken away."""

import numpy as np
import torch
from torch import Tensor

from medcl.modality.base import frozen
from medcl.modality.preprocessing import Preprocessing
from medcl.modality.spec import VolumeCard
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.prepare import of_patch

_LEFT_OUT = ("largest", "irregular", "nan")
"""What says which volumes of an archive are taken, and nothing of one that is."""


def preprocessing(spec: VolumeCard) -> Preprocessing:
    """See `Wing.preprocessing`."""
    data = {name: value for name, value in spec.data.items() if name not in _LEFT_OUT}
    config = VolumeConfig(**frozen(spec.data))
    size = of_patch(config.size, config)

    def example(rng: np.random.Generator, count: int) -> Tensor:
        """Patches (n, C, x, y[, z]) of blurred noise from 0 to 1."""
        coarse = torch.from_numpy(rng.random((count, spec.n_channels, *[4] * len(size)), dtype=np.float32))
        return torch.nn.functional.interpolate(coarse, size, mode="bilinear" if len(size) == 2 else "trilinear")

    return Preprocessing(
        {"modality": "volume", "of": spec.modality, **data},
        __file__,
        example,
        ("channels", *of_patch(("x", "y", "z"), config)),
    )
