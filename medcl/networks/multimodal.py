"""Encoders of several modalities, each with a projection into the one space in which they are compared."""

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.networks.captioner import Captioner, CaptionerConfig
from medcl.networks.codes import Codes
from medcl.networks.encoder import pool
from medcl.networks.heads import ProjectionHead

REPORT = "report"
"""The side that reads tokens; all others take arrays."""


class MultimodalEncoder(nn.Module):
    """An encoder for each kind of record, and what makes their embeddings comparable.

    Each side keeps its own width; its head, a perceptron with one hidden layer and ReLU (ConVIRT) or a linear map
    (CLIP), takes it to vectors of one length and width, whose products are cosines between modalities. For a local term
    each side has a linear map besides, that takes every cell of an image, every step of a window and every word to
    such a vector.

    Args:
        sides: {kind: encoder}, of `image`, `volume`, `signal`, `report`; each returns dense embeddings, and pools them.
            None where only embeddings that were kept are looked up.
        hidden: width of the hidden layer of a head; 0 has none.
        projection: width of a projection; 0 has none: the sides are not compared with each other.
        local: width of the projection of dense embeddings; 0 has none, and the head serves for both.
        codes: number of codes of which all embeddings of the common space are mixtures, in the place of heads; 0 has
            none. See `Codes`.
        captioners: {kind: decoder of the reports of a kind}, where there are some.

    Attributes:
        sides: the encoders.
        heads: {kind: head}; empty with codes.
        codes: the codes, if there are any.
        local: {kind: linear map}; empty without a local term.
        captioners: {kind: decoder}; empty without a caption term.

    Raises:
        UsageError: a width below 0.
    """

    def __init__(
        self,
        sides: Mapping[str, nn.Module],
        hidden: int,
        projection: int,
        local: int = 0,
        codes: int = 0,
        captioners: Mapping[str, CaptionerConfig] | None = None,
    ) -> None:
        super().__init__()
        if min(projection, hidden, local, codes) < 0:
            raise UsageError(
                f"a multimodal encoder needs projection, hidden, local and codes of 0 or more, got "
                f"hidden={hidden}, projection={projection}, local={local}, codes={codes}"
            )
        self.sides = nn.ModuleDict(sides)
        widths = {kind: int(cast(Any, encoder).config.dim) for kind, encoder in sides.items()}
        layers = 2 if hidden else 1
        headed = widths if projection and not codes else {}
        self.heads = nn.ModuleDict(
            {kind: ProjectionHead(dim, hidden, projection, layers) for kind, dim in headed.items()}
        )
        self.codes = Codes(widths, codes, projection) if codes else None
        self.local = nn.ModuleDict({kind: nn.Linear(dim, local) for kind, dim in widths.items()} if local else {})
        self.captioners = nn.ModuleDict({kind: Captioner(one) for kind, one in (captioners or {}).items()})

    def encode(self, kind: str, x: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode a batch of one kind.

        Args:
            kind: of the side.
            x: (B, C, ...) float, or (B, L) tokens of reports.
            keep: (B, T) bool, time steps of a window that are not hidden.

        Returns:
            (B, P, dim) dense and (B, dim) pooled embeddings.

        Raises:
            UsageError: there is no such side, or its encoder takes another shape.
        """
        encoder = self.side(kind)
        dense: Tensor = encoder(x) if keep is None else encoder(x, keep)
        return dense, self.pool(kind, dense, x)

    def pool(self, kind: str, dense: Tensor, x: Tensor) -> Tensor:
        """Pool the dense embeddings (B, P, dim) of a batch `x` to (B, dim)."""
        return pool(self.side(kind), dense, x)

    def embed(self, kind: str, x: Tensor) -> Tensor:
        """Take a batch of one kind to vectors (B, projection) of length 1 in the common space.

        Raises:
            UsageError: as `encode` and `project`.
        """
        dense, pooled = self.encode(kind, x)
        if self.codes is None:
            return self.project(kind, pooled)
        side = cast(Any, self.side(kind))
        return F.normalize(self.codes(kind, dense, side.keep(x) if hasattr(side, "keep") else None), dim=-1)

    def project(self, kind: str, pooled: Tensor) -> Tensor:
        """Take pooled embeddings (B, dim) to vectors (B, projection) of length 1.

        Raises:
            UsageError: there is no such side, or no common space.
        """
        self.side(kind)
        if not self.heads:
            raise UsageError(f"the encoders {', '.join(self.sides)} have no common space: each embeds for itself")
        return F.normalize(self.heads[kind](pooled).float(), dim=-1)

    def project_dense(self, kind: str, dense: Tensor) -> Tensor:
        """Take dense embeddings (B, P, dim) to vectors (B, P, width) of length 1."""
        self.side(kind)
        if self.codes is not None and not self.local:
            alone = self.codes(kind, dense.flatten(0, 1)[:, None])
            return F.normalize(alone.unflatten(0, dense.shape[:2]), dim=-1)
        return F.normalize((self.local if self.local else self.heads)[kind](dense).float(), dim=-1)

    def side(self, kind: str) -> nn.Module:
        """The encoder of a kind.

        Raises:
            UsageError: there is none.
        """
        if kind not in self.sides:
            raise UsageError(f"the encoder has no side {kind!r}: it has {', '.join(self.sides) or 'none'}")
        return self.sides[kind]
