"""Views of texts as token ids (B, L): a random part of the words, or the words with some left out.

0 is padding and stands behind the text. What is left closes up: a view is again a text with padding behind it, of the
same L. Special tokens stay, and so does at least one word where there is one.
"""

from abc import abstractmethod
from collections.abc import Callable
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
    def chosen(self, words: Tensor, params: Params) -> Tensor:
        """Which of the words (B, L) bool stay; what it says of other tokens does not matter."""

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Leave the other tokens out and close up; padding and special tokens stay.

        Which tokens are words differs between texts, and parameters are drawn by the shape of a batch alone: that is
        why it is looked at here.
        """
        words = self.words(x)
        keep = ~words | self.chosen(words, params)
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
        check_interval(f"{self.name} share", self.share, 0, 1)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw a `share` and a `place` from 0 to 1 for each text, (B, 1)."""
        low, high = self.share
        share = low + (high - low) * uniform(x, len(x), 1, generator=generator)
        return {"share": share, "place": uniform(x, len(x), 1, generator=generator)}

    def chosen(self, words: Tensor, params: Params) -> Tensor:
        """Words one behind the other."""
        count, place = words.sum(dim=1, keepdim=True), params["place"]
        size = (params["share"] * count).ceil().long().clamp(min=1)
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

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw a `number` from 0 to 1 for each token, (B, L)."""
        return {"number": uniform(x, *x.shape, generator=generator)}

    def chosen(self, words: Tensor, params: Params) -> Tensor:
        """Words whose number is not below the probability; the word with the largest one stays whatever it is."""
        number = params["number"]
        best = number.masked_fill(~words, -1).argmax(dim=1, keepdim=True)
        return (number >= self.probability).scatter(1, best, True)


@dataclass(frozen=True)
class SentenceCrop(WordCrop):
    """Keeps sentences that stand one behind the other, from a random place, and never a part of one.

    The spans of Contriever (Izacard et al., TMLR 2022), cut at the ends of sentences and within one report; no word is
    left out, since one may be a negation.

    Args:
        special: ids that are no words.
        share: range of the share of the sentences that is kept, rounded up.
        sentences: which sentence a token is of.
    """

    name: ClassVar[str] = "sentence_crop"
    sentences: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Leave the other sentences out and close up."""
        words = self.words(x)
        assert self.sentences is not None
        numbers = self.sentences(x)[0]
        count = numbers.amax(dim=1, keepdim=True) + 1
        size = (params["share"] * count).ceil().long().clamp(min=1)
        start = torch.minimum((params["place"] * (count - size + 1)).long(), count - size)
        keep = ~words | ((numbers >= start) & (numbers < start + size))
        order = (~keep).to(torch.uint8).argsort(dim=1, stable=True)
        return x.masked_fill(~keep, 0).gather(1, order)


@dataclass(frozen=True)
class SentenceSample(SentenceCrop):
    """Keeps sentences drawn at random, in a random order, and never a part of one.

    The views of texts of clip-rocket (Fini et al., Improved baselines for vision-language pre-training, TMLR 2023) as
    reports allow them: words that are left out or exchanged would turn a finding into its opposite.

    Args:
        special: ids that are no words.
        share: range of the share of the sentences that is kept, rounded up.
        sentences: which sentence a token is of.
    """

    name: ClassVar[str] = "sentence_sample"

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw a `share` of each text (B, 1), and a `number` from 0 to 1 for each of its sentences (B, L)."""
        return super().draw(x, generator) | {"number": uniform(x, *x.shape, generator=generator)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Keep the sentences with the lowest numbers, in the order of these, and close up."""
        words, place = self.words(x), torch.arange(x.shape[1], device=x.device)
        assert self.sentences is not None
        # Of a special token between words, the sentence before it.
        own = self.sentences(x)[0].cummax(dim=1).values
        count = own.amax(dim=1, keepdim=True) + 1
        size = (params["share"] * count).ceil().long().clamp(min=1)
        rank = params["number"].masked_fill(place >= count, 2).argsort(dim=1).argsort(dim=1)
        before, behind = own < 0, place > (words * place).amax(dim=1, keepdim=True)
        of = rank.gather(1, own.clamp(min=0)).masked_fill(before, -1).masked_fill(behind & ~before, x.shape[1])
        keep = (of < size) | behind
        order = of.masked_fill(~keep, x.shape[1] + 1).argsort(dim=1, stable=True)
        return x.masked_fill(~keep, 0).gather(1, order)
