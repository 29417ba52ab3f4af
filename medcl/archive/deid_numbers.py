"""Rules for dates that have a day or a month, ids, addresses of every sort, telephone numbers and ages above 89."""

import re

from medcl.archive.deid_names import UPPER, WORD
from medcl.archive.deid_rule import DIGIT, Gate, Rule, has_words
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


def _date(pattern: str, flags: int = re.IGNORECASE) -> Rule:
    only = _NAMED if _MONTH in pattern or _MONTH_INSIDE in pattern or _SMALL in pattern else DIGIT
    return Rule("DATE", re.compile(pattern, flags), only=only)


_DATES = (
    *(
        _date(rf"{_FREE}(?P<found>{form}){_DONE}")
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
    _date(rf"{_FREE}(?P<found>{_DAY}{_ORDINAL}[ ](?=[{UPPER}])(?i:{_MONTH})){_DONE}", 0),
    _date(rf"{_FREE}(?P<found>{_DAY}{_ORDINAL}[ ]{_OF}{_SMALL}){_DONE}", 0),
    _date(rf"(?<![Ii][mn][ ])(?<![Ee]n[ ])\b(?P<found>(?=[{UPPER}])(?i:{_MONTH})[ ]{_DAY}(?:st|nd|rd|th)?){_DONE}", 0),
    _date(rf"\b(?:am|vom|seit|bis|zum)[ ](?P<found>{_DAY}\.[ ]?{_MONTH_NUMBER}\.)(?!\d)"),
    _date(rf"\b(?:on|dated|from)[ ](?P<found>{_MONTH_NUMBER}/{_DAY}){_DONE}"),
    # Six digits are a date only where a word says so.
    Rule(
        "DATE",
        re.compile(
            rf"{_CUE}(?P<found>{_DAY_OF_TWO}{_MONTH_OF_TWO}\d\d|\d\d{_MONTH_OF_TWO}{_DAY_OF_TWO}){_DONE}", re.IGNORECASE
        ),
        only=re.compile(r"(?<!\d)\d{6}(?!\d)").search,
    ),
)
"""Months by name are those of six languages."""

_S = r"[ \t]+"


_CITIES = rf"{WORD}(?:[ \t]+{WORD})?"
_NUMBER = rf"(?:{_S}(?:number|no\.?|id))?"
_STRONG_ID = (
    rf"\b(?:MRN|(?:medical|patient){_S}record{_NUMBER}|accession{_NUMBER}|SSN|social{_S}security{_NUMBER}|"
    rf"(?:health{_S})?insurance{_NUMBER}|NHS{_NUMBER}|"
    r"(?:patient|case|study|exam|encounter|visit|account|policy|order|request|hospital)[ \t-]*(?:id|number|no\.|nr\.?)|"
    r"pat(?:ienten)?\.?[ \t-]*(?:id|nr\.?|nummer)|(?:fall|versicherungs|versicherten|auftrags|aufnahme)[ \t-]*"
    rf"(?:nr\.?|nummer)|IPP|NIR|NHC|DNI|CIP|NSS|BSN|(?:n[°ºo]\.?|numéro){_S}(?:de{_S})?(?:dossier|sécurité{_S}sociale)|"
    rf"(?:historia{_S}clínica|n[úu]mero{_S}de{_S}(?:historia|paciente)))"
)
_WEAK_ID = r"\b(?:id|order|accession|case|visit|account|encounter|auftrag|fall|reference|ref|nr|dossier)"
_ID_VALUE = r"(?P<found>(?=(?:[ ./-]?\w){3})(?=(?:[^\d\s]*\d){3})[A-Za-z]{0,6}[-./]?\d[\w/-]*(?:[ .]\d{2,}){0,4})(?!\w)"
_HEADED = re.compile(r"^(?:MSH|PID|PV1|ORC|OBR)\|", re.MULTILINE)
_FIELD = r"(?<=\|)(?=[A-Za-z-]*\d{3})[\w-]+(?=[|^~\s]|$)"
_CALL = (
    r"\b(?:tel|telefon|telephone|phone|fax|pager|page|call|beeper|mobil|mobile|handy|ext|durchwahl|tél|téléphone|"
    r"portable|teléfono|tfno|móvil|telefono|cellulare|telefoon)\b[ \t.:#]*"
    r"(?:at[ \t]+|unter[ \t]+|number[ \t]+|au[ \t]+)?"
)
_OLD = re.compile(r"(?<!\d)(?:9\d|1[0-2]\d)(?!\d)").search
_CALLED = has_words(re.findall(r"[^\W\d_]{2,}", _CALL))
_STREETS = (
    r"(?:rue|avenue|av\.|boulevard|bd|place|chemin|allée|impasse|quai|route|cours|square)",
    r"(?:Calle|calle|C/|Avenida|avenida|Avda\.?|Av\.|Plaza|plaza|Paseo|paseo|Camino|Carretera|Ronda|Via|Viale|Piazza)",
)
_LINKS = r"(?:(?:de|del|della|du|des|la|las|los|le|les|di)[ ]|l['’]|d['’]){0,3}"


def _rule(kind: str, pattern: str, flags: int = 0, each: str | None = None, only: Gate | None = None) -> Rule:
    return Rule(kind, re.compile(pattern, flags), None if each is None else re.compile(each), only or DIGIT)


_BEFORE_DATES = (
    _rule("EMAIL", r"(?<![\w.+-])(?P<found>[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]+)+)"),
    _rule("EMAIL", r"(?P<found>\bhttps?://\S+|\bwww\.\S+)", re.IGNORECASE, only=has_words(("http", "https", "www"))),
    _rule("ID", rf"{_STRONG_ID}[ \t]*(?:is[ \t]+)?[#:.=]*\s*[#:]?[ \t]*{_ID_VALUE}", re.IGNORECASE),
    _rule("ID", rf"{_WEAK_ID}[ \t]*[#:]+[ \t]*{_ID_VALUE}", re.IGNORECASE, only=re.compile("[#:]").search),
    _rule("ID", rf"{_FREE}(?P<found>\d{{3}}-\d{{2}}-\d{{4}}){_DONE}"),
    _rule("ID", r"(?<![\w.,])(?P<found>[A-Z]{1,4}\d{6,}|\d(?:\.\d+){5,})(?![\w])"),
)
"""Where a date and an id are the same digits, these name them."""

_AFTER_DATES = (
    # Segments of HL7 that were pasted into a text: of an order its first fields alone, since its codes are numbers too.
    _rule("ID", r"^PID(?P<found>\|[^\n]*)", re.MULTILINE, _FIELD, _HEADED.search),
    _rule("ID", r"^(?:OBR|ORC|PV1)(?P<found>(?:\|[^|\n]*){1,3})(?=\|)", re.MULTILINE, _FIELD, _HEADED.search),
    _rule("PHONE", r"(?<![\w+])(?P<found>\+\d{1,3}(?:[ ./-]?\(?\d+\)?){2,7})(?!\w)"),
    _rule("PHONE", r"(?<![\w(-])(?P<found>(?:1[-. ])?(?:\(\d{3}\)[ ]?|\d{3}[-. ])\d{3}[-.]\d{4})(?!\w)"),
    _rule("PHONE", r"(?<![\w.,/-])(?P<found>0[1-9](?:[ .]\d\d){4})(?![\w.,]\d)(?!\w)"),
    _rule("PHONE", r"(?<![\w.,/-])(?P<found>0\d{2,4}[ ]?/[ ]?\d{2,}(?:[ -]?\d{2,}){1,3})(?!\w)"),
    _rule(
        "PHONE",
        rf"{_CALL}(?P<found>(?=(?:[^\d\n]{{0,3}}\d){{5}})[\d(+][\d()/ .-]*\d)(?!\w)",
        re.IGNORECASE,
        only=_CALLED,
    ),
    _rule(
        "ADDRESS",
        rf"\b(?P<found>\d{{1,5}}[ ](?:{WORD}[ ]){{1,3}}(?:Street|St\.|Avenue|Ave\b\.?|Road|"
        r"Rd\b\.?|Lane|Ln\b|Drive|Boulevard|Blvd\b\.?|Court|Square))",
        only=has_words(
            (
                "Street",
                "St",
                "Avenue",
                "Ave",
                "Road",
                "Rd",
                "Lane",
                "Ln",
                "Drive",
                "Boulevard",
                "Blvd",
                "Court",
                "Square",
            )
        ),
    ),
    _rule(
        "ADDRESS",
        rf"(?P<found>\b{_CITIES},[ ][A-Z]{{2}}[ ]\d{{5}}(?:-\d{{4}})?)(?!\w)",
        only=re.compile(r",[ ][A-Z]{2}[ ]\d{5}").search,
    ),
    _rule(
        "ADDRESS",
        rf"\b(?P<found>(?:(?!Wohnhaft|Adresse|Anschrift){WORD}[ -])?(?!(?:Atem|Gallen|Harn|Luft|Speise)weg)"
        rf"[{UPPER}][^\W\d_]*(?:straße|strasse|str\.|weg|platz|allee|gasse)[ ]\d{{1,4}}[a-z]?)\b",
        only=re.compile(r"(?:straße|strasse|str\.|weg|platz|allee|gasse)[ ]\d").search,
    ),
    _rule(
        "ADDRESS",
        rf"\b(?P<found>\d{{1,4}}(?:[ ]?(?:bis|ter))?,?[ ]{_STREETS[0]}[ ]{_LINKS}{WORD}(?:[ ]{WORD}){{0,3}})",
        only=has_words((_STREETS[0][3:],)),
    ),
    _rule(
        "ADDRESS",
        rf"(?<!\w)(?P<found>{_STREETS[1]}[ ]?{_LINKS}{WORD}(?:[ ]{_LINKS}{WORD}){{0,3}},?[ ]"
        r"(?:n[º°.][ ]?)?\d{1,4})\b",
        only=has_words((_STREETS[1][3:],)),
    ),
    _rule(
        "ADDRESS",
        rf"(?:,\s*|\bD-|\b(?:wohnhaft|Adresse:?|Anschrift:?)[ ](?:in[ ])?)(?P<found>\d{{5}}[ ]{WORD})",
    ),
    _rule(
        "AGE",
        r"(?<![\w.,])(?P<found>9\d|1[0-2]\d)(?=[ -]*(?:years?\b[ -]*(?:old|of[ ]age)|yrs?\b|y/?o\b|y\.o\.|jährig|"
        r"Jahren?\b|J\.|ans\b|años\b|anni\b|jaar\b))",
        re.IGNORECASE,
        only=_OLD,
    ),
    _rule(
        "AGE",
        r"\b(?:age|aged|alter)[: ]+(?:of[ ]+|von[ ]+)?(?P<found>9\d|1[0-2]\d)\b(?![.,]\d)",
        re.IGNORECASE,
        only=_OLD,
    ),
)
"""Where a date and one of these are the same digits, it is a date."""

RULES = (*_BEFORE_DATES, *_DATES, *_AFTER_DATES)

LONG = _rule("ID", r"(?<![\w.,/-])(?P<found>\d{7,})(?![\w/])(?![.,]\d)")
"""No measurement has seven digits."""
