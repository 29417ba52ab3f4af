"""What the encoders see in a step and what they make of it: drawn once, encoded once, for all objectives."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn

from medcl.contrast.core.gather import Group, encode_in_chunks
from medcl.modality.spatial.encoders.unet import UNet
from medcl.networks.embedding_cache import EmbeddingCache
from medcl.networks.encoder import pool
from medcl.pretrain.views import Drawn, Wanted


@dataclass(eq=False)
class Seen:
    """The views of an input by one encoder; what is asked for is computed once.

    Args:
        drawn: the views.
        blocks: views of a sample that are encoded, the first ones.
        encoder: of the input.
        ids: {name: (n,)} of the samples.
        chunk: views that pass the encoder at a time; 0 is all of them.
        cache: of embeddings, where the encoder is locked.
        teacher: its slowly following copy, if there is one.
        own: (n, C, C) of the samples, what the matrices of their patients differ by from the mean, see `SubjectLayer`.
    """

    drawn: Drawn
    blocks: int
    encoder: nn.Module
    ids: Mapping[str, Tensor]
    chunk: int = 0
    cache: EmbeddingCache | None = None
    teacher: nn.Module | None = None
    own: Tensor | None = None

    def __post_init__(self) -> None:
        self.n = self.drawn.n
        self.x = self.drawn.x[: self.blocks * self.n]
        self.keep = None if self.drawn.keep is None else self.drawn.keep[: self.blocks * self.n]
        self._projected: dict[int, Tensor] = {}
        self._followed: dict[tuple[int, int], Seen] = {}

    @cached_property
    def dense(self) -> Tensor:
        """(blocks * n, P, dim)."""
        if not self.n:
            return self._nothing()[:, None]
        own = () if self.own is None else (self.own.repeat(self.blocks, 1, 1),)
        parts = (self.x, self.keep, *own) if own or self.keep is not None else (self.x,)
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
        reads = hasattr(self.encoder, "keep")
        # What is drawn at random is new every time.
        if self.cache is not None and (reads or not (self.drawn.params or self.own is not None)):
            words = self.words if reads else None
            return self.cache(self.x, words, lambda x: pool(self.encoder, self.encoder(x), x))
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

    def by(self, encoder: nn.Module, blocks: int) -> Tensor:
        """(blocks * n, dim) of the first views by another encoder of the same input, without derivatives."""
        with torch.no_grad():
            return replace(self, blocks=blocks, encoder=encoder, cache=None, own=None).pooled

    def pooled_of(self, x: Tensor, slow: bool = False) -> Tensor:
        """Embeddings of further texts by the encoder, or by its slowly following copy; each different one once.

        Args:
            x: (M, L) token ids.
            slow: whether by the copy.

        Returns:
            (M, dim).
        """
        if not len(x):
            return self._nothing()
        encoder = cast(Any, self.teacher if slow else self.encoder)
        texts, place = torch.unique(x, dim=0, return_inverse=True)

        def embed(tokens: Tensor) -> Tensor:
            return pool(encoder, encoder(tokens), tokens)

        cached = self.cache is not None and not slow
        found: Tensor = cast(Any, self.cache)(texts, encoder.keep(texts), embed) if cached else embed(texts)
        return found[place]

    def followed(self, first: int, blocks: int) -> "Seen":
        """Some views by the slowly following copy of the encoder; call it without derivatives."""
        assert self.teacher is not None
        if (first, blocks) not in self._followed:
            rows = slice(first * self.n, (first + blocks) * self.n)
            drawn = self.drawn
            keep = None if drawn.keep is None else drawn.keep[rows]
            part = Drawn(drawn.x[rows], keep, drawn.source, {}, drawn.views)
            self._followed[first, blocks] = Seen(part, blocks, self.teacher, self.ids, own=self.own)
        return self._followed[first, blocks]

    def repeated(self, name: str, blocks: int) -> Tensor:
        """(blocks * n,) ids of the first views."""
        return self.ids[name].repeat(blocks)

    @property
    def _size(self) -> int:
        return self.chunk if self.chunk and torch.is_grad_enabled() else len(self.x)


def _trains(module: nn.Module) -> bool:
    return any(one.requires_grad for one in module.parameters())


@dataclass(eq=False)
class Step:
    """A batch in one step of training.

    Args:
        seen: {(input, key of the views): views}.
        ids: {name: (B,)} of the samples.
        present: {input: (B,) bool}, which samples have it.
        generator: on the CPU, the same in all processes.
        group: processes that share the batch.
    """

    seen: Mapping[tuple[str, Any], Seen]
    ids: Mapping[str, Tensor]
    present: Mapping[str, Tensor]
    generator: torch.Generator
    group: Group

    def see(self, name: str, wanted: Wanted) -> Seen:
        """The views of an input."""
        return self.seen[name, wanted.key]
