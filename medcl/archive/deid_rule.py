"""One rule of de-identification: a pattern of what identifies a person."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

Gate = Callable[[str], object]
"""Whether a rule can find anything in a text: quicker than to look for it."""

DIGIT: Gate = re.compile(r"\d").search
_LETTERS = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Rule:
    """A pattern, and which part of what it matches is replaced.

    Args:
        kind: what the group `found` of the pattern is, such as NAME.
        pattern: with a group `found`.
        each: where the group is an enumeration: the pattern of its members, each of which is replaced by itself.
        only: the rule holds only for texts for which this is true, such as those with words of one language.
    """

    kind: str
    pattern: re.Pattern[str]
    each: re.Pattern[str] | None = None
    only: Gate | None = None

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Start and end of all that is replaced."""
        if self.only is not None and not self.only(text):
            return
        for match in self.pattern.finditer(text):
            if self.each is None:
                yield match.span("found")
            else:
                # Bounded by the group, but with the text around it in sight.
                yield from (member.span() for member in self.each.finditer(text, *match.span("found")) if member[0])


def has_words(words: Iterable[str]) -> Gate:
    """Whether a text has one of some words, or a part of one with a point or a hyphen inside; case is ignored."""
    wanted = frozenset(part for word in words for part in _LETTERS.findall(word.lower()))
    return lambda text: not wanted.isdisjoint(_words(text))


@lru_cache(maxsize=1)
def _words(text: str) -> frozenset[str]:
    return frozenset(_LETTERS.findall(text.lower()))
