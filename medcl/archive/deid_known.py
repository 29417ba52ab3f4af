"""Patterns of names and ids that are known to belong to a report: from its header, its table or its path."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from medcl.archive.deid_rule import Rule
from medcl.archive.deid_words import PARTICLES

_TITLES = {"dr", "prof", "med", "mr", "mrs", "ms", "herr", "frau", "jr", "sr", "md", "phd", "mme", "mlle", "sra", "dra"}
# Names that are words too: in small letters they are left, `a small cyst` of Mrs. Small.
_WORDS = {
    *("small", "large", "long", "short", "white", "black", "brown", "green", "grey", "gray", "young", "old", "little"),
    *("hand", "foot", "head", "heart", "may", "will", "day", "wood", "so", "an", "in", "am", "im"),
    *("klein", "groß", "gross", "lang", "kurz", "weiß", "weiss", "schwarz", "braun", "grün", "rot", "alt", "jung"),
    *("neu", "frei", "stark", "hart", "fein", "roth", "blau", "winter", "sommer", "mai", "fuß", "kopf", "herz"),
    *("stein", "berg", "wolf", "petit", "grand", "blanc", "noir", "gros", "leblanc", "rojo", "blanco", "delgado"),
}
_SHORTEST_NUMBER = 4  # digits: a patient 12 would take every 12 mm
_LONG_NUMBER = 6
_SHORTEST_NAME = 4  # letters: a shorter name in small letters is also an abbreviation, `li` of Mr. Li
_LETTERS = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ı": "i", "ð": "d", "þ": "th"})


def known_rules(known: Sequence[str]) -> Iterator[Rule]:
    """One rule for all ids, one for all names, one for names that are words too.

    Args:
        known: as `deidentify` takes them.
    """
    ids, names, words = set[str](), set[str](), set[str]()
    for value in (unicodedata.normalize("NFC", one).strip() for one in known):
        if any(character.isdigit() for character in value):
            ids |= _spellings_of_id(value)
            continue
        for part in re.split(r"[\s^,=.;&|~()/]+", value):
            # A double name is often said with one of its halves.
            for form in {part, *(half for half in part.split("-") if len(half) >= _SHORTEST_NAME)}:
                if len(form) < 2 or form.lower() in _TITLES or form.lower() in PARTICLES:
                    continue
                (words if form.lower() in _WORDS or len(form) < _SHORTEST_NAME else names).add(form)
    if ids:
        yield _whole("ID", {re.escape(one) for one in ids}, re.IGNORECASE)
    if names:
        yield _whole("NAME", {spellings(name) for name in names}, re.IGNORECASE)
    if words:
        forms = {form for word in words for form in (word[:1].upper() + word[1:].lower(), word.upper(), word)}
        capital = {spellings(form) for form in forms if form[:1].isupper()}
        yield _whole("NAME", capital or {re.escape(word) for word in words}, 0)


def spellings(name: str) -> str:
    """A pattern of the ways to write a name: Müller, Mueller, Muller; O'Neil, O’Neil, ONeil.

    Args:
        name: one word in composed form.
    """
    return "".join(_letter(letters) for letters in re.findall(r"(?i)ss|.", _plain(name), re.DOTALL))


def folded(name: str) -> str:
    """A name without accents and umlauts, in small letters: the same for all its `spellings`."""
    return _plain(unicodedata.normalize("NFC", name).lower())


def _plain(name: str) -> str:
    # In Bauer `ue` is no umlaut, but to take it for one costs nothing: both spellings match.
    return re.sub(r"(?i)([aou])e", r"\1", "".join(_base(character) for character in name))


def _base(character: str) -> str:
    upper = character.isupper()
    character = character.lower().translate(_LETTERS)
    base = "".join(one for one in unicodedata.normalize("NFD", character) if not unicodedata.combining(one))
    return base.capitalize() if upper else base


_MARKED: dict[str, str] = {}
for _one in map(chr, range(0xC0, 0x250)):
    # Of two letters, such as æ, the first: an `e` behind it is optional anyhow.
    _MARKED[_base(_one)[0]] = _MARKED.get(_base(_one)[0], "") + _one


def _letter(character: str) -> str:
    if character in "'’`´":
        return "['’`´]?"
    if len(character) == 2:
        return f"(?:{character}|ß)"
    marked = _MARKED.get(character, "")
    one = f"[{re.escape(character)}{marked}]" if marked else re.escape(character)
    # `Muller` may be written as Mueller, and Strass as Straß.
    if character in "aouAOU":
        return f"{one}[eE]?" if character.isupper() else f"{one}e?"
    return one


def _spellings_of_id(value: str) -> set[str]:
    found = set()
    if len(value) >= _SHORTEST_NUMBER:
        found.add(value)
    # `MRN0012345678` is also written without its letters, or without its zeros.
    found |= {part for part in re.findall(r"\d+", value) if len(part.lstrip("0")) >= _LONG_NUMBER}
    return found | {short for part in re.findall(r"0+\d+", value) if len(short := part.lstrip("0")) >= _LONG_NUMBER}


def _whole(kind: str, patterns: set[str], flags: int) -> Rule:
    """Any of the patterns where neither letter nor digit touches it, the longest first."""
    either = "|".join(sorted(patterns, key=lambda one: (-len(one), one)))
    return Rule(kind, re.compile(rf"(?<![^\W_])(?P<found>{either})(?![^\W_])", flags))
