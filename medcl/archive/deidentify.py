"""The text of a report without what identifies a person: names, dates, ids become `[NAME]`, `[DATE]`, `[ID]`, ..."""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module

from medcl.archive import deid_dates, deid_names, deid_numbers
from medcl.archive.deid_known import known_rules
from medcl.errors import UsageError

Deidentifier = Callable[[str, Sequence[str]], str]
"""Takes a text and the names and ids that its file states; returns the text without what identifies a person."""

KINDS = ("NAME", "DATE", "ID", "PHONE", "EMAIL", "ADDRESS", "AGE")
RULES = (*deid_numbers.BEFORE_DATES, *deid_dates.RULES, *deid_numbers.AFTER_DATES, *deid_names.RULES, deid_numbers.LONG)
"""Where two find the same words, the one that stands first names them."""


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


def replace_found(text: str, found: Sequence[Found]) -> str:
    """Write the kind of each found part in its place."""
    pieces, place = [], 0
    for one in found:
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
    small = () if any(character.isupper() for character in text) else (deid_names.SMALL,)
    rules = (*known_rules(known), *RULES, *small)
    raw = [Found(start, end, rule.kind) for rule in rules for start, end in rule.spans(text)]
    return merge(raw)


def merge(found: Iterable[Found]) -> list[Found]:
    """Make one of each group of parts that overlap: it is of the kind of the one that begins first, or is longest.

    Args:
        found: in any order; of two with the same ends the one that comes first counts.

    Returns:
        In the order of the text; none overlaps another.
    """
    merged: list[Found] = []
    # Sorting is stable: of two that begin alike and end alike, the rule that stands first names them.
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
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
