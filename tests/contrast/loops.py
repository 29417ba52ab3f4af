"""The losses written as loops over every pair, straight from the formulas: slow, float64, and differentiable."""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor


def mean(terms: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(terms)).mean() if terms else torch.zeros((), dtype=torch.float64, requires_grad=True)


def observation(z1: Tensor, z2: Tensor) -> Tensor:
    samples, steps, _ = z1.shape
    terms = []
    for r, other in ((z1, z2), (z2, z1)):
        for i, t in product(range(samples), range(steps)):
            across = [torch.exp(r[i, t] @ other[i, s]) for s in range(steps)]
            within = [torch.exp(r[i, t] @ r[i, s]) for s in range(steps) if s != t]
            terms.append(-torch.log(across[t] / sum(across + within)))
    return mean(terms)


def sample(z1: Tensor, z2: Tensor) -> Tensor:
    samples, steps, _ = z1.shape
    terms = []
    for r, other in ((z1, z2), (z2, z1)):
        for i, t in product(range(samples), range(steps)):
            across = [torch.exp(r[i, t] @ other[j, t]) for j in range(samples)]
            within = [torch.exp(r[i, t] @ r[j, t]) for j in range(samples) if j != i]
            terms.append(-torch.log(across[i] / sum(across + within)))
    return mean(terms)


def hierarchical(z1: Tensor, z2: Tensor, level: str) -> Tensor:
    loss = {"observation": observation, "sample": sample}[level]
    scales = []
    while z1.shape[1] > 1:
        scales.append(loss(z1, z2))
        z1, z2 = (torch.stack([z[:, t : t + 2].amax(1) for t in range(0, z.shape[1] - 1, 2)], 1) for z in (z1, z2))
    return mean(scales)


def identity(z1: Tensor, z2: Tensor, ids: Tensor, temperature: float, *, diagonal: bool) -> Tensor:
    if z1.ndim == 3:
        z1, z2 = ((z / z.pow(2).sum(dim=1, keepdim=True).sqrt()).flatten(1) for z in (z1, z2))
    samples = range(len(ids))
    e = {
        (i, j): torch.exp(z1[i] @ z2[j] / (z1[i] @ z1[i]).sqrt() / (z2[j] @ z2[j]).sqrt() / temperature)
        for i, j in product(samples, samples)
    }
    upper, lower, rows, columns = [], [], [], []
    for i, j in product(samples, samples):
        in_row = -torch.log(e[i, j] / sum(e[i, k] for k in samples))
        in_column = -torch.log(e[i, j] / sum(e[k, j] for k in samples))
        if i == j:
            rows.append(in_row)
            columns.append(in_column)
        elif ids[i] == ids[j]:
            (upper if i < j else lower).append(in_row if i < j else in_column)
    terms = [upper, lower, rows, columns] if diagonal else [upper, lower]
    return mean([mean(term) for term in terms if term])


def info_nce(
    a: Tensor,
    b: Tensor,
    positives: Tensor,
    temperature: float,
    exclude: Tensor,
    *,
    similarity: str,
    log: str,
) -> Tensor:
    if similarity == "cosine":
        a, b = (x / x.pow(2).sum(dim=1, keepdim=True).sqrt() for x in (a, b))
    terms = []
    for i in range(len(a)):
        allowed = [j for j in range(len(b)) if not exclude[i, j]]
        e = {j: torch.exp(a[i] @ b[j] / temperature) for j in allowed}
        pulled = [e[p] / sum(e.values()) for p in allowed if positives[i, p]]
        if pulled:
            terms.append(-torch.log(mean(pulled)) if log == "inside" else mean([-torch.log(p) for p in pulled]))
    return mean(terms)
