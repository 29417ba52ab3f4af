"""Rules for names: a title, a role, a signature, a first name, or the spelling of DICOM and HL7 announces them."""

import re

from medcl.archive.deid_rule import Rule
from medcl.archive.deid_words import (
    DISEASES,
    EPONYM_NOUNS,
    EPONYMS,
    EXAMS,
    GIVEN,
    PARTICLES,
    PLURALS,
    STOP,
    TITLES,
)

UPPER = "".join(character for character in map(chr, range(0x41, 0x250)) if character.isupper())
_S = r"[ \t]+"


def _any(words: tuple[str, ...]) -> str:
    return "|".join(re.escape(word) for word in sorted(set(words), key=lambda word: (-len(word), word)))


_NO_NAME = rf"(?!(?:{_any(STOP)})\b)"
WORD = rf"{_NO_NAME}(?:O['’]|[dDlL]['’])?[{UPPER}][^\W\d_]*(?:[-'’][^\W\d_]+){{0,3}}"
_PARTICLE = rf"(?:(?:{_any(PARTICLES)}|St\.){_S})"
_INITIAL = rf"{_NO_NAME}[{UPPER}]\."
_NAME = (
    rf"{_PARTICLE}{{0,3}}(?:{_INITIAL}[ \t]*){{0,3}}{WORD}"
    rf"(?:{_S}(?:[{UPPER}]\.|{_PARTICLE}{{0,3}}{WORD})){{0,3}}"
)
_SHOUTED = rf"(?:(?:{_any(tuple(word.upper() for word in PARTICLES))}){_S})"
# In capitals throughout the next word may be any: `DR. SMITH WAS CALLED`.
_CAPITALS = rf"{_NO_NAME}{_SHOUTED}{{0,3}}(?:[OD]['’])?[{UPPER}]{{2,}}(?:[-'’][{UPPER}]+)*(?![^\W\d_])"
_INITIAL_BEHIND = rf"(?:,[ ]?[{UPPER}]\.(?!\w))?"
_EITHER = rf"(?:{_CAPITALS}|{_NAME}){_INITIAL_BEHIND}"
_LISTED = rf"(?:{_CAPITALS}(?:{_S}{_CAPITALS})?|{_NAME})(?:,[ \t]*(?:{WORD}(?:{_S}[{UPPER}]\.)?|[{UPPER}]\.))?"
_TITLE = rf"(?<![^\W_])(?:{_any(TITLES)}|(?<!\d)(?<!\d[ ])Fr\.)(?![^\W_])\.?"
_DEGREES = r"(?:[ \t]*\b(?:med|dent|rer|nat|habil|univ|h\.[ \t]?c)\.){0,4}"
# No space is needed behind a point: `Dr.Smith`, `Prof.Dr.med.Müller`.
_GAP = r"(?:(?<=\.)\s*|\s+)"
TITLE = rf"{_TITLE}(?:{_DEGREES}{_GAP}{_TITLE}){{0,4}}{_DEGREES}{_GAP}"
_AND = r"(?:[ \t]*,?[ \t]+(?:and|und|et|y|e|en|&)[ \t]+|[ \t]*[,;/][ \t]*)"
_ONE = rf"(?:{TITLE})?(?:{_CAPITALS}|{_NAME})"
_PLURAL = rf"(?<![^\W_])(?:{_any(PLURALS)})(?![^\W_])\.?{_DEGREES}{_GAP}"

_ROLE = (
    rf"(?i:\b(?:patient(?:in|e)?(?:['’]s)?(?:{_S}(?:full{_S})?name)?|paciente|pat\.|"
    rf"(?:(?:full|last|first|family|given){_S}|(?<![^\W\d_][ \t]))name|"
    rf"vorname|nachname|familienname|nom(?:{_S}de{_S}(?:naissance|famille|jeune{_S}fille))?|prénom|"
    r"nombre|apellidos?|cognome|naam|"
    rf"(?:attending|referring|requesting|ordering|reading|primary{_S}care|interpreting|reporting)"
    rf"(?:{_S}(?:physician|radiologist|doctor|provider|md))?|"
    r"physician|provider|radiologist|cardiologist|resident|fellow|staff|technologist|technician|sonographer|surgeon|"
    r"operator|clinician|signature|transcriptionist|transcribed|einsender|"
    r"(?:überweiser|zuweiser|untersucher|befunder)(?:in)?|haus[aä]rzt(?:in)?|arzt|ärztin|mtra?|unterschrift|"
    rf"médecin(?:{_S}\w+)?|radiologue|cardiologue|manipulat(?:eur|rice)|prescripteur|"
    rf"médic[oa](?:{_S}\w+)?|radiólog[oa]|cardiólog[oa]|medico(?:{_S}\w+)?|radiologo))[ \t]*:\s*"
)
_NAMED = rf"(?i:\bpatient['’]s{_S}name{_S}is|\bname{_S}of{_S}(?:the{_S})?patient(?:{_S}is)?){_S}:?\s*"
_BY = (
    r"(?i:\b(?:dictated|signed|cosigned|transcribed|read|reviewed|approved|interpreted|reported|verified|"
    r"authenticated|performed|ordered|referred|requested|prepared|entered|typed)"
    rf"(?:{_S}(?:and|&){_S}\w+)?(?:{_S}electronically)?{_S}by|"
    r"\b(?:befundet|diktiert|erstellt|geschrieben|unterschrieben|freigegeben|vidiert|untersucht|überwiesen|gesehen)"
    rf"{_S}(?:von|durch)|\bgez\.|"
    r"\b(?:dicté|signé|validé|relu|rédigé|adressé|réalisé|interprété|saisi|vu)e?"
    rf"(?:{_S}et{_S}\w+)?(?:{_S}électroniquement)?{_S}par(?:{_S}l[ea])?|"
    r"\b(?:dictad|firmad|informad|revisad|realizad|remitid|validad|solicitad|redactad|transcrit)[oa]"
    rf"(?:{_S}y{_S}\w+)?(?:{_S}electrónicamente)?{_S}por(?:{_S}(?:el|la))?|"
    r"\b(?:firmato|refertato|dettato|eseguito|redatto|validato)[ \t]+(?:da|dal|dalla)|"
    r"\b(?:gedicteerd|ondertekend|verslagen|beoordeeld)[ \t]+door)[ \t]*:?\s*"
)
_DEGREE = r",?[ \t]+(?:M\.?D\b|D\.?O\b|R\.?N\b|Ph\.?D\b|FRCR\b|MBBS\b|Facharzt|Fachärztin)"

_GIVEN = rf"(?:{_any((*GIVEN, *(name.upper() for name in GIVEN)))})"
_GIVENS = rf"(?<![^\W_])(?!(?:{_any(EPONYMS)})\b){_GIVEN}(?:(?:-|{_S}){_GIVEN}){{0,2}}(?![^\W_-])"
_TERM = rf"(?!['’]?s?[ -](?:{_any(EPONYM_NOUNS)})\b)"
_SPOKEN = (
    rf"(?i:\b(?:(?:spoke|discussed|talked|reviewed|agreed|shared)(?:{_S}(?:this|it|the{_S}\w+|\w+))?{_S}with|(?:told|informed|called|notified|asked)|"
    rf"besprochen{_S}mit|rücksprache{_S}mit|vu{_S}avec|j['’]ai{_S}vu|discuté{_S}avec|comentado{_S}con|"
    rf"hablado{_S}con|llamé{_S}a|avisado{_S}a)){_S}"
)
_SUBJECT = r"(?:^|(?<=[.!?]\s))"
_SAYS = (
    r"(?=[ ](?:klagt|berichtet|verneint|leidet|complains|denies|denied|complained|se plaint|refiere|niega)\b)"
)
_FAMILY = (
    r"(?=[ ](?:(?:were|are|have[ ]been|was)[ ](?:informed|told|present|notified|counselled|counseled|called|asked)|"
    r"asked|agreed?|declined?|understand|understood|consented?|wish|want|live|visited|called)\b)"
)
_FRENCH = re.compile(r"\b(?:le|la|les|une?|est|du|des|et|à|ans|avec|pour|pas|par|sont)\b", re.IGNORECASE)
_SPANISH = re.compile(r"\b(?:el|los|las|del|una?|con|por|años|se|que|para|Dña)\b|[ ]y[ ]", re.IGNORECASE)
_CARETED = rf"[{UPPER}]{{2,}}"
_SPELLED = rf"[{UPPER}][^\W\d_]*(?:[ '’-][{UPPER}][^\W\d_]*){{0,2}}\.?"


def _rule(pattern: str, flags: int = 0, each: str | None = None, only: re.Pattern[str] | None = None) -> Rule:
    return Rule("NAME", re.compile(pattern, flags), None if each is None else re.compile(each), only)


RULES = (
    _rule(rf"{TITLE}(?P<found>{_EITHER})"),
    _rule(rf"{_PLURAL}(?P<found>{_ONE}(?:{_AND}{_ONE}){{1,8}})", each=rf"(?:{_CAPITALS}|(?!(?:{_TITLE})){_NAME})"),
    # `M. Dubois` is a man in French only, `D. Antonio` one in Spanish only.
    _rule(rf"(?<![^\W_])M\.[ ]?(?P<found>(?!(?:{_any(DISEASES)})\b)(?:{_CAPITALS}|{_NAME}))", only=_FRENCH),
    _rule(rf"(?<![^\W_])(?<!itamina[ ])D\.[ ]?(?P<found>{_GIVEN}(?:{_S}{_NAME})?)", only=_SPANISH),
    # In capitals MR is also an examination: only where a sentence begins with it.
    _rule(rf"(?:^|(?<=[.:;]\s))MR\.[ ](?P<found>(?!(?:{_any(EXAMS)})\b){_CAPITALS})", re.MULTILINE),
    _rule(rf"{_ROLE}(?:{TITLE})?(?P<found>{_LISTED})"),
    _rule(rf"{_NAMED}(?:{TITLE})?(?P<found>{_LISTED})"),
    _rule(rf"{_BY}(?:{TITLE})?(?P<found>{_EITHER})"),
    _rule(rf"\b(?P<found>(?:{WORD}|[{UPPER}]\.)(?:[ ](?:{WORD}|[{UPPER}]\.)){{0,3}}){_DEGREE}"),
    # Announced by a first name: `Bernd Oster`, `Nguyen, Thomas B.`
    _rule(rf"(?P<found>{_GIVENS}(?:{_S}[{UPPER}]\.)?{_S}(?:{_PARTICLE}{{0,3}}{WORD})(?:{_S}{WORD})?){_TERM}"),
    _rule(rf"(?P<found>(?<![^\W_-])(?:{_PARTICLE}{{0,3}}{WORD}(?:{_S}{WORD})?),[ ]?{_GIVENS}(?:{_S}[{UPPER}]\.?)?)(?!\w)"),
    _rule(rf"{_SPOKEN}(?P<found>{_GIVEN})(?![^\W_])"),
    _rule(
        rf"(?P<found>^(?!(?:{_any(EXAMS)})\b)[{UPPER}][{UPPER}'’ -]+,[ ]?(?!(?:{_any(EXAMS)})\b)[{UPPER}]{{2,}}"
        rf"(?:[ ][{UPPER}]+){{0,2}})(?=[ ,;]+(?:\d|DOB|MRN|[MF]\b|geb))",
        re.MULTILINE,
    ),
    _rule(rf"(?:{_SUBJECT})(?P<found>{WORD}){_SAYS}", re.MULTILINE),
    _rule(rf"\b[Tt]he[ ](?P<found>{WORD}s){_FAMILY}"),
    _rule(rf"\b(?:[Tt]he[ ](?P<found>{WORD})[ ]family)\b"),
    _rule(rf"\b(?:famille|familia|famiglia)[ ](?P<found>{_NAME})"),
    # As DICOM and HL7 spell: parts of a name between carets, `&` within a family name.
    _rule(rf"(?<![\w^&])(?P<found>{_SHOUTED}{{0,3}}{_PARTICLE}{{0,3}}(?:{_CARETED}[ ])?{_SPELLED}(?:\^{{1,3}}{_SPELLED}){{1,5}})(?!\w)"),
    _rule(rf"(?<![\w^&])(?P<found>(?!(?:{_any(EXAMS)})&)[{UPPER}]{{3,}}&(?!(?:{_any(EXAMS)})\b)[{UPPER}]{{3,}})(?!\w)"),
)
"""Of names."""

SMALL = Rule(
    "NAME",
    re.compile(r"\b(?:dr|prof|mr|mrs|hr|fr|mme|mlle|sr|sra|dra)\.\s*(?:(?:dr|med|prof)\.\s*)*(?P<found>[^\W\d_]{2,})"),
)
"""In text without capitals, where nothing else tells a name from a word."""
