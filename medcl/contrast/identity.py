"""COMET's trial and patient losses: windows of one id are positives (CLOCS)."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medcl.contrast.info_nce import accurate
from medcl.contrast.pairs import same


def identities(z1: Tensor, z2: Tensor, ids: dict[str, Tensor], *, temperature: float = 0.1) -> dict[str, Tensor]:
    """The trial and patient losses of several levels from one similarity matrix.

    Each view is normalised over time, per feature, and flattened to a vector of T * K. With s_ij = cos(r_i, r'_j) / temperature and E = exp(s):
    over pairs i < j of one id, mean of -log E_ij / sum_k E_ik; over pairs i > j, mean of -log E_ij / sum_k E_kj; averaged over those of the two
    that exist. Denominators hold all columns; the diagonal (two views of one sample) is no positive. COMET (Wang et al., NeurIPS 2023).

    Args:
        z1: (B, T, K) dense embedding of the first view.
        z2: (B, T, K) of the second.
        ids: {level: (B,) int64}.
        temperature: of the softmax.

    Returns:
        {level: scalar}; 0 where no two samples share an id.
    """
    with torch.autocast(z1.device.type, enabled=False):
        first, second = (F.normalize(F.normalize(accurate(z), dim=1).flatten(1), dim=1) for z in (z1, z2))
        s = first @ second.T / temperature
        by_row, by_column = s - s.logsumexp(dim=1, keepdim=True), s - s.logsumexp(dim=0, keepdim=True)
        return {level: _both_sides(by_row, by_column, same(own, own)) for level, own in ids.items()}


def _both_sides(by_row: Tensor, by_column: Tensor, positives: Tensor) -> Tensor:
    upper, lower = torch.triu(positives, diagonal=1), torch.tril(positives, diagonal=-1)
    terms = [
        torch.where(pairs, -logs, 0.0).sum() / pairs.sum().clamp(min=1)
        for logs, pairs in ((by_row, upper), (by_column, lower))
    ]
    # Upper and lower pairs exist or are missing together, since sharing an id is symmetric.
    return (terms[0] + terms[1]) / 2
