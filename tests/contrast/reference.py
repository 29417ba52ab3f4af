"""The losses as written in the formulas: nested loops in float64, one similarity at a time."""

import torch
from torch import Tensor


def observation(z1: Tensor, z2: Tensor) -> Tensor:
    B, T, _ = z1.shape
    terms = []
    for r, other in ((z1, z2), (z2, z1)):
        for i in range(B):
            for t in range(T):
                total = sum(torch.exp(r[i, t] @ other[i, s]) for s in range(T))
                total = total + sum(torch.exp(r[i, t] @ r[i, s]) for s in range(T) if s != t)
                terms.append(-torch.log(torch.exp(r[i, t] @ other[i, t]) / total))
    return torch.stack(terms).mean() if T > 1 else (z1.sum() + z2.sum()) * 0


def sample(z1: Tensor, z2: Tensor) -> Tensor:
    B, T, _ = z1.shape
    terms = []
    for r, other in ((z1, z2), (z2, z1)):
        for i in range(B):
            for t in range(T):
                total = sum(torch.exp(r[i, t] @ other[j, t]) for j in range(B))
                total = total + sum(torch.exp(r[i, t] @ r[j, t]) for j in range(B) if j != i)
                terms.append(-torch.log(torch.exp(r[i, t] @ other[i, t]) / total))
    return torch.stack(terms).mean() if B > 1 else (z1.sum() + z2.sum()) * 0


def hierarchical(z1: Tensor, z2: Tensor) -> dict[str, Tensor]:
    totals = {"sample": (z1.sum() + z2.sum()) * 0, "observation": (z1.sum() + z2.sum()) * 0}
    scales = 0
    while z1.shape[1] > 1:
        totals["sample"] = totals["sample"] + sample(z1, z2)
        totals["observation"] = totals["observation"] + observation(z1, z2)
        half = z1.shape[1] // 2
        z1, z2 = (torch.stack([z[:, 2 * t : 2 * t + 2].amax(dim=1) for t in range(half)], dim=1) for z in (z1, z2))
        scales += 1
    return {level: total / max(1, scales) for level, total in totals.items()}


def identity(z1: Tensor, z2: Tensor, ids: list[int], temperature: float) -> Tensor:
    B = len(ids)
    flat = []
    for z in (z1, z2):
        norm = z.pow(2).sum(dim=1, keepdim=True).sqrt()
        flat.append((z / norm).permute(0, 2, 1).reshape(B, -1))
    s = [
        [flat[0][i] @ flat[1][j] / (flat[0][i].norm() * flat[1][j].norm()) / temperature for j in range(B)]
        for i in range(B)
    ]
    upper, lower = [], []
    for i in range(B):
        for j in range(B):
            if ids[i] == ids[j] and i < j:
                upper.append(-torch.log(torch.exp(s[i][j]) / sum(torch.exp(s[i][k]) for k in range(B))))
            if ids[i] == ids[j] and i > j:
                lower.append(-torch.log(torch.exp(s[i][j]) / sum(torch.exp(s[k][j]) for k in range(B))))
    parts = [torch.stack(part).mean() for part in (upper, lower) if part]
    return sum(parts) / len(parts) if parts else (z1.sum() + z2.sum()) * 0


def info_nce(a: Tensor, b: Tensor, positives: Tensor, exclude: Tensor, temperature: float) -> Tensor:
    rows = []
    for i in range(len(a)):
        s = [a[i] @ b[j] / (a[i].norm() * b[j].norm()) / temperature for j in range(len(b))]
        total = sum(torch.exp(s[j]) for j in range(len(b)) if not exclude[i, j])
        own = [j for j in range(len(b)) if positives[i, j] and not exclude[i, j]]
        if own:
            rows.append(-sum(torch.log(torch.exp(s[j]) / total) for j in own) / len(own))
    return torch.stack(rows).mean() if rows else (a.sum() + b.sum()) * 0
