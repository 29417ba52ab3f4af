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
def phrase_map(encoder: MultimodalEncoder, kind: str, x: Tensor, tokens: Tensor) -> NDArray[np.float32]:
    """Cosine similarity of every cell of an image with a phrase, enlarged to the image.

    With a local projection the phrase is the mean of its words there; without one its projection, and the image's
    projection head is applied to each cell. The image is (C, rows, columns), as the encoder takes it, the tokens (L,).

    Returns:
        (rows, columns) from -1 to 1.

    Raises:
        UsageError: the side does not take images of 2 dimensions.
    """
    side = cast(Any, encoder.side(kind))
    if not hasattr(side, "grid") or x.ndim != 3:
        raise UsageError(f"grounding needs images of 2 dimensions; {kind!r} has the shape {tuple(x.shape)}")
    dense, _ = encoder.encode(kind, x[None])
    cells = encoder.project_dense(kind, dense)[0]
    similarity = (cells @ phrase_vector(encoder, tokens)).reshape(side.grid(x.shape[1:]))
    size = (int(x.shape[1]), int(x.shape[2]))
    larger = F.interpolate(similarity[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    values: NDArray[np.float32] = larger.float().cpu().numpy()
    return values


def phrase_vector(encoder: MultimodalEncoder, tokens: Tensor) -> Tensor:
    """The phrase (L,) as a vector of length 1 in the space of the cells."""
    if not encoder.local:
        return encoder.embed(REPORT, tokens[None])[0]
    dense, _ = encoder.encode(REPORT, tokens[None])
    words = encoder.project_dense(REPORT, dense)[0]
    keep = cast(Any, encoder.side(REPORT)).keep(tokens[None])[0]
    return F.normalize(words[keep].mean(0) if keep.any() else words.mean(0), dim=0)
