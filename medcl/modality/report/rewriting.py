"""What is made of texts while training goes on, when they are token ids already: opposites, and their sentences."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.report.swaps import SWAPS, swapped
from medcl.modality.report.text import sentences, text_code

T = TypeVar("T")
MOST = 2**16
"""Texts of which is known what is made of them; beyond, all is made anew."""
_LONGER = 24
"""Tokens by which a text may grow with another word."""


@dataclass
class Known(Generic[T]):
    """What a function makes of a text's ids, each computed once: reports come again in every epoch."""

    make: Callable[[list[int]], T]
    kept: dict[bytes, T] = field(default_factory=dict)

    def __call__(self, ids: Tensor) -> list[T]:
        """Of each row of (n, L)."""
        found = []
        for row in ids.cpu().numpy():
            real = row[row != 0].astype(np.int64)
            key = real.tobytes()
            if key not in self.kept:
                if len(self.kept) >= MOST:
                    self.kept.clear()
                self.kept[key] = self.make(real.tolist())
            found.append(self.kept[key])
        return found


class OppositeTexts:
    """Texts with one word exchanged, see `medcl.modality.report.swaps`.

    Args:
        tokenizer: of the encoder.
        kinds: of exchanges, of `SWAPS`.
        longest: tokens that the encoder takes at most; None for no limit.
    """

    def __init__(self, tokenizer: Tokenizer, kinds: Sequence[str] = SWAPS, longest: int | None = None) -> None:
        self._tokenizer, self._kinds, self._longest = tokenizer, tuple(kinds), longest
        self._known = Known(self._made)

    def __call__(self, ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The opposites of texts (n, L).

        Returns:
            Token ids (n, K, L'), 0 where there is none; (n, K) bool, where there is one; the numbers of the texts (n,)
            and of their opposites (n, K), equal for equal words.
        """
        found = self._known(ids)
        longest = max((len(one) for _, made in found for one, _ in made), default=1)
        tokens = np.zeros((len(found), len(self._kinds), max(longest, 1)), dtype=np.int64)
        codes = np.full(tokens.shape[:2], -1, dtype=np.int64)
        for row, (_, made) in enumerate(found):
            for kind, (one, code) in enumerate(made):
                tokens[row, kind, : len(one)], codes[row, kind] = one, code
        own = torch.tensor([code for code, _ in found], dtype=torch.int64, device=ids.device)
        there, wrong = (torch.from_numpy(one).to(ids.device) for one in (tokens, codes))
        return there, there[..., 0] != 0, own, wrong

    def _made(self, ids: list[int]) -> tuple[int, list[tuple[list[int], int]]]:
        text = self._tokenizer.decode(ids)
        length = min(len(ids) + _LONGER, self._longest or len(ids) + _LONGER)
        made: list[tuple[list[int], int]] = []
        for kind in self._kinds:
            new = swapped(text, kind)
            if new is None:
                made.append(([], -1))
            else:
                made.append((self._tokenizer.encode_many([new], max(length, 3))[0], text_code(new)))
        return text_code(text), made


class SentenceTokens:
    """The sentences of texts: which one each token is of, and each as a text of its own.

    Args:
        tokenizer: of the encoder.
        most: sentences of a text, the first ones; tokens of further ones are of none.
    """

    def __init__(self, tokenizer: Tokenizer, most: int = 16) -> None:
        self._tokenizer, self._most = tokenizer, most
        self._known = Known(self._made)

    def __call__(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The sentences of texts (n, L).

        Returns:
            (n, L) number of the sentence of each token, -1 where it is of none; and (n, `most`) the number of the words
            of each sentence, equal for equal words, -1 where a text has no further one.
        """
        found = self._known(ids)
        numbers = torch.full(ids.shape, -1, dtype=torch.int64)
        codes = torch.full((len(found), self._most), -1, dtype=torch.int64)
        for row, (places, own, _) in enumerate(found):
            numbers[row, : len(places)] = torch.tensor(places, dtype=torch.int64)
            codes[row, : len(own)] = torch.tensor(own, dtype=torch.int64)
        return numbers.to(ids.device), codes.to(ids.device)

    def alone(self, ids: Tensor) -> Tensor:
        """(M, L') token ids of the sentences of texts (n, L), each a text of its own, in their order."""
        every = [one for _, _, alone in self._known(ids) for one in alone]
        tokens = np.zeros((len(every), max(map(len, every), default=1)), dtype=np.int64)
        for row, one in enumerate(every):
            tokens[row, : len(one)] = one
        return torch.from_numpy(tokens).to(ids.device)

    def _made(self, ids: list[int]) -> tuple[list[int], list[int], list[list[int]]]:
        """A token is of the sentence in which the text up to it, decoded, ends."""
        special = set(self._tokenizer.special)
        parts = [part for part in sentences(self._tokenizer.decode(ids)) if text_code(part) >= 0]
        ends = np.cumsum([len("".join(part.split())) for part in parts])
        numbers, read = [], 0
        for place, one in enumerate(ids):
            if one in special or not parts:
                numbers.append(-1)
                continue
            # The middle of a token decides, which may begin with the space behind a sentence.
            before, read = read, len("".join(self._tokenizer.decode(ids[: place + 1]).split()))
            number = min(int(np.searchsorted(ends, (before + read) / 2)), len(parts) - 1)
            numbers.append(number if number < self._most else -1)
        parts = parts[: self._most]
        alone = self._tokenizer.encode_many(parts, len(ids) + _LONGER) if parts else []
        return numbers, [text_code(part) for part in parts], alone
