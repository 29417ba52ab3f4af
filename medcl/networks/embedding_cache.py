"""Embeddings of samples by an encoder that does not change, computed once."""

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor

MOST = 2**18
"""Samples whose embeddings are kept; 400 MB at a width of 384."""


class EmbeddingCache:
    """The pooled embeddings of samples by a locked encoder: the same at every step, to the rounding of a batch.

    A report is drawn again in every epoch, and so is an image without random views; a transformers model or an encoder
    of images takes longer than all else in a step (LiT, Zhai et al., CVPR 2022). Beyond `most` different samples,
    further ones are embedded anew.

    Args:
        most: samples that are kept.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._known: dict[bytes, Tensor] = {}

    def __call__(self, x: Tensor, words: Tensor | None, embed: Callable[[Tensor], Tensor]) -> Tensor:
        """Embed a batch of which only those samples that are new pass the encoder.

        Args:
            x: (B, L) tokens, or (B, ...) samples of any kind.
            words: (B, L) bool, which tokens are not padding; None of other samples.
            embed: samples (n, ...) to pooled embeddings (n, dim).

        Returns:
            (B, dim), without a derivative.
        """
        if words is None:
            # By content: a sample takes thousands of bytes, and the same row may be cut elsewhere.
            keys = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in x.cpu().contiguous().numpy()]
        else:
            tokens, real = x.cpu().numpy(), words.cpu().numpy()
            keys = [row[kept].tobytes() for row, kept in zip(tokens, real, strict=True)]
        first = {key: place for place, key in enumerate(keys) if key not in self._known}
        found = {}
        if first:
            with torch.no_grad():
                if words is None:
                    # One by one: the rounding of a convolution depends on the batch, and a run that goes on has others.
                    found = {key: embed(x[place : place + 1])[0] for key, place in first.items()}
                else:
                    found = dict(zip(first, embed(x[list(first.values())]), strict=True))
            room = self.most - len(self._known)
            self._known.update(list(found.items())[:room])
        return torch.stack([found[key] if key in found else self._known[key] for key in keys])
