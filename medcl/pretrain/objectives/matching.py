"""Matching of the images of a batch between two views, by a solver that is differentiated as a black box (LVM-Med)."""

from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar, cast

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.gather import gather
from medcl.pretrain.objectives.base import HeadConfig, Objective, OneInputConfig, Parts, dim_of, projection
from medcl.pretrain.passes import Step

_FORBIDDEN = 1e3
"""Cost of a pair that is never matched, beside costs of some units."""


@dataclass(frozen=True)
class MatchingConfig(OneInputConfig):
    """The cheapest assignment of the images in one view to those in the other should give each its own.

    With z_i the embedding of image i, averaged with those of its nearest neighbours in the same view, and r_ip its
    cells, all at unit length:

        c_ij = -share z_i . z'_j - (1 - share) / 2 ( mean_p max_q r_ip . r'_jq + mean_q max_p r_ip . r'_jq )

    and v the assignment that minimises the sum of v_ij c_ij, the loss is the share of images that v gives another one.
    Its derivative is that of Vlastelica et al., Differentiation of Blackbox Combinatorial Solvers (ICLR 2020), of costs
    that are higher by a margin where i = j:

        dL/dc = (v' - v) / (2 N strength),   v of c_ij + margin [i = j],   v' of these + strength (1 - 2 [i = j])

    This is the first order of Nguyen et al., LVM-Med: Learning Large-Scale Self-Supervised Vision Models for Medical
    Imaging via Second-order Graph Matching (NeurIPS 2023), whose training code is not published: costs of images,
    without those of edges, and without cells that correspond by their place. Images of the same patient are never
    matched with each other. Where `strength` is more than the costs differ by, all that is not yet matched gets a
    derivative, and its size alone changes.

    Args:
        of: the input, images or volumes.
        head: projection of the embedding of an image, and another one of its cells.
        neighbours: that are averaged with an image; 0 takes each as it is.
        share: of the embeddings in the cost, the rest is that of cells; 1 leaves cells out.
        margin: by which the right pair has to be cheaper.
        strength: of the step that the solver is asked about.
    """

    kind: str = "matching"
    head: HeadConfig = field(default_factory=HeadConfig)
    neighbours: int = 2
    share: float = 0.5
    margin: float = 0.5
    strength: float = 2.0
    chunks: ClassVar[bool] = False
    ranges: ClassVar = {"from 0 to 1": ("share",), "above 0": ("strength",), "0 or more": ("margin", "neighbours")}


class Matching(Objective):
    """See `MatchingConfig`."""

    Config = MatchingConfig
    config: MatchingConfig

    def __init__(self, config: MatchingConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        width = dim_of(parts.encoders[config.of])
        self.head = projection(config.head, width)
        if config.share < 1:
            self.local = projection(config.head, width)

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The share of images that are matched with others."""
        config, seen = self.config, step.see(self.config.of, self.wanted[self.config.of])
        first, second = (gather(z, step.group) for z in seen.project(self.head, 2).float().chunk(2))
        costs = -config.share * nearby(first, config.neighbours) @ nearby(second, config.neighbours).T
        if config.share < 1:
            cells = seen.project(self.local, 2, "dense").float()
            if not seen.n:
                cells = cells.expand(0, prod(cast(Any, seen.encoder).grid(seen.x.shape[2:])), -1)
            a, b = (F.normalize(gather(own, step.group), dim=2) for own in cells.chunk(2))
            costs = costs - (1 - config.share) * local_similarity(a, b)
        patient = gather(seen.ids["patient"], step.group)
        own = torch.eye(len(costs), dtype=torch.bool, device=costs.device)
        costs = costs.masked_fill((patient[:, None] == patient) & ~own, _FORBIDDEN)
        return {"": mismatched(costs, config.strength, config.margin)}


def nearby(z: Tensor, neighbours: int) -> Tensor:
    """(N, D) at unit length: the mean of each vector and of its nearest others."""
    z = F.normalize(z, dim=1)
    scores = (z @ z.T).detach()
    nearest = scores.fill_diagonal_(torch.inf).topk(min(neighbours + 1, len(z)), dim=1).indices
    return F.normalize(z[nearest].mean(dim=1), dim=1)


def local_similarity(a: Tensor, b: Tensor) -> Tensor:
    """(N, M) how well the cells of two images, (N, P, D) and (M, Q, D) at unit length, find one another."""
    rows = []
    for cells in a:
        scores = torch.einsum("pd,mqd->mpq", cells, b)
        rows.append((scores.amax(dim=2).mean(dim=1) + scores.amax(dim=1).mean(dim=1)) / 2)
    return torch.stack(rows) if rows else a.new_zeros(0, len(b))


def assignment(costs: Tensor) -> Tensor:
    """(N, N) of 0 and 1, one a row and column, of the least sum of costs (Hungarian algorithm)."""
    found = torch.zeros_like(costs)
    rows, columns = linear_sum_assignment(costs.detach().cpu().double().numpy())
    found[torch.from_numpy(rows), torch.from_numpy(columns)] = 1
    return found


def mismatched(costs: Tensor, strength: float, margin: float = 0.0) -> Tensor:
    """The share of rows of costs (N, N) that are not assigned to their own column, with the derivative of the solver.

    Its derivative is that of costs with the margin: there is one left where all are assigned rightly, but barely.
    """
    if not len(costs) or not bool(costs.isfinite().all()):
        return costs.sum() * (torch.nan if len(costs) else 0.0)
    own = torch.eye(len(costs), dtype=costs.dtype, device=costs.device)
    share = 1 - assignment(costs).diagonal().mean()
    chosen = assignment(costs + margin * own)
    wanted = assignment(costs + margin * own + strength * (1 - 2 * own))
    slope = (wanted - chosen) / (2 * len(costs) * strength)
    pulled = (slope * costs).sum()
    return share + pulled - pulled.detach()
