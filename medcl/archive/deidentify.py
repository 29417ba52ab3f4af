"""The text of a report without what identifies a person: names, dates, ids become `[NAME]`, `[DATE]`, `[ID]`, ..."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module

from medcl.archive.deid_rule import PARTICLES, Rule
from medcl.errors import UsageError

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


Deidentifier = Callable[[str, Sequence[str]], str]
"""Takes a text and the names and ids that its file states; returns the text without what identifies a person."""

KINDS = ("NAME", "DATE", "ID", "PHONE", "EMAIL", "ADDRESS", "AGE")


@dataclass(frozen=True)
class FoundIdentifier:
    """A part of a text that identifies a person.

    Attributes:
        start: of its first character.
        end: after its last character.
        kind: one of `KINDS`.
    """

    start: int
    end: int
    kind: str


def deidentify(text: str, known: Sequence[str] = ()) -> str:
    """Replace what identifies a person by `[NAME]`, `[DATE]`, `[ID]`, `[PHONE]`, `[EMAIL]`, `[ADDRESS]` or `[AGE]`.

    By rules, for English, German, French and Spanish: a name is found by what stands before or after it (`Dr.`, `Frau`,
    `M.`, `dictated by`, `Patient:`, `, MD`, a frequent first name) or by its spelling (`DOE^JANE`), so eponyms stay
    (`Swan-Ganz catheter`, `Morbus Hodgkin`), and so does a name that nothing announces, unless it is `known`. Dates go
    with day or month, a year alone stays; so do times, ages up to 89 and names of hospitals and towns without a zip
    code. What must be certain needs `known` and a person who looks, or a stronger tool (`deid_presidio`,
    `load_deidentifier`); docs/deidentification.md has the figures.

    Args:
        text: of a report.
        known: names (`Family^Given`, `Family, Given` or in words) and ids that the report's file states: replaced
            wherever they stand as whole words, in whatever case and with or without umlauts and accents; of a name each
            part too. Numbers of fewer than four
            digits are passed over, since measurements are such.

    Returns:
        The text, in Unicode's composed form, otherwise unchanged.
    """
    text = unicodedata.normalize("NFC", text)
    return replace_found(text, find(text, known))


def replace_found(text: str, found: Sequence[FoundIdentifier]) -> str:
    """Write the kind of each found part in its place."""
    pieces, place = [], 0
    for one in found:
        pieces += [text[place : one.start], f"[{one.kind}]"]
        place = one.end
    return "".join([*pieces, text[place:]])


def find(text: str, known: Sequence[str] = ()) -> list[FoundIdentifier]:
    """What `deidentify` replaces.

    Args:
        text: in Unicode's composed form (NFC).
        known: as there.

    Returns:
        In the order of the text; none overlaps another.
    """
    # Compiled for those who read a report: this takes half a second.
    from medcl.archive import deid_names, deid_numbers

    small = () if any(character.isupper() for character in text) else (deid_names.SMALL,)
    # Where two find the same words, the one that stands first names them.
    rules = (*known_rules(known), *deid_numbers.RULES, *deid_names.RULES, deid_numbers.LONG, *small)
    raw = [FoundIdentifier(start, end, rule.kind) for rule in rules for start, end in rule.spans(text)]
    return merge(raw)


def merge(found: Iterable[FoundIdentifier]) -> list[FoundIdentifier]:
    """Make one of each group of parts that overlap: it is of the kind of the one that begins first, or is longest.

    Args:
        found: in any order; of two with the same ends the one that comes first counts.

    Returns:
        In the order of the text; none overlaps another.
    """
    merged: list[FoundIdentifier] = []
    # Sorting is stable: of two that begin alike and end alike, the rule that stands first names them.
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        if merged and one.start < merged[-1].end:
            last = merged[-1]
            merged[-1] = FoundIdentifier(last.start, max(last.end, one.end), last.kind)
        else:
            merged.append(one)
    return merged


def load_deidentifier(spec: str) -> Deidentifier:
    """Import a function that removes what identifies a person, such as the wrapper of a stronger tool.

    Args:
        spec: `module:function`, importable from where the program runs. The function is called with the text and the
            known names and ids, in several processes.

    Returns:
        The function.

    Raises:
        UsageError: there is no such module or function.
    """
    module, colon, name = spec.partition(":")
    if not (module and colon and name):
        raise UsageError(f"de-identifier {spec!r}: must be written as module:function")
    try:
        found = getattr(import_module(module), name, None)
    except ImportError as error:
        raise UsageError(
            f"de-identifier {spec!r}: its module cannot be imported: is it installed, or on PYTHONPATH?"
        ) from error
    if not callable(found):
        raise UsageError(f"de-identifier {spec!r}: the module {module} has no function {name}")
    function: Deidentifier = found
    return function
