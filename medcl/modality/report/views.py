"""Views of texts as token ids (B, L): a random part of the words, or the words with some left out.

0 is padding and stands behind the text. What is left closes up: a view is again a text with padding behind it, of the
same L. Special tokens stay, and so does at least one word where there is one.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.views import Params, Range, View, check_interval, check_range, uniform


@dataclass(frozen=True)
class Words(View):
    """What the views of texts share: which tokens are words, and how those that are left close up.

    Args:
        special: ids that are no words (`Tokenizer.special`); padding is one whether it is named or not.
    """

    special: tuple[int, ...] = ()

    def words(self, x: Tensor) -> Tensor:
        """Which tokens of (B, L) are words, (B, L) bool.

        Raises:
            UsageError: `x` is no batch of token ids.
        """
        if x.ndim != 2 or x.is_floating_point():
            raise UsageError(f"text views take token ids (B, L), got {x.dtype} of shape {tuple(x.shape)}")
        return ~torch.isin(x, torch.tensor((0, *self.special), device=x.device))

    @abstractmethod
    def chosen(self, words: Tensor, generator: torch.Generator) -> Tensor:
        """Draw which of the words (B, L) bool stay; what it says of other tokens does not matter."""

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw which tokens to `keep` (B, L), bool; padding counts as kept."""
        words = self.words(x)
        return {"keep": ~words | self.chosen(words, generator)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Leave the other tokens out and close up."""
        keep = params["keep"]
        order = (~keep).to(torch.uint8).argsort(dim=1, stable=True)
        return x.masked_fill(~keep, 0).gather(1, order)


@dataclass(frozen=True)
class WordCrop(Words):
    """Keeps words that stand one behind the other, from a random place.

    Args:
        special: ids that are no words.
        share: range of the share of the words that is kept, rounded up.

    Raises:
        UsageError: when the range is upside down or leaves [0, 1].
    """

    name: ClassVar[str] = "word_crop"
    share: Range = (0.5, 1.0)

    def __post_init__(self) -> None:
        check_interval("word_crop share", self.share, 0, 1)

    def chosen(self, words: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a share and a place for each text."""
        low, high = self.share
        count = words.sum(dim=1, keepdim=True)
        share = low + (high - low) * uniform(words, len(words), 1, generator=generator)
        size = (share * count).ceil().long().clamp(min=1)
        place = uniform(words, len(words), 1, generator=generator)
        # The product may be rounded up to the number of places.
        start = torch.minimum((place * (count - size + 1)).long(), count - size)
        number = words.cumsum(dim=1) - 1
        return (number >= start) & (number < start + size)


@dataclass(frozen=True)
class WordDropout(Words):
    """Leaves out each word with a probability.

    Args:
        special: ids that are no words.
        probability: of each word.

    Raises:
        UsageError: when the probability is not between 0 and 1.
    """

    name: ClassVar[str] = "word_dropout"
    probability: float = 0.1

    def __post_init__(self) -> None:
        check_range("word_dropout probability", self.probability, 0, 1)

    def chosen(self, words: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a number for each word; the word with the largest one stays whatever the probability."""
        number = uniform(words, *words.shape, generator=generator)
        best = number.masked_fill(~words, -1).argmax(dim=1, keepdim=True)
        return (number >= self.probability).scatter(1, best, True)
