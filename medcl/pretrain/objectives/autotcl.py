"""AutoTCL (Zheng et al., ICLR 2024): contrast with views that a network learns to make."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from medcl.contrast.core.gather import gather, mean, own_rows, rows_before
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import same
from medcl.errors import UsageError
from medcl.pretrain.objectives.base import Objective, OneInputConfig, Parts
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.views import Wanted

WIDTH = 16


@dataclass(frozen=True)
class AutoTCLConfig(OneInputConfig):
    """A sample is an informative part and the rest; the view keeps the informative part, scaled: v = g h x.

    A small network gives for each time step h, a gate drawn from the concrete distribution, and g from 0 to 1. In one
    step the encoder learns from the view as it is, and the network from the encoder as it is:

        encoder:  InfoNCE(z_x, z_v) + neighbours InfoNCE(segment, next segment of the same sample)
        network:  MMD(z_x, z_v) + sparse relu(mean h - share) + smooth mean |h_t - h_t+1|

    with z the maxima over time, at unit length, and negatives from the other side alone. MMD, with Gaussian kernels of
    the widths 0.5, 1 and 2 times the mean distance, keeps in the view what the encoder tells; the second term makes the
    gate choose. Gates are stretched to [-stretch, 1 + stretch] and cut off at 0 and 1, so that some are exactly so.

    With `adversarial` the first term of the network is - InfoNCE(z_x, z_v) instead: the view is to be as hard to know
    again as its other terms allow.

    The released code alternates between whole passes; its local term looks at the first sample of a batch alone, here
    at all of them.

    Args:
        of: the input, a signal, without random views.
        temperature: of both softmaxes of the encoder.
        neighbours: weight of the local term; 0 leaves it out.
        segments: number of segments of a sample.
        share: of the time steps that may be kept without a price.
        sparse: weight of what is kept beyond.
        smooth: weight of changes from step to step.
        sharpness: temperature of the concrete distribution.
        stretch: see above.
        adversarial: whether the network works against the encoder, in the place of MMD.
    """

    kind: str = "autotcl"
    temperature: float = 1.0
    neighbours: float = 0.3
    segments: int = 16
    share: float = 0.4
    sparse: float = 1.0
    smooth: float = 0.1
    sharpness: float = 0.5
    stretch: float = 0.1
    adversarial: bool = False
    chunks: ClassVar[bool] = False
    ranges: ClassVar = {"above 0": ("temperature", "sharpness"), "from 0 to 1": ("share", "stretch")}

    @property
    def losses(self) -> dict[str, float]:
        """Of the encoder, and of the network that makes the views."""
        local = {"neighbours": self.neighbours} if self.neighbours else {}
        return {"views": 1.0} | local | {"distance": 1.0, "kept": self.sparse, "changes": self.smooth}

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse other modalities, and too few segments."""
        super().check(where, recipe)
        if self.neighbours and self.segments < 3:
            raise UsageError(f"{where}.segments: 3 or more, so that a next segment has negatives")
        if min(self.neighbours, self.sparse, self.smooth) < 0:
            raise UsageError(f"{where}: neighbours, sparse and smooth are weights, 0 or more")


class AutoTCL(Objective):
    """See `AutoTCLConfig`."""

    Config = AutoTCLConfig
    config: AutoTCLConfig

    def __init__(self, config: AutoTCLConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        size = parts.sizes[config.of]
        if len(size) != 2:
            raise UsageError(f"objectives.{parts.name}.of: {config.of} is no signal, whose time steps are gated")
        layers = [
            nn.Sequential(nn.Conv1d(width, WIDTH, 3, padding=dilation, dilation=dilation), nn.GELU())
            for width, dilation in ((size[0], 1), (WIDTH, 2), (WIDTH, 4))
        ]
        self.network = nn.Sequential(*layers, nn.Conv1d(WIDTH, 2, 1))

    @property
    def wanted(self) -> dict[str, Wanted]:
        """Each sample as it is."""
        return {self.config.of: Wanted(copies=1)}

    def gates(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """What of samples (n, C, T) is kept, h, and how much, g, (n, 1, T) each from 0 to 1.

        Args:
            x: samples.
            noise: (n, 1, T) uniform between 0 and 1; 0.5 gives the most probable gate.
        """
        informative, scale = self.network(x).chunk(2, dim=1)
        noise = noise.clamp(1e-6, 1 - 1e-6)
        soft = torch.sigmoid((noise.logit() + informative) / self.config.sharpness)
        stretch = self.config.stretch
        return (soft * (1 + 2 * stretch) - stretch).clamp(0, 1), torch.sigmoid(scale)

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The losses of both."""
        config = self.config
        seen = step.see(config.of, self.wanted[config.of])
        x, encoder, group = seen.x, seen.encoder, step.group
        before, total = rows_before(len(x), x, group)
        noise = torch.rand(total, 1, x.shape[2], generator=step.generator).to(x.device)
        h, g = self.gates(x, noise[own_rows(len(x), 1, before, total)])
        view = g * h * x

        dense = seen.dense.float()
        z, changed = (F.normalize(one.amax(dim=1), dim=1) for one in (dense, encoder(view.detach()).float()))
        ids = torch.arange(len(x), device=x.device) + before
        losses = {"views": info_nce(z, changed, same(ids, ids), temperature=config.temperature, group=group)}
        if config.neighbours:
            losses["neighbours"] = self._neighbours(dense, step)
        with _still(encoder):
            frozen = {name: one.detach() for name, one in encoder.named_parameters()}
            teacher = functional_call(encoder, frozen, (view,)).float().amax(dim=1)
            source = encoder(x).detach().float().amax(dim=1)
        kept = h.mean(dim=(1, 2))
        count = torch.tensor(float(len(x)), device=x.device)
        changes = (h[..., 1:] - h[..., :-1]).abs().mean(dim=(1, 2)) if h.shape[2] > 1 else kept * 0
        of_sample, of_view = F.normalize(source, dim=1), F.normalize(teacher, dim=1)
        if config.adversarial:
            known = info_nce(of_sample, of_view, same(ids, ids), temperature=config.temperature, group=group)
            losses["distance"] = -known
        else:
            losses["distance"] = mmd(gather(of_sample, group), gather(of_view, group))
        losses["kept"] = F.relu(gather(kept, group).mean() - config.share)
        losses["changes"] = mean(changes.sum(), count, group)
        return losses

    def _neighbours(self, dense: Tensor, step: Step) -> Tensor:
        """How well a segment of a sample is told from the others as the next one of another."""
        parts = F.normalize(F.adaptive_max_pool1d(dense.mT, min(self.config.segments, dense.shape[1])).mT, dim=-1)
        number = parts.shape[1]
        if number < 3:
            return dense.sum() * 0
        logits = (parts @ parts.mT / self.config.temperature).masked_fill(
            torch.eye(number, dtype=torch.bool, device=dense.device), -torch.inf
        )[:, :-1]
        target = torch.arange(1, number, device=dense.device).expand(len(parts), -1)
        apart = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="sum")
        return mean(apart, torch.tensor(float(target.numel()), device=dense.device), step.group)


@contextmanager
def _still(encoder: nn.Module) -> Iterator[None]:
    """An encoder without dropout, for as long as it teaches."""
    before = encoder.training
    encoder.eval()
    try:
        yield
    finally:
        encoder.train(before)


def mmd(a: Tensor, b: Tensor) -> Tensor:
    """The squared maximum mean discrepancy of two sets of embeddings, (n, D) and (m, D).

    mean k(a, a') + mean k(b, b') - 2 mean k(a, b) with k the mean of three Gaussian kernels, whose widths are 0.5, 1
    and 2 times the mean distance of all embeddings; no derivative goes through the widths. It is 0 for equal sets.
    """
    both = torch.cat([a, b])
    squares = (both[:, None] - both[None]).square().sum(dim=-1)
    width = squares.detach().mean().clamp(min=1e-6)
    kernels = torch.stack([torch.exp(-squares / (2 * factor**2 * width)) for factor in (0.5, 1.0, 2.0)]).mean(dim=0)
    first, second = slice(0, len(a)), slice(len(a), None)
    within = kernels[first, first].mean() + kernels[second, second].mean()
    return within - 2 * kernels[first, second].mean()
