"""What the encoders see in a step and what they make of it: drawn once, encoded once, for all objectives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.core.gather import Group, encode_in_chunks, gather
from medcl.modality.spatial.encoders.unet import UNet
from medcl.modality.views import Compose, Params
from medcl.networks.encoder import pool

MOST = 2**18
"""Texts whose embeddings are kept; 400 MB at a width of 384."""

_MODES = {3: "linear", 4: "bilinear", 5: "trilinear"}


@dataclass(frozen=True)
class Wanted:
    """Which views of an input an objective looks at.

    Args:
        views: name of the input's `more_views`; empty: its `views`.
        copies: random views of each sample.
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

    def with_copies(self, copies: int) -> "Wanted":
        """The same views, of which more are drawn than are encoded."""
        return replace(self, copies=copies, encoded=self.blocks)

    def joined(self, other: "Wanted") -> "Wanted":
        """What serves both, of the same key."""
        copies = max(self.copies, other.copies)
        encoded = max(self.blocks, other.blocks)
        return replace(self, copies=copies, encoded=encoded)

    @property
    def blocks(self) -> int:
        """Views of a sample that are encoded."""
        return self.encoded or self.copies + self.original


def rows_before(count: int, like: Tensor, group: Group) -> tuple[int, int]:
    """How many samples the processes before this one have, and how many all have.

    Args:
        count: samples of this process.
        like: any tensor on its device.
        group: processes that share the batch.
    """
    if group is None:
        return 0, count
    counts = gather(torch.tensor([count], device=like.device), group)
    return int(counts[: dist.get_rank(group)].sum()), int(counts.sum())


def places(like: Tensor, group: Group) -> Tensor:
    """One id (N,) for each sample of the batch, other ones in other processes."""
    rank = 0 if group is None else dist.get_rank(group)
    return torch.arange(len(like), device=like.device) + (rank << 40)


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
    return (
        params
        if total == len(x)
        else {name: value[_own(len(x), copies, before, total)] for name, value in params.items()}
    )


def _own(n: int, copies: int, before: int, total: int) -> Tensor:
    """(copies * n,) which of the views of the batch of all processes are those of the samples of this one."""
    return (torch.arange(copies)[:, None] * total + before + torch.arange(n)).flatten()


def changed(views: Compose, x: Tensor, copies: int, generator: torch.Generator, group: Group) -> tuple[Tensor, Params]:
    """Several views of each sample of this process, with their parameters, see `draw`."""
    if group is None or not views.across:
        params = draw(views, x, copies, generator, group)
        return views.apply(x.repeat(copies, *(1,) * (x.ndim - 1)), params), params
    # What a sample takes of others may be in another process.
    before, total = rows_before(len(x), x, group)
    everyone = gather(x, group)
    params = draw(views, everyone, copies, generator, None)
    own = _own(len(x), copies, before, total)
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
    if views is None or not (len(x) or group is not None):
        repeated = x.repeat(wanted.copies, *(1,) * (x.ndim - 1)) if wanted.copies > 1 else x
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


class TextCache:
    """The pooled embeddings of texts by a locked encoder: they are the same at every step, to the rounding of a batch.

    A report is drawn again in every epoch, and a transformers model takes longer than all else in a step. Beyond `most`
    different texts, further ones are embedded anew.

    Args:
        most: texts that are kept.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._known: dict[bytes, Tensor] = {}

    def __call__(self, x: Tensor, words: Tensor, embed: Callable[[Tensor], Tensor]) -> Tensor:
        """Embed a batch of which only those texts that are new pass the encoder.

        Args:
            x: (B, L) tokens.
            words: (B, L) bool, which of them are not padding.
            embed: tokens (n, L) to pooled embeddings (n, dim).

        Returns:
            (B, dim), without a derivative.
        """
        tokens, real = x.cpu().numpy(), words.cpu().numpy()
        keys = [row[kept].tobytes() for row, kept in zip(tokens, real, strict=True)]
        first = {key: place for place, key in enumerate(keys) if key not in self._known}
        found = {}
        if first:
            with torch.no_grad():
                found = dict(zip(first, embed(x[list(first.values())]), strict=True))
            room = self.most - len(self._known)
            self._known.update(list(found.items())[:room])
        return torch.stack([found[key] if key in found else self._known[key] for key in keys])


class Seen:
    """The views of an input by one encoder; what is asked for is computed once.

    Args:
        drawn: the views.
        blocks: views of a sample that are encoded, the first ones.
        encoder: of the input.
        ids: {name: (n,)} of the samples.
        chunk: views that pass the encoder at a time; 0 is all of them.
        cache: of texts, where the encoder is locked.
        teacher: its slowly following copy, if there is one.
    """

    def __init__(
        self,
        drawn: Drawn,
        blocks: int,
        encoder: nn.Module,
        ids: Mapping[str, Tensor],
        chunk: int = 0,
        cache: TextCache | None = None,
        teacher: nn.Module | None = None,
    ) -> None:
        self.drawn, self.blocks, self.encoder, self.ids = drawn, blocks, encoder, ids
        self.n = drawn.n
        self.x = drawn.x[: blocks * drawn.n]
        self.keep = None if drawn.keep is None else drawn.keep[: blocks * drawn.n]
        self._chunk, self._cache, self._teacher = chunk, cache, teacher
        self._projected: dict[int, Tensor] = {}
        self._followed: dict[tuple[int, int], Seen] = {}

    @cached_property
    def dense(self) -> Tensor:
        """(blocks * n, P, dim)."""
        if not self.n:
            return self._nothing()[:, None]
        parts = (self.x,) if self.keep is None else (self.x, self.keep)
        with torch.set_grad_enabled(torch.is_grad_enabled() and _trains(self.encoder)):
            if isinstance(unet := getattr(self.encoder, "network", None), UNet) and "features" in self.__dict__:
                features = unet.decode(self.features)
                return cast(Tensor, cast(Any, self.encoder).output(features.flatten(2).transpose(1, 2)))
            return encode_in_chunks(self.encoder, *parts, chunk=max(self._size, 1))

    @cached_property
    def pooled(self) -> Tensor:
        """(blocks * n, dim)."""
        if not self.n:
            return self._nothing()
        if self._cache is not None:
            return self._cache(self.x, self.words, lambda x: pool(self.encoder, self.encoder(x), x))
        return pool(self.encoder, self.dense, self.x)

    @cached_property
    def features(self) -> list[Tensor]:
        """Of a U-Net the maps of its encoder, the bottleneck last."""
        unet = cast(UNet, self.encoder.network)
        with torch.set_grad_enabled(torch.is_grad_enabled() and _trains(unet.encoder)):
            return unet.encode(self.x)

    @cached_property
    def bottleneck(self) -> Tensor:
        """(blocks * n, ...) of a U-Net the map of its bottleneck, of others the pooled embedding."""
        unet = getattr(self.encoder, "network", None)
        if not isinstance(unet, UNet):
            return self.pooled
        if not len(unet.decoder):
            return encode_in_chunks(unet, self.x, chunk=max(self._size, 1))
        return self.features[-1]

    def map(self, trains_encoder: bool = True) -> Tensor:
        """(blocks * n, width, x, y[, z]): of a U-Net the map of the last block of its decoder, of others the cells.

        Args:
            trains_encoder: of a U-Net, whether what follows has a derivative with respect to its encoder.
        """
        encoder = cast(Any, self.encoder)
        if isinstance(encoder.network, UNet):
            features = self.features if trains_encoder else [one.detach() for one in self.features]
            decoded: Tensor = encoder.network.decode(features)
            return decoded
        cells = self.dense.mT
        return cells.reshape(*cells.shape[:2], *encoder.grid(self.x.shape[2:]))

    @cached_property
    def words(self) -> Tensor:
        """(blocks * n, L) bool, which tokens are no padding."""
        return cast(Tensor, cast(Any, self.encoder).keep(self.x))

    def _nothing(self) -> Tensor:
        """The embeddings of no sample, (0, dim), with a derivative of 0."""
        dim = int(cast(Any, self.encoder).config.dim)
        zero = sum(
            (one.sum() * 0 for one in self.encoder.parameters() if one.requires_grad),
            self.x.new_zeros((), dtype=torch.float32),
        )
        return zero.expand(0, dim)

    def project(self, head: nn.Module, blocks: int, source: str = "pooled") -> Tensor:
        """What a head makes of the first views, (blocks * n, ...).

        Args:
            head: shared by all objectives that pass the same one.
            blocks: number of views of a sample.
            source: `pooled`, `dense` or `bottleneck`.
        """
        if id(head) not in self._projected:
            self._projected[id(head)] = head(getattr(self, source))
        return self._projected[id(head)][: blocks * self.n]

    def followed(self, first: int, blocks: int) -> "Seen":
        """Some views by the slowly following copy of the encoder; call it without derivatives.

        Args:
            first: number of the first view.
            blocks: number of views.
        """
        assert self._teacher is not None
        if (first, blocks) not in self._followed:
            rows = slice(first * self.n, (first + blocks) * self.n)
            drawn = self.drawn
            keep = None if drawn.keep is None else drawn.keep[rows]
            part = Drawn(drawn.x[rows], keep, drawn.source, {}, drawn.views)
            self._followed[first, blocks] = Seen(part, blocks, self._teacher, self.ids)
        return self._followed[first, blocks]

    def repeated(self, name: str, blocks: int) -> Tensor:
        """(blocks * n,) ids of the first views."""
        return self.ids[name].repeat(blocks)

    @property
    def _size(self) -> int:
        return self._chunk if self._chunk and torch.is_grad_enabled() else len(self.x)


def _trains(module: nn.Module) -> bool:
    return any(one.requires_grad for one in module.parameters())


class Step:
    """A batch in one step of training.

    Args:
        seen: {(input, key of the views): views}.
        ids: {name: (B,)} of the samples.
        present: {input: (B,) bool}, which samples have it.
        generator: on the CPU, the same in all processes.
        group: processes that share the batch.
    """

    def __init__(
        self,
        seen: Mapping[tuple[str, Any], Seen],
        ids: Mapping[str, Tensor],
        present: Mapping[str, Tensor],
        generator: torch.Generator,
        group: Group,
    ) -> None:
        self._seen, self.ids, self.present = seen, ids, present
        self.generator, self.group = generator, group

    def see(self, name: str, wanted: Wanted) -> Seen:
        """The views of an input."""
        return self._seen[name, wanted.key]
