"""Embeddings of texts by an encoder that does not change, computed once."""

from collections.abc import Callable

import torch
from torch import Tensor

MOST = 2**18
"""Texts whose embeddings are kept; 400 MB at a width of 384."""


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
