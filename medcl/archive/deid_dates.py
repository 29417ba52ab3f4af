"""Rules for dates that have a day or a month; a year alone stays."""

import re

from medcl.archive.deid_names import UPPER
from medcl.archive.deid_rule import DIGIT, Rule, has_words
from medcl.modality.report.wording import MONTHS, SMALL_MONTHS


def _any(words: frozenset[str]) -> str:
    return "|".join(sorted(words, key=lambda word: (-len(word), word)))


_MONTH = rf"(?:{_any(MONTHS)})(?![^\W\d_])\.?"
_SMALL = rf"(?:{_any(SMALL_MONTHS)})"
_NAMED = has_words(MONTHS)
_MONTH_INSIDE = rf"(?:{_any(MONTHS)})"
_YEAR = r"(?:19|20)\d\d"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_DAY_OF_TWO, _MONTH_OF_TWO = r"(?:0[1-9]|[12]\d|3[01])", r"(?:0[1-9]|1[0-2])"
_MONTH_NUMBER = r"(?:0?[1-9]|1[0-2])"
_ORDINAL = r"(?:st|nd|rd|th|er|º|\.)?"
_OF = r"(?:of[ ]+|de[ ]+|d['’])?"
_FREE = r"(?<![\w.,/-])"  # no part of a longer number
_DONE = r"(?![\w/-])(?![.,]\d)"
_CUE = (
    r"(?:\b(?:DOB|born|birth|birthdate|date|dated|admitted|geb|geboren|geburtsdatum|datum|aufnahme|aufnahmedatum|née?|"
    r"naissance|nacid[oa]|nacimiento|fecha|nato|nata|nascita|geboortedatum)\b\.?(?:-?dat\.?)?"
    r"(?:[ ]+(?:of[ ]+birth|on|am|le|el|il))?|[*])[ \t]*[:=]?[ \t]*"
)


def _rule(pattern: str, flags: int = re.IGNORECASE) -> Rule:
    only = _NAMED if _MONTH in pattern or _MONTH_INSIDE in pattern or _SMALL in pattern else DIGIT
    return Rule("DATE", re.compile(pattern, flags), only=only)


RULES = (
    *(
        _rule(rf"{_FREE}(?P<found>{form}){_DONE}")
        for form in (
            rf"{_YEAR}([-/.]){_MONTH_NUMBER}\2{_DAY}(?:T\d\d:\d\d(?::\d\d)?)?",
            rf"{_YEAR}{_MONTH_OF_TWO}{_DAY_OF_TWO}(?:T?\d{{4}}(?:\d\d)?)?",
            rf"{_DAY_OF_TWO}{_MONTH_OF_TWO}{_YEAR}",
            rf"(?:{_DAY}/{_MONTH_NUMBER}|{_MONTH_NUMBER}/{_DAY})/(?:{_YEAR}|\d\d)",
            rf"(?:{_DAY}-{_MONTH_NUMBER}|{_MONTH_NUMBER}-{_DAY})-(?:{_YEAR}|\d\d)",
            rf"{_DAY}\.[ ]?{_MONTH_NUMBER}\.[ ]?(?:{_YEAR}|\d\d)",
            rf"{_MONTH_NUMBER}/{_YEAR}|{_MONTH_OF_TWO}\.{_YEAR}",
            rf"{_DAY}(?:{_ORDINAL}[ ]+|\.){_OF}{_MONTH},?[ ]+(?:del?[ ]+)?{_YEAR}",
            rf"{_DAY}[-./]{_MONTH}[-./](?:{_YEAR}|\d\d)",
            rf"{_DAY}{_MONTH_INSIDE}(?:{_YEAR}|\d\d)",
            rf"{_MONTH}[ ]+(?:the[ ]+)?{_DAY}(?:st|nd|rd|th)?,?[ ]+{_YEAR}",
            rf"{_MONTH},?[ ]+(?:of[ ]+|del?[ ]+)?{_YEAR}",
        )
    ),
    # Without a year: the month must be written as one, since `may 2` and `mar 3` are also other things.
    _rule(rf"{_FREE}(?P<found>{_DAY}{_ORDINAL}[ ](?=[{UPPER}])(?i:{_MONTH})){_DONE}", 0),
    _rule(rf"{_FREE}(?P<found>{_DAY}{_ORDINAL}[ ]{_OF}{_SMALL}){_DONE}", 0),
    _rule(rf"(?<![Ii][mn][ ])(?<![Ee]n[ ])\b(?P<found>(?=[{UPPER}])(?i:{_MONTH})[ ]{_DAY}(?:st|nd|rd|th)?){_DONE}", 0),
    _rule(rf"\b(?:am|vom|seit|bis|zum)[ ](?P<found>{_DAY}\.[ ]?{_MONTH_NUMBER}\.)(?!\d)"),
    _rule(rf"\b(?:on|dated|from)[ ](?P<found>{_MONTH_NUMBER}/{_DAY}){_DONE}"),
    # Six digits are a date only where a word says so.
    Rule(
        "DATE",
        re.compile(
            rf"{_CUE}(?P<found>{_DAY_OF_TWO}{_MONTH_OF_TWO}\d\d|\d\d{_MONTH_OF_TWO}{_DAY_OF_TWO}){_DONE}", re.IGNORECASE
        ),
        only=re.compile(r"(?<!\d)\d{6}(?!\d)").search,
    ),
)
"""Of dates; months by name are those of six languages."""
