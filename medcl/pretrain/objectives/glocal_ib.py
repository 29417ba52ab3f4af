"""Glocal-IB (NeurIPS 2025): fill in what is missing, from an embedding that is that of the complete series."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.core.gather import mean
from medcl.errors import UsageError
from medcl.pretrain.objectives.base import Objective, OneViewedConfig, Parts, dim_of
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.views import Wanted


@dataclass(frozen=True)
class GlocalIBConfig(OneViewedConfig):
    """Imputation, with the embeddings of a masked and of the more complete series aligned.

        L = MSE(observed) + MSE(removed) + align mean over positions (1 - cos(P(z_masked), sg z_complete))

    The views of the input remove values: `value_dropout` or `variable_dropout` of a table, `mask` of a signal or a
    table. `removed` in the metrics is the mean squared error of imputation of values that the view removed, in units
    of the scaled values. Values that were never measured count nowhere; complete is the sample as it is. `contrast`
    takes in the place of the cosine the cross-entropy of z_masked,t . z_complete,s over the positions s of the sample.

    The released code takes the cosine over time where embeddings have one, here it is over features.

    Args:
        of: the input: a table, or a signal.
        views: name of `more_views` of the input, which remove values; empty takes its `views`.
        align: weight of the alignment; 0 leaves it out.
        by: `cosine` or `contrast`.
    """

    kind: str = "glocal-ib"
    align: float = 1.0
    by: Literal["cosine", "contrast"] = "cosine"
    chunks: ClassVar[bool] = False

    @property
    def losses(self) -> dict[str, float]:
        """Errors of imputation, and the alignment where there is one."""
        return {"observed": 1.0, "removed": 1.0} | ({"align": self.align} if self.align else {})

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse a negative weight."""
        super().check(where, recipe)
        if self.align < 0:
            raise UsageError(f"{where}.align: {self.align:g} is negative")


class GlocalIB(Objective):
    """See `GlocalIBConfig`."""

    Config = GlocalIBConfig
    config: GlocalIBConfig

    def __init__(self, config: GlocalIBConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        encoder, dim = parts.encoders[config.of], dim_of(parts.encoders[config.of])
        # Categories are no numbers to impute.
        self.numbers = list(getattr(encoder, "numbers", range(parts.sizes[config.of][0])))
        if not self.numbers:
            raise UsageError(f"objectives.{parts.name}: {config.of} has categories alone, and no number to impute")
        self.values = nn.Linear(dim, len(self.numbers))
        if config.align:
            self.projection = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))

    @property
    def wanted(self) -> dict[str, Wanted]:
        """Each sample as it is, and with values removed."""
        return {self.config.of: Wanted(self.config.views, copies=1, original=True)}

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The losses."""
        seen = step.see(self.config.of, self.wanted[self.config.of])
        whole, masked = seen.dense.chunk(2)
        found = F.interpolate(self.values(masked.float()).mT, seen.drawn.source.shape[2])
        x, view = (one[:, self.numbers].float() for one in (seen.drawn.source, seen.x[seen.n :]))
        known = ~x.isnan()
        visible = known & ~view.isnan()
        if seen.keep is not None:
            visible &= seen.keep[seen.n :, None]
        error = (found - x.nan_to_num()).square()
        losses = {
            name: mean((error * where).sum(), where.sum().to(error), step.group)
            for name, where in (("observed", visible), ("removed", known & ~visible))
        }
        if self.config.align:
            losses["align"] = self._align(self.projection(masked.float()), whole.detach().float(), step)
        return losses

    def _align(self, masked: Tensor, whole: Tensor, step: Step) -> Tensor:
        """How far embeddings (n, P, D) of the masked series are from those of the whole one."""
        a, b = F.normalize(masked, dim=-1), F.normalize(whole, dim=-1)
        if self.config.by == "contrast":
            place = torch.arange(a.shape[1], device=a.device).expand(a.shape[:2])
            apart = F.cross_entropy((a @ b.mT).flatten(0, 1), place.flatten(), reduction="sum")
        else:
            apart = (1 - (a * b).sum(dim=-1)).sum()
        return mean(apart, torch.tensor(float(a.shape[:2].numel()), device=a.device), step.group)
