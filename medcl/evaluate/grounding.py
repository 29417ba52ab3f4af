"""Where in a picture a phrase is: the similarity of every cell with it, drawn over the picture."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medcl.errors import UsageError
from medcl.networks.joint import REPORT, JointEncoder
from medcl.show.pictures import grey

CIVIDIS = ((0, 34, 78), (59, 73, 108), (124, 123, 120), (187, 174, 107), (254, 232, 56))
"""From low to high: blue, grey, yellow. Lightness grows evenly, so that it reads the same to the colour-blind and in
print (Nuñez, Anderton and Renslow, 2018)."""
OPACITY = 0.5


@torch.inference_mode()
def phrase_map(encoder: JointEncoder, kind: str, x: Tensor, tokens: Tensor) -> NDArray[np.float32]:
    """Cosine similarity of every cell of a picture with a phrase, enlarged to the picture.

    With a local projection the phrase is the mean of its words there; without one its projection, and the picture's
    projection head serves for each cell.

    Args:
        encoder: in evaluation mode.
        kind: side of the picture; its encoder is one of 2 dimensions.
        x: (C, rows, columns), as the encoder takes it.
        tokens: (L,) of the phrase.

    Returns:
        (rows, columns) from -1 to 1.

    Raises:
        UsageError: the side takes no pictures.
    """
    side = cast(Any, encoder.side(kind))
    if not hasattr(side, "grid") or x.ndim != 3:
        raise UsageError(f"grounding draws over pictures of 2 dimensions; {kind!r} of shape {tuple(x.shape)} is none")
    dense, _ = encoder.encode(kind, x[None])
    cells = encoder.project_dense(kind, dense)[0]
    similarity = (cells @ phrase_vector(encoder, tokens)).reshape(side.grid(x.shape[1:]))
    size = (int(x.shape[1]), int(x.shape[2]))
    larger = F.interpolate(similarity[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    values: NDArray[np.float32] = larger.float().cpu().numpy()
    return values


def phrase_vector(encoder: JointEncoder, tokens: Tensor) -> Tensor:
    """The phrase (L,) as a vector of length 1 in the space of the cells."""
    dense, pooled = encoder.encode(REPORT, tokens[None])
    if not encoder.local:
        return encoder.project(REPORT, pooled)[0]
    words = encoder.project_dense(REPORT, dense)[0]
    keep = cast(Any, encoder.side(REPORT)).keep(tokens[None])[0]
    return F.normalize(words[keep].mean(0) if keep.any() else words.mean(0), dim=0)


def overlay(picture: NDArray[np.float32], similarity: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A map over a picture: the lowest value of the map dark blue, the highest yellow.

    Args:
        picture: (C, rows, columns) from 0 to 1; one channel or three.
        similarity: (rows, columns).

    Returns:
        (rows, columns, 3).
    """
    low, high = float(similarity.min()), float(similarity.max())
    place = (similarity - low) / (high - low) if high > low else np.zeros_like(similarity)
    stops = np.linspace(0, 1, len(CIVIDIS))
    colours = np.stack([np.interp(place, stops, channel) for channel in np.array(CIVIDIS, dtype=np.float64).T], axis=2)
    return np.rint((1 - OPACITY) * grey(picture).astype(np.float64) + OPACITY * colours).astype(np.uint8)


def file_name(record_id: str, words: Sequence[str] = ()) -> str:
    """A file name of a record id, which is a code or public, and of words; nothing that a path could be made of."""
    parts = ["".join(c if c.isalnum() else "-" for c in text).strip("-") for text in (*words, record_id)]
    return "_".join(part for part in parts if part)[:120] + ".png"
