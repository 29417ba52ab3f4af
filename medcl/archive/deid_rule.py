"""One rule of de-identification: a pattern of what identifies a person."""

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """A pattern, and which part of what it matches is replaced.

    Args:
        kind: what the group `found` of the pattern is, such as NAME.
        pattern: with a group `found`.
        each: where the group is an enumeration: the pattern of its members, each of which is replaced by itself.
        only: the rule holds only for texts in which this is found, such as words of one language.
    """

    kind: str
    pattern: re.Pattern[str]
    each: re.Pattern[str] | None = None
    only: re.Pattern[str] | None = None

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Start and end of all that is replaced."""
        if self.only is not None and not self.only.search(text):
            return
        for match in self.pattern.finditer(text):
            if self.each is None:
                yield match.span("found")
            else:
                # Bounded by the group, but with the text around it in sight.
                yield from (member.span() for member in self.each.finditer(text, *match.span("found")) if member[0])
