"""Grounding: the similarity of every cell of an image with a phrase."""

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medcl.errors import UsageError
from medcl.networks.multimodal import REPORT, MultimodalEncoder


@torch.inference_mode()
def phrase_maps(encoder: MultimodalEncoder, kind: str, x: Tensor, tokens: Tensor) -> NDArray[np.float32]:
    """Cosine similarity of every cell of images with a phrase each, enlarged to the image.

    With a local projection a phrase is the mean of its words there; without one its projection, and the image's
    projection head is applied to each cell. Images are (B, C, rows, columns), as the encoder takes them, the tokens of
    their phrases (B, L).

    Returns:
        (B, rows, columns) from -1 to 1.

    Raises:
        UsageError: the side does not take images of 2 dimensions.
    """
    side = cast(Any, encoder.side(kind))
    if not hasattr(side, "grid") or x.ndim != 4:
        raise UsageError(f"grounding needs images of 2 dimensions; {kind!r} has the shape {tuple(x.shape[1:])}")
    dense, _ = encoder.encode(kind, x)
    cells = encoder.project_dense(kind, dense)
    similarity = (cells @ phrase_vectors(encoder, tokens)[..., None]).reshape(len(x), 1, *side.grid(x.shape[2:]))
    larger = F.interpolate(similarity, size=x.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    values: NDArray[np.float32] = larger.float().cpu().numpy()
    return values


def phrase_vectors(encoder: MultimodalEncoder, tokens: Tensor) -> Tensor:
    """Phrases (B, L) as vectors (B, width) of length 1 in the space of the cells."""
    if not encoder.local:
        return encoder.embed(REPORT, tokens)
    dense, _ = encoder.encode(REPORT, tokens)
    words, keep = encoder.project_dense(REPORT, dense), cast(Any, encoder.side(REPORT)).keep(tokens)
    # The mean direction is that of the sum.
    counted = torch.where(keep.any(dim=1, keepdim=True), keep, True)
    return F.normalize((words * counted[..., None]).sum(dim=1), dim=1)
