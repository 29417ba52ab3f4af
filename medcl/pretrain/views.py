"""Views of samples: which ones objectives look at, and how they are drawn once for all of them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.gather import Group, gather, own_rows, rows_before
from medcl.modality.views import Compose, Params

_MODES = {3: "linear", 4: "bilinear", 5: "trilinear"}


@dataclass(frozen=True)
class Wanted:
    """Which views of an input an objective looks at.

    Args:
        views: name of the input's `more_views`; empty: its `views`.
        copies: random views of each sample; 0 where only the sample as it is is looked at.
        original: whether the samples as they are come first, before the random views.
        masked: whether time steps are hidden from the encoder, where the views hide any.
        encoded: number of views that the trained encoder encodes, the first ones; 0 is all.
        apart: name of the objective whose own draw they are; empty: drawn once for all who want the same.
        resize: share of the length along each axis to which views are resized.
    """

    views: str = ""
    copies: int = 2
    original: bool = False
    masked: bool = True
    encoded: int = 0
    apart: str = ""
    resize: float = 1.0

    @property
    def key(self) -> tuple[str, bool, bool, str, float]:
        """What two objectives must have in common to share their views."""
        return self.views, self.original, self.masked, self.apart, self.resize

    @property
    def blocks(self) -> int:
        """Views of a sample that are encoded."""
        return self.encoded or self.copies + self.original


def draw(views: Compose, x: Tensor, copies: int, generator: torch.Generator, group: Group) -> Params:
    """Draw the parameters of several views of each sample of this process, from those of the batch of all processes.

    Args:
        views: whose parameters.
        x: (N, C, ...) samples of this process.
        copies: views of each sample.
        generator: the same in all processes.
        group: processes that share the batch.

    Returns:
        Parameters of (copies * N) samples: all first views, then all second ones, and so on.
    """
    before, total = rows_before(len(x), x, group)
    like = x[:1] if len(x) else x.new_zeros(1, *x.shape[1:])
    # Drawing looks at the shape alone: nothing of this size is held.
    params = views.draw(like.expand(copies * total, *x.shape[1:]), generator)
    own = own_rows(len(x), copies, before, total)
    return params if total == len(x) else {name: value[own] for name, value in params.items()}


def changed(views: Compose, x: Tensor, copies: int, generator: torch.Generator, group: Group) -> tuple[Tensor, Params]:
    """Several views of each sample of this process, with their parameters, see `draw`."""
    if group is None or not views.across:
        params = draw(views, x, copies, generator, group)
        return views.apply(x.repeat(copies, *(1,) * (x.ndim - 1)), params), params
    # What a sample takes of others may be in another process.
    before, total = rows_before(len(x), x, group)
    everyone = gather(x, group)
    params = draw(views, everyone, copies, generator, None)
    own = own_rows(len(x), copies, before, total)
    made = views.apply(everyone.repeat(copies, *(1,) * (x.ndim - 1)), params)
    return made[own], {name: value[own] for name, value in params.items()}


def laid_out(x: Tensor) -> Tensor:
    """The same batch (B, C, ...), channels last where it is one of images."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


@dataclass(frozen=True)
class Drawn:
    """The views of one input.

    Args:
        x: (blocks * n, ...): all first views, then all second ones, and so on.
        keep: (blocks * n, T) bool, time steps that are not hidden; None hides none.
        source: (n, ...) samples as they are.
        params: of the random views.
        views: that made them; None changes nothing.
    """

    x: Tensor
    keep: Tensor | None
    source: Tensor
    params: Params
    views: Compose | None

    @property
    def n(self) -> int:
        """Samples."""
        return len(self.source)


def draw_views(x: Tensor, views: Compose | None, wanted: Wanted, generator: torch.Generator, group: Group) -> Drawn:
    """Make the views of the samples of an input.

    Args:
        x: (n, ...) samples.
        views: random changes; None changes nothing.
        wanted: which.
        generator: on the CPU, the same in all processes.
        group: processes that share the batch.
    """
    params: Params = {}
    keep = None
    if views is None or not wanted.copies or not (len(x) or group is not None):
        repeated = x.repeat(wanted.copies, *(1,) * (x.ndim - 1)) if wanted.copies != 1 else x
    else:
        repeated, params = changed(views, x, wanted.copies, generator, group)
        keep = views.keep(params) if wanted.masked else None
    if wanted.resize < 1:
        size = [max(1, round(length * wanted.resize)) for length in x.shape[2:]]
        repeated = F.interpolate(repeated, size, mode=_MODES[x.ndim], align_corners=False, antialias=x.ndim == 4)
    if wanted.original:
        repeated = torch.cat([x, repeated])
        keep = None if keep is None else torch.cat([torch.ones_like(keep[: len(x)]), keep])
    return Drawn(laid_out(repeated), keep, x, params, views)
