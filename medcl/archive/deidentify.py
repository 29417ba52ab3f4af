"""The text of a report without what identifies a person: names, dates, ids become `[NAME]`, `[DATE]`, `[ID]`, ..."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module

from medcl.archive.deid_rules import RULES, SMALL_NAMES
from medcl.errors import UsageError

Deidentifier = Callable[[str, Sequence[str]], str]
"""Takes a text and the names and ids that its file states; returns the text without what identifies a person."""

KINDS = ("NAME", "DATE", "ID", "PHONE", "EMAIL", "ADDRESS", "AGE")
_PARTICLES = {"van", "von", "vom", "de", "la", "le", "der", "den", "dem", "del", "di", "da", "dos", "du", "zu", "zur"}
_TITLES = {"dr", "prof", "med", "mr", "mrs", "ms", "herr", "frau", "jr", "sr", "md", "phd"}
# Names that are words too: in small letters they are left, `a small cyst` of Mrs. Small.
_WORDS = {
    *("small", "large", "long", "short", "white", "black", "brown", "green", "grey", "gray", "young", "old", "little"),
    *("hand", "foot", "head", "heart", "may", "will", "day", "wood", "so", "an", "in", "am", "im"),
    *("klein", "groß", "gross", "lang", "kurz", "weiß", "weiss", "schwarz", "braun", "grün", "rot", "alt", "jung"),
    *("neu", "frei", "stark", "hart", "fein", "roth", "blau", "winter", "sommer", "mai", "fuß", "kopf", "herz"),
    *("stein", "berg", "wolf"),
}
_SHORTEST_NUMBER = 4  # digits: a patient 12 would take every 12 mm
_LONG_NUMBER = 6
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})


@dataclass(frozen=True)
class Found:
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

    By rules, for English and German: a name is found by what stands before or after it (`Dr.`, `Frau`, `dictated by`,
    `Patient:`, `, MD`), so eponyms stay (`Swan-Ganz catheter`, `Morbus Hodgkin`), and so does a name that nothing
    announces, unless it is `known`. Dates go with day or month, a year alone stays; so do times, ages up to 89 and
    names of hospitals and towns without a zip code. What must be certain needs `known` and a person who looks, or a
    stronger tool (`load_deidentifier`).

    Args:
        text: of a report.
        known: names (`Family^Given`, `Family, Given` or in words) and ids that the report's file states: replaced
            wherever they stand as whole words, in whatever case; of a name each part too. Numbers of fewer than four
            digits are passed over, since measurements are such.

    Returns:
        The text, in Unicode's composed form, otherwise unchanged.
    """
    text = unicodedata.normalize("NFC", text)
    pieces, place = [], 0
    for one in find(text, known):
        pieces += [text[place : one.start], f"[{one.kind}]"]
        place = one.end
    return "".join([*pieces, text[place:]])


def find(text: str, known: Sequence[str] = ()) -> list[Found]:
    """What `deidentify` replaces.

    Args:
        text: in Unicode's composed form (NFC).
        known: as there.

    Returns:
        In the order of the text; none overlaps another.
    """
    raw = [Found(*match.span(), kind) for kind, pattern in _known(known) for match in pattern.finditer(text)]
    raw += [Found(*match.span("found"), kind) for kind, pattern in RULES for match in pattern.finditer(text)]
    if not any(character.isupper() for character in text):
        raw += [Found(*match.span("found"), "NAME") for match in SMALL_NAMES.finditer(text)]
    merged: list[Found] = []
    # Sorting is stable: of two that begin alike and end alike, the rule that stands first names them.
    for one in sorted(raw, key=lambda found: (found.start, -found.end)):
        if merged and one.start < merged[-1].end:
            last = merged[-1]
            merged[-1] = Found(last.start, max(last.end, one.end), last.kind)
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


def _known(known: Sequence[str]) -> Iterator[tuple[str, re.Pattern[str]]]:
    """A pattern for all ids, one for all names, one for names that are words too."""
    ids, names, words = set[str](), set[str](), set[str]()
    for value in (unicodedata.normalize("NFC", one).strip() for one in known):
        if any(character.isdigit() for character in value):
            if not value.isdigit() or len(value) >= _SHORTEST_NUMBER:
                ids.add(value)
            # `MRN0012345678` is also written without its letters, or without its zeros.
            ids |= {part for part in re.findall(r"\d+", value) if len(part.lstrip("0")) >= _LONG_NUMBER}
            ids |= {short for part in re.findall(r"0+\d+", value) if len(short := part.lstrip("0")) >= _LONG_NUMBER}
            continue
        for part in re.split(r"[\s^,=.;]+", value):
            for form in (part, part.translate(_UMLAUTS)):
                if len(form) < 2 or form.lower() in _PARTICLES | _TITLES:
                    continue
                (words if form.lower() in _WORDS else names).add(form)
    if ids:
        yield "ID", _whole(ids, re.IGNORECASE)
    if names:
        yield "NAME", _whole(names, re.IGNORECASE)
    if words:
        yield "NAME", _whole({form for word in words for form in (word.capitalize(), word.upper())}, 0)


def _whole(values: set[str], flags: int) -> re.Pattern[str]:
    """Any of the values where neither letter nor digit touches it, the longest first."""
    escaped = "|".join(re.escape(value) for value in sorted(values, key=lambda value: (-len(value), value)))
    return re.compile(rf"(?<![^\W_])(?:{escaped})(?![^\W_])", flags)
