"""Whether embeddings have collapsed: dead dimensions, the gap between modalities, neighbours of one class."""

import torch
from torch import Tensor
from torch.nn import functional as F

DEAD = 0.01
"""Share of 1 / sqrt(D), the standard deviation of vectors spread over the sphere, below which a dimension is dead."""


def dead_share(z: Tensor) -> float:
    """The share of dimensions in which embeddings of length 1 hardly differ: by less than `DEAD` / sqrt(D).

    Args:
        z: (N, D) embeddings of any length.

    Returns:
        From 0 to 1; NaN for fewer than two embeddings.

    Example:
        >>> import torch
        >>> from medcl.stats.collapse import dead_share
        >>> dead_share(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.6, 0.8]])), dead_share(torch.ones(3, 2))
        (0.0, 1.0)
    """
    if len(z) < 2:
        return float("nan")
    spread = F.normalize(z.double(), dim=1).std(dim=0)
    return float((spread < DEAD / z.shape[1] ** 0.5).double().mean())


def modality_gap(a: Tensor, b: Tensor) -> float:
    """The distance between the mean unit vectors of two inputs (Liang et al., Mind the Gap, NeurIPS 2022).

    Args:
        a: (N, D) embeddings of any length.
        b: (M, D) embeddings of another input, in the same space.

    Returns:
        From 0 to 2; NaN where one input has none.

    Example:
        >>> import torch
        >>> from medcl.stats.collapse import modality_gap
        >>> modality_gap(torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.0]]))
        2.0
    """
    means = [F.normalize(one.double(), dim=1).mean(dim=0) for one in (a, b)]
    return float((means[0] - means[1]).norm())


def knn_accuracy(
    z: Tensor, classes: Tensor, patients: Tensor, bank: Tensor, bank_classes: Tensor, bank_patients: Tensor, k: int
) -> float:
    """The share of embeddings whose class is that of most of the nearest neighbours of other patients.

    Args:
        z: (N, D) embeddings.
        classes: (N,) int64; negative where unknown.
        patients: (N,) int64 ids of their patients.
        bank: (M, D) embeddings among which neighbours are found, by cosine.
        bank_classes: (M,) int64; negative where unknown.
        bank_patients: (M,) int64 ids; no neighbour is of the patient whose class it tells.
        k: number of neighbours; of equally frequent classes that of the more similar ones counts.

    Returns:
        From 0 to 1, over embeddings of known classes that have neighbours; NaN where there are none.
    """
    known, told = classes >= 0, bank_classes >= 0
    z, classes, patients = z[known], classes[known], patients[known]
    bank, bank_classes, bank_patients = bank[told], bank_classes[told], bank_patients[told]
    if not len(z) or not len(bank):
        return float("nan")
    scores = F.normalize(z.double(), dim=1) @ F.normalize(bank.double(), dim=1).T
    scores = scores.masked_fill(patients[:, None] == bank_patients[None], -torch.inf)
    nearest, places = scores.topk(min(k, len(bank)), dim=1)
    # A similarity from -1 to 1 decides only between classes of as many neighbours.
    votes = torch.where(nearest.isfinite(), 1 + nearest / (4 * k), 0.0)
    of_class = votes.new_zeros(len(z), int(max(classes.max(), bank_classes.max())) + 1)
    of_class.scatter_add_(1, bank_classes[places], votes)
    has = nearest.isfinite().any(dim=1)
    right = of_class.argmax(dim=1) == classes
    return float(right[has].double().mean()) if has.any() else float("nan")
