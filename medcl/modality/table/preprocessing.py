"""What goes with an encoder of tables that is taken away."""

import numpy as np
import torch
from torch import Tensor

from medcl.modality.preprocessing import Preprocessing
from medcl.modality.table.config import TableConfig
from medcl.modality.table.encoders import TableCard


def preprocessing(spec: TableCard) -> Preprocessing:
    """See `Wing.preprocessing`."""
    config = TableConfig(**spec.data)
    classes = np.array(config.n_classes)[:, None]

    def example(rng: np.random.Generator, count: int) -> Tensor:
        """Samples (n, C, T) of numbers and codes, of which a tenth is missing."""
        shape = (count, len(classes), config.n_steps)
        x = np.where(classes > 0, rng.integers(0, np.maximum(classes, 1), shape), rng.standard_normal(shape))
        return torch.from_numpy(np.where(rng.random(shape) < 0.1, np.nan, x).astype(np.float32))

    return Preprocessing({"modality": "table", **spec.data}, __file__, example, ("variables", "steps"))
