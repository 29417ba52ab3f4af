"""The written sentences by which de-identification is measured, and how it is."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from medcl.archive.deidentify import KINDS, FoundIdentifier

LANGUAGES = ("en", "de", "fr", "es")
HALVES = ("development", "held_out")
_MARK = re.compile(r"\{([A-Z]+):([^}]*)\}")
_FOLDER = Path(__file__).parent / "deid"

Finder = Callable[[str], Sequence[FoundIdentifier]]


def sentences(half: str, language: str) -> list[str]:
    """Sentences in which what identifies a person is marked, `{NAME:Smith}`."""
    return (_FOLDER / half / f"{language}.txt").read_text(encoding="utf-8").splitlines()


def unmark(example: str) -> tuple[str, list[FoundIdentifier]]:
    """The sentence, and where what is marked in it stands."""
    text, gold, place = "", [], 0
    for match in _MARK.finditer(example):
        text += example[place : match.start()]
        gold.append(FoundIdentifier(len(text), len(text) + len(match[2]), match[1]))
        text += match[2]
        place = match.end()
    return text + example[place:], gold


def score(examples: Sequence[str], find: Finder) -> tuple[Counter[str], list[str]]:
    """Counts by kind, and every mistake.

    What is marked counts as found when nothing of it is left, whatever it is called; what is replaced counts as right
    when it holds nothing but what is marked.
    """
    counts: Counter[str] = Counter()
    mistakes = []
    for example in examples:
        text, gold = unmark(example)
        found = find(text)
        letters = {place for place, character in enumerate(text) if character.isalnum()}
        covered = {place for one in found for place in range(one.start, one.end)}
        marked = {place for one in gold for place in range(one.start, one.end)}
        for one in gold:
            hit = letters & set(range(one.start, one.end)) <= covered
            counts[f"{one.kind} gold"] += 1
            counts[f"{one.kind} hit"] += hit
            mistakes += [] if hit else [f"missed {one.kind}: {example}"]
        for one in found:
            right = letters & set(range(one.start, one.end)) <= marked
            counts[f"{one.kind} found"] += 1
            counts[f"{one.kind} right"] += right
            mistakes += [] if right else [f"wrong {one.kind} {text[one.start : one.end]!r}: {example}"]
    for outcome in ("gold", "hit", "found", "right"):
        counts[f"all {outcome}"] = sum(counts[f"{kind} {outcome}"] for kind in KINDS)
    return counts, mistakes
