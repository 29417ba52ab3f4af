"""A linear map of channels that is another one for each subject."""

import torch
from torch import Tensor, nn


class SubjectLayer(nn.Module):
    """Maps channels (B, C, T) by a matrix (C, C), which in training is that of the window's subject.

    Défossez et al., Decoding speech perception from non-invasive brain recordings, Nature Machine Intelligence 2023. A
    subject's matrix is written as the mean of all subjects' plus what is their own; the latter sums to 0 over subjects
    and is kept by the training (`medcl.pretrain.subjects`). So a subject who was not trained on, and after training
    everybody, gets the mean of the matrices that were learned. All begin as the identity, where the paper draws each at
    random.

    Args:
        n_channels: C.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.eye(n_channels))

    def forward(self, x: Tensor, own: Tensor | None = None) -> Tensor:
        """Map (B, C, T) to (B, C, T); `own` (B, C, C) is what the matrices of subjects differ by from the mean."""
        matrix = self.mean if own is None else self.mean + own
        return torch.matmul(matrix.to(x.dtype), x)
