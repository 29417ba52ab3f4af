"""What the matrices of subjects differ by from their mean, for encoders with a subject layer."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Subjects(nn.Module):
    """For each patient who is trained on, what their matrix differs by from the mean of all.

    It belongs to the training alone: the run folder has the mean (`SubjectLayer`), and nothing of single patients.

    Args:
        patients: codes of those who are trained on, (P,) ascending.
        size: channels C of a matrix.
    """

    codes: Tensor

    def __init__(self, patients: NDArray[np.int64], size: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.from_numpy(np.asarray(patients, dtype=np.int64)), persistent=False)
        self.matrices = nn.Parameter(torch.zeros(len(patients), size, size))

    def forward(self, patients: Tensor) -> Tensor:
        """Of patients (B,), (B, C, C); 0 of those who are not trained on."""
        place = torch.searchsorted(self.codes, patients).clamp(max=len(self.codes) - 1)
        known = self.codes[place] == patients
        own: Tensor = self.matrices[place] - self.matrices.mean(dim=0)
        return own * known[:, None, None]


def subjects_of(encoders: Mapping[str, nn.Module], patients: NDArray[np.int64]) -> nn.ModuleDict:
    """{name: what is kept for each patient} of the encoders that have a subject layer."""
    layers = {name: getattr(encoder, "subject", None) for name, encoder in encoders.items()}
    sizes = {name: len(layer.mean) for name, layer in layers.items() if layer is not None}
    return nn.ModuleDict({name: Subjects(patients, size) for name, size in sizes.items()})
