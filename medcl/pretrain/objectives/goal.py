"""Parts of images with sentences of their reports, whose embeddings the cells and words of the whole take on (GOAL)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.gather import mean
from medcl.contrast.losses.clip import clip
from medcl.contrast.pairings.pairs import same
from medcl.errors import UsageError
from medcl.modality.report.rewriting import SentenceTokens
from medcl.networks.encoder import pool
from medcl.pretrain.objectives.base import Parts
from medcl.pretrain.objectives.contrast import LateContrast
from medcl.pretrain.objectives.contrast_config import ContrastConfig
from medcl.pretrain.objectives.positives import ITEM
from medcl.pretrain.passes import Seen, Step
from medcl.pretrain.recipe import Recipe

unit = partial(F.normalize, dim=-1)
_ENLARGED = {1: "linear", 2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True)
class GoalConfig(ContrastConfig):
    """One part of each image with one sentence of its report, encoded alone and as seen in the whole.

    An image is cut into `grid` equal parts along each axis; a part is enlarged to the size of the image. Of all parts,
    the whole image, and all sentences, the pair with the highest cosine for the current encoders is taken: c of the
    part and s of the sentence, each encoded alone and projected. With C the projected mean of the whole image's cells
    in that part, and S that of the whole report's words of that sentence,

        contrast   CLIP of c with s; equal sentences of other reports are positives
        image      mean (1 - cos(C, c))^2
        report     mean (1 - cos(S, s))^2

    without stopped gradients: Choi, Jang and Eom, GOAL: Global-local Object Alignment Learning (CVPR 2025), to be put
    beside a CLIP of whole images and reports whose `head` it shares. The paper takes segments of SAM, matched once by a
    finished CLIP; its released code scales boxes by the size of the crop in the place of that of the image.

    Args:
        grid: parts along each axis.
        contrast: weight of the term.
        image: weight of the term.
        report: weight of the term.
        most: sentences of a report, the first ones.
    """

    kind: str = "goal"
    grid: int = 2
    contrast: float = 0.5
    image: float = 1.0
    report: float = 1.0
    most: int = 16
    chunks: ClassVar[bool] = False
    ranges: ClassVar = {**ContrastConfig.ranges, "0 or more": ("contrast", "image", "report")}

    @property
    def losses(self) -> dict[str, float]:
        """The three terms."""
        return {"contrast": self.contrast, "image": self.image, "report": self.report}

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse what is not between a record and a report."""
        super().check(where, recipe)
        texts = [name for name in self.between if hasattr(recipe.inputs[name].data, "sections")]
        plain = self.positives == ITEM and not (self.loss or self.within or self.dense or self.negatives.queue)
        if len(self.between) != 2 or texts != [self.between[1]] or not plain:
            raise UsageError(
                f"{where}: goal is between images or volumes and their reports, in this order, without positives, "
                "within, loss, dense or queue"
            )
        if min(self.grid, self.most) < 1:
            raise UsageError(f"{where}: grid and most are 1 or more, got grid={self.grid}, most={self.most}")


class Goal(LateContrast):
    """See `GoalConfig`."""

    Config = GoalConfig
    config: GoalConfig
    cells: Tensor

    def __init__(self, config: GoalConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        encoders: Any = [parts.encoders[name] for name in config.between]
        image, report = encoders
        shape, where = parts.sizes[config.between[0]][1:], f"objectives.{parts.name}"
        if not hasattr(image, "grid"):
            raise UsageError(f"{where}: {config.between[0]} has no map of cells; goal takes images or volumes")
        self._sentences = SentenceTokens(report.tokenizer, config.most)
        self.boxes = boxes(shape, config.grid)
        map_shape = image.grid(shape)
        cells = torch.zeros(len(self.boxes), *map_shape)
        for own, box in zip(cells, boxes(map_shape, config.grid), strict=True):
            own[box] = 1
        if not cells.flatten(1).any(dim=1).all():
            raise UsageError(
                f"{where}.grid: a map of {' x '.join(map(str, map_shape))} cells has no {config.grid} parts along each "
                "axis; take a smaller grid or an encoder with a smaller stride"
            )
        self.register_buffer("cells", cells.flatten(1), persistent=False)

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The three losses."""
        first, second = (step.see(name, self.wanted[name]) for name in self.names)
        numbers, codes = self._sentences(second.x)
        # Samples that have an image, and a report with a sentence, by their places on both sides.
        says = torch.zeros_like(step.present[self.names[1]])
        says[step.present[self.names[1]]] = codes[:, 0] >= 0
        a, b = ((step.present[self.names[0]] & says)[step.present[name]] for name in self.names)
        alone = self._project(1, second.pooled_of(self._sentences.alone(second.x)))
        every = alone.new_zeros(*codes.shape, alone.shape[1]).index_put((*(codes >= 0).nonzero().T,), alone)[b]
        numbers, codes, x = numbers[b], codes[b], first.x[a]

        crops = torch.stack([enlarged(x, box) for box in self.boxes], dim=1)  # (n, G, C, ...)
        with torch.no_grad():
            parts = torch.unflatten(self._embed(first, crops.flatten(0, 1)), 0, crops.shape[:2])
            cosines = torch.einsum("ngd,nsd->ngs", unit(parts), unit(every))
            best = cosines.masked_fill(codes[:, None] < 0, -torch.inf).flatten(1).argmax(dim=1)
        part, said = best // codes.shape[1], best % codes.shape[1]
        rows = torch.arange(len(x), device=x.device)
        c, s, code = self._embed(first, crops[rows, part]), every[rows, said], codes[rows, said]
        seen = self._project(0, averaged(first.dense[a], self.cells[part]))
        read = self._project(1, averaged(second.dense[b], (numbers == said[:, None]).float()))

        pairing = same(code)
        for level in self.config.exclude:
            pairing = pairing.without(same(first.ids[level][a], second.ids[level][b]).but(pairing))
        number = torch.tensor(float(len(x)), device=x.device)
        return {
            "contrast": clip(unit(c), unit(s), pairing, temperature=self.temperature(), group=step.group),
            "image": mean(_apart(seen, c), number, step.group),
            "report": mean(_apart(read, s), number, step.group),
        }

    def _project(self, side: int, pooled: Tensor) -> Tensor:
        z: Tensor = self.head(self.names[side])(pooled)
        return z.float()

    def _embed(self, seen: Seen, x: Tensor) -> Tensor:
        """(n, width) of images (n, C, ...)."""
        pooled = pool(seen.encoder, seen.encoder(x), x) if len(x) else seen.pooled[:0]
        return self._project(0, pooled)


def boxes(shape: Sequence[int], grid: int) -> list[tuple[slice, ...]]:
    """The whole of an array of a shape, and its parts, `grid` along each axis, the last axis fastest."""
    cuts = [[slice(length * n // grid, length * (n + 1) // grid) for n in range(grid)] for length in shape]
    return [tuple(slice(0, length) for length in shape), *product(*cuts)]


def enlarged(x: Tensor, box: tuple[slice, ...]) -> Tensor:
    """A part of images (n, C, ...), enlarged to their size."""
    size, own = x.shape[2:], (slice(None), slice(None), *box)
    return F.interpolate(x[own], size=size, mode=_ENLARGED[len(size)], align_corners=False)


def averaged(dense: Tensor, inside: Tensor) -> Tensor:
    """(n, dim), the mean of (n, P, dim) over the positions (n, P) that are inside."""
    share = inside / inside.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.einsum("np,npd->nd", share.to(dense), dense)


def _apart(a: Tensor, b: Tensor) -> Tensor:
    """Sum of the squares of 1 less the cosine."""
    return (1 - (unit(a) * unit(b)).sum(dim=1)).square().sum()
