"""What goes with an encoder of images that is taken away."""

import numpy as np
import torch
from torch import Tensor

from medcl.modality.preprocessing import Preprocessing
from medcl.modality.spec import ImageCard


def preprocessing(spec: ImageCard) -> Preprocessing:
    """See `Wing.preprocessing`."""
    data = {name: value for name, value in spec.data.items() if name != "largest"}
    channels = 3 if data["colour"] else 1
    rows, columns = data["size"]

    def example(rng: np.random.Generator, count: int) -> Tensor:
        """Images (n, C, rows, columns) of blurred noise from 0 to 1."""
        coarse = torch.from_numpy(rng.random((count, channels, 8, 8), dtype=np.float32))
        return torch.nn.functional.interpolate(coarse, (rows, columns), mode="bilinear")

    return Preprocessing({"modality": "image", **data}, __file__, example, ("channels", "rows", "columns"))
