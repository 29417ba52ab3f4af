"""One side of a multimodal encoder with its projection, as an encoder of records."""

from dataclasses import dataclass

from torch import Tensor, nn

from medcl.networks.multimodal import MultimodalEncoder


@dataclass(frozen=True)
class Width:
    """Of a projection, as an encoder's configuration states it."""

    dim: int


class Projected(nn.Module):
    """One side of a multimodal encoder with its head, as an encoder of records.

    Args:
        joint: the encoder.
        kind: of the side.
        projection: its width.
    """

    def __init__(self, joint: MultimodalEncoder, kind: str, projection: int) -> None:
        super().__init__()
        self.joint, self.kind, self.config = joint, kind, Width(projection)

    def embed(self, x: Tensor) -> Tensor:
        """(B, ...) to (B, projection) of length 1."""
        _, pooled = self.joint.encode(self.kind, x)
        return self.joint.project(self.kind, pooled)
