"""Rules for names: a title, a role, a signature, a first name, or the spelling of DICOM and HL7 announces them."""

import re

from medcl.archive.deid_rule import (
    DEPARTMENTS,
    DISEASES,
    EPONYM_NOUNS,
    EPONYMS,
    EXAMS,
    GIVEN,
    PARTICLES,
    PLURALS,
    STOP,
    TITLES,
    Gate,
    Rule,
    has_words,
)

UPPER = "".join(character for character in map(chr, range(0x41, 0x250)) if character.isupper())
_S = r"[ \t]+"


def _any(words: tuple[str, ...]) -> str:
    return "|".join(re.escape(word) for word in sorted(set(words), key=lambda word: (-len(word), word)))


_NO_NAME = rf"(?!(?:{_any(STOP)})\b)"
WORD = rf"{_NO_NAME}(?:O['’]|[dDlL]['’])?[{UPPER}][^\W\d_]*(?:[-'’][^\W\d_]+){{0,3}}"
_PARTICLE = rf"(?:(?:{_any(PARTICLES)}|von{_S}und{_S}zu|St\.|['’]t){_S})"
_INITIAL = rf"{_NO_NAME}[{UPPER}]\."
_NAME = (
    # `Frau von der Au`, but `Herr der Lage`.
    rf"(?!(?:der|den|dem|des){_S}){_PARTICLE}{{0,3}}(?:{_INITIAL}[ \t]*){{0,3}}{WORD}"
    rf"(?:{_S}(?:[{UPPER}]\.|{_PARTICLE}{{0,3}}{WORD})){{0,3}}"
)
_SHOUTED = rf"(?:(?:{_any(tuple(word.upper() for word in PARTICLES))}){_S})"
# In capitals throughout the next word may be any: `DR. SMITH WAS CALLED`.
_CAPITALS = rf"{_NO_NAME}{_SHOUTED}{{0,3}}(?:[OD]['’])?[{UPPER}]{{2,}}(?:[-'’][{UPPER}]+)*(?![^\W\d_])"
_INITIAL_BEHIND = rf"(?:,[ ]?[{UPPER}]\.(?!\w))?"
_EITHER = rf"(?:{_CAPITALS}|{_NAME}){_INITIAL_BEHIND}"
_LISTED = rf"(?:{_CAPITALS}(?:{_S}{_CAPITALS})?|{_NAME})(?:,[ \t]*(?:{WORD}(?:{_S}[{UPPER}]\.)?|[{UPPER}]\.))?"
# A number before it makes another word of it: `24 Hr`, `14 Fr.`, `12 MM.`; PD is also a weighting, OA a disease.
_TITLE = rf"(?<![^\W_])(?<!\d[ -])(?:(?:{_any(TITLES)}|(?:PD|OA)(?=\.|[ ]+(?:Dr|Prof|Priv)))(?![^\W_])\.?|(?:Fr|MM)\.)"
_DEGREES = r"(?:[ \t]*\b(?:med|dent|rer|nat|habil|univ|h\.[ \t]?c)\.){0,4}"
# No space is needed behind a point: `Dr.Smith`, `Prof.Dr.med.Müller`.
_GAP = r"(?:(?<=\.)\s*|\s+)"
TITLE = rf"{_TITLE}(?:{_DEGREES}{_GAP}{_TITLE}){{0,4}}{_DEGREES}{_GAP}"
_AND = r"(?:[ \t]*,?[ \t]+(?:and|und|et|y|e|en|&)[ \t]+|[ \t]*[,;/][ \t]*)"
_ONE = rf"(?:{TITLE})?(?:{_CAPITALS}|{_NAME})"
_PLURAL = rf"(?<![^\W_])(?<!\d[ -])(?:(?:{_any(PLURALS)})(?![^\W_])\.?|MM\.){_DEGREES}{_GAP}"

_ROLE = (
    rf"(?i:\b(?:patient(?:in|e)?(?:['’]s)?(?:{_S}(?:full{_S})?name)?|paciente|pat\.|"
    rf"(?:(?:full|last|first|family|given){_S}|(?<![^\W\d_][ \t]))name|"
    rf"vorname|nachname|familienname|nom(?:{_S}de{_S}(?:naissance|famille|jeune{_S}fille))?|prénom|"
    r"nombre|apellidos?|cognome|naam|"
    rf"(?:attending|referring|requesting|ordering|reading|primary{_S}care|interpreting|reporting)"
    rf"(?:{_S}(?:physician|radiologist|doctor|provider|md))?|"
    r"physician|provider|radiologist|cardiologist|resident|fellow|staff|technologist|technician|sonographer|surgeon|"
    r"operator|clinician|signature|signed|dictated|transcriptionist|transcribed|registrar|consultant|intern|einsender|interne|externe|"
    r"secrétaire|infirmi(?:er|ère)|residente|adjunt[oa]|enfermer[oa]|técnic[oa]|infermier[ea]|"
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
_WITH = (
    rf"(?i:(?<![\w/])(?:d/w|(?:spoke|discussed|talked)(?:{_S}(?:this|it|the{_S}\w+|\w+))?{_S}with)){_S}"
    rf"(?!(?:{_any(DEPARTMENTS)})\b)"
)
_ATTENTION = (
    r"(?i:\b(?:attn|attention)[ \t]*[.:]+|\bcc[ \t]*:|\bz\.[ ]?hd\.(?:[ ]?v(?:on|\.))?|\bzu[ ]händen(?:[ ]von)?|"
    r"\bà[ ]l['’]attention[ ](?:de|du)|\ba[ ]la[ ]atención[ ]del?|\bpara[ ]la[ ]atención[ ]de)[ \t]*"
)
_KIN = (
    r"\b(?:daughter|son|wife|husband|mother|father|sister|brother|partner|fille|fils|épouse|époux|mari|femme|mère|père|"
    r"sœur|frère|compagne|hija|hijo|esposa|esposo|marido|mujer|madre|padre|hermana|hermano|figlia|figlio|moglie),?[ ]"
)
_KIN_GERMAN = r"\b(?:Tochter|Sohn|Ehefrau|Ehemann|Mutter|Vater|Schwester|Bruder|Partnerin?|Betreuer(?:in)?),?[ ]"
# Languages that write nouns small: a capital behind the word is a name. In German a verb has to follow.
_PATIENT = r"\b(?:[Ll]a|[Ll]e|[Ee]l|[Ll]['’])[ ]?(?:patiente?|paciente|paziente)[ ]"
_WAS = r"(?=,?[ ](?:wurde|war|ist|stellte?|kommt|klagt|hat|geb\b|geboren))"
_SPOKEN = (
    rf"(?i:\b(?:(?:reviewed|agreed|shared)(?:{_S}(?:this|it|the{_S}\w+|\w+))?{_S}with|(?:told|informed|called|notified|asked)|"
    rf"besprochen{_S}mit|rücksprache{_S}mit|vu{_S}avec|j['’]ai{_S}vu|discuté{_S}avec|comentado{_S}con|"
    rf"hablado{_S}con|llamé{_S}a|avisado{_S}a)){_S}"
)
_SUBJECT = r"(?:^|(?<=[.!?]\s))"
_SAYS = r"(?=[ ](?:klagt|berichtet|verneint|leidet|complains|denies|denied|complained|se plaint|refiere|niega)\b)"
_FAMILY = (
    r"(?=[ ](?:(?:were|are|have[ ]been|was)[ ](?:informed|told|present|notified|counselled|counseled|called|asked)|"
    r"asked|agreed?|declined?|understand|understood|consented?|wish|want|live|visited|called)\b)"
)
_ROMANCE = re.compile(r"\b(?:[Ll]a|[Ll]e|[Ee]l|[Ll]['’])[ ]?(?:patiente?|paciente|paziente)\b")
_FRENCH = re.compile(r"\b(?:le|la|les|une?|est|du|des|et|à|ans|avec|pour|pas|par|sont)\b", re.IGNORECASE)
_SPANISH = re.compile(r"\b(?:el|los|las|del|una?|con|por|años|se|que|para|Dña)\b|[ ]y[ ]", re.IGNORECASE)
_CARETED = rf"[{UPPER}]{{2,}}"
_SPELLED = rf"[{UPPER}][^\W\d_]*(?:[ '’&-][{UPPER}][^\W\d_]*){{0,2}}\.?"
_COLON = re.compile(":").search
_CARET = re.compile(r"\^").search
_FIRST = has_words(GIVEN)
_BY_WHOM = has_words(("by", "von", "durch", "gez", "par", "por", "da", "dal", "dalla", "door"))
_ATTENTIVE = has_words(("attn", "attention", "cc", "hd", "händen", "atención"))
_RELATED = has_words(re.findall(r"[^\W\d_]{3,}", _KIN + _KIN_GERMAN))
_PATIENTS = has_words(("patient", "patientin"))
_SAID = has_words(re.findall(r"[^\W\d_]{4,}", _SAYS))


def _rule(pattern: str, flags: int = 0, each: str | None = None, only: Gate | None = None) -> Rule:
    return Rule("NAME", re.compile(pattern, flags), None if each is None else re.compile(each), only)


RULES = (
    _rule(rf"{TITLE}(?P<found>{_EITHER})", only=has_words((*TITLES, "Fr", "MM", "PD", "OA"))),
    _rule(
        rf"{_PLURAL}(?P<found>{_ONE}(?:{_AND}{_ONE}){{1,8}})",
        each=rf"(?:{_CAPITALS}|(?!(?:{_TITLE})){_NAME})",
        only=has_words((*PLURALS, "MM")),
    ),
    # `M. Dubois` is a man in French only, `D. Antonio` one in Spanish only.
    _rule(rf"(?<![^\W_])M\.[ ]?(?P<found>(?!(?:{_any(DISEASES)})\b)(?:{_CAPITALS}|{_NAME}))", only=_FRENCH.search),
    _rule(rf"(?<![^\W_])(?<!itamina[ ])D\.[ ]?(?P<found>{_GIVEN}(?:{_S}{_NAME})?)", only=_SPANISH.search),
    _rule(rf"(?<![^\W_])(?<!\d[ ])(?:MME|MLLE)\.?[ ](?P<found>{_CAPITALS})", only=_FRENCH.search),
    _rule(rf"(?<![^\W_])(?:SR|SRA|SRTA|DRA|DÑA)\.?[ ](?P<found>{_CAPITALS})", only=_SPANISH.search),
    # In capitals MR is also an examination: only where a sentence begins with it.
    _rule(
        rf"(?:^|(?<=[.:;]\s))MR\.[ ]?(?P<found>(?!(?:{_any(EXAMS)})\b){_CAPITALS})",
        re.MULTILINE,
        only=has_words(("MR",)),
    ),
    _rule(rf"{_ROLE}(?:{TITLE})?(?P<found>{_LISTED})", only=_COLON),
    _rule(rf"{_NAMED}(?:{TITLE})?(?P<found>{_LISTED})", only=has_words(("name",))),
    _rule(rf"{_BY}(?:{TITLE})?(?P<found>{_EITHER})", only=_BY_WHOM),
    _rule(
        rf"\b(?P<found>(?:{WORD}|[{UPPER}]\.)(?:[ ](?:{WORD}|[{UPPER}]\.)){{0,3}}){_DEGREE}",
        only=re.compile(_DEGREE).search,
    ),
    # Announced by a first name: `Bernd Oster`, `Nguyen, Thomas B.`
    _rule(
        rf"(?P<found>{_GIVENS}(?:{_S}[{UPPER}]\.)?{_S}(?:{_PARTICLE}{{0,3}}{WORD})(?:{_S}{WORD})?){_TERM}", only=_FIRST
    ),
    _rule(
        rf"(?P<found>(?<![^\W_-])(?:{_PARTICLE}{{0,3}}{WORD}(?:{_S}{WORD})?),[ ]?{_GIVENS}(?:{_S}[{UPPER}]\.?)?)"
        r"(?![\w-])",
        only=_FIRST,
    ),
    _rule(rf"{_SPOKEN}(?P<found>{_GIVEN})(?![^\W_])", only=_FIRST),
    _rule(rf"{_WITH}(?P<found>(?:[{UPPER}]\.[ ]?)?{WORD})", only=has_words(("w", "with"))),
    _rule(rf"{_ATTENTION}(?:{TITLE})?(?P<found>{_EITHER})", only=_ATTENTIVE),
    _rule(rf"{_KIN}(?P<found>{WORD}(?:{_S}{WORD})?)", only=_RELATED),
    _rule(rf"{_KIN_GERMAN}(?P<found>{WORD}{_S}{WORD}|{_GIVEN}(?![^\W_]))", only=_RELATED),
    _rule(rf"{_PATIENT}(?P<found>{_NAME})", only=_ROMANCE.search),
    _rule(rf"\b[Pp]atient(?:in)?[ ](?P<found>{_NAME}){_WAS}", only=_PATIENTS),
    _rule(rf"\b[Pp]atient[ ](?P<found>{WORD}(?:{_S}{WORD}){{1,2}})(?=[ ,][ ]?[a-z])", only=_PATIENTS),
    _rule(
        rf"(?P<found>^(?!(?:{_any(EXAMS)})\b)[{UPPER}][{UPPER}'’ -]+,[ ]?(?!(?:{_any(EXAMS)})\b)[{UPPER}]{{2,}}"
        rf"(?:[ ][{UPPER}]+){{0,2}})(?=[ ,;]+(?:\d|DOB|MRN|[MF]\b|geb))",
        re.MULTILINE,
    ),
    _rule(rf"(?:{_SUBJECT})(?P<found>{WORD}){_SAYS}", re.MULTILINE, only=_SAID),
    _rule(rf"\b[Tt]he[ ](?P<found>{WORD}s){_FAMILY}"),
    _rule(rf"\b(?:[Tt]he[ ](?P<found>{WORD})[ ]family)\b"),
    _rule(rf"\b(?:famille|familia|famiglia)[ ](?P<found>{_NAME})"),
    # As DICOM and HL7 spell: parts of a name between carets, `&` within a family name.
    _rule(
        rf"(?<![\w^&])(?P<found>{_SHOUTED}{{0,3}}{_PARTICLE}{{0,3}}(?:{_CARETED}[ ])?{_SPELLED}"
        rf"(?:\^{{1,3}}{_SPELLED}){{1,5}})(?!\w)",
        only=_CARET,
    ),
    _rule(r"(?<![\w^&])(?P<found>[^\W\d_]{3,}\^[^\W\d_]{3,})(?![\w^])", only=_CARET),
    _rule(
        rf"(?<![\w^&])(?P<found>(?!(?:{_any(EXAMS)})&)[{UPPER}]{{3,}}&(?!(?:{_any(EXAMS)})\b)[{UPPER}]{{3,}})(?!\w)",
        only=re.compile("&").search,
    ),
)
"""Of names."""

SMALL = Rule(
    "NAME",
    re.compile(
        r"\b(?:(?:prof|mr|hr|fr|sr|sra|dra)\.\s*|(?:dr|mrs|mme|mlle)\.?\s+|dr\.)(?:(?:dr|med|prof)\.\s*)*(?P<found>[^\W\d_]{2,})"
    ),
)
"""In text without capitals, where nothing else tells a name from a word."""
