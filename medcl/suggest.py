"""The nearest right word for a wrong one."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

_LOOKED_AT = 20_000  # words that are compared: of a million records the comparison would take a minute
_SHOWN = 20  # words of a list that an error shows


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that a misspelt one most likely stands for.

    Args:
        word: as it was typed.
        known: words that are right.

    Returns:
        One of `known`; None where none is near.
    """
    folded = {one.casefold().replace("-", "_"): one for one in islice(known, _LOOKED_AT)}
    wanted = word.casefold().replace("-", "_")
    # Two letters in the wrong order, as in egc, are the commonest slip.
    swapped = [one for key, one in folded.items() if sorted(key) == sorted(wanted)]
    if swapped:
        return swapped[0]
    close = get_close_matches(wanted, folded, n=1, cutoff=0.6)
    if close:
        return folded[close[0]]
    # A part of a longer word is no close match, but is often what was remembered of it.
    whole = [one for key, one in folded.items() if len(wanted) > 2 and wanted in key]
    return whole[0] if len(whole) == 1 else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error's sentence: `; did you mean 'age'?`, or nothing where no known word is near."""
    found = nearest(word, known)
    return "" if found is None else f"; did you mean {found!r}?"


def no_such(kind: str, word: str, known: Iterable[str]) -> str:
    """Say that a word is none of those known: what it should have been, and the list.

    Args:
        kind: what the words are, such as `column`.
        word: as it was typed.
        known: words that are right, in the order in which they are listed.
    """
    words = list(known)
    listed = ", ".join(map(repr, words[:_SHOWN])) + (f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else "")
    return f"no {kind} {word!r}; there are {listed or 'none'}{did_you_mean(word, words)}"
