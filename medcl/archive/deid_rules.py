"""Patterns of what identifies a person in the text of a report; the marked group of each is what is replaced."""

import re

from medcl.readers.report_wording import MONTHS

_UPPER = "".join(character for character in map(chr, range(0x41, 0x250)) if character.isupper())
_STOP = (
    "MD|DO|RN|PhD|FRCR|The|There|This|No|None|Not|Normal|Unknown|Male|Female|Age|Sex|DOB|Date|Time|MRN|Findings|"
    "FINDINGS|Impression|IMPRESSION|Exam|EXAM|History|HISTORY|Comparison|COMPARISON|Technique|TECHNIQUE|Indication|"
    "INDICATION|Radiology|Department|Practitioner|Is|Was|At|On|And|Attending|Resident|Staff|Radiologist|Technologist|"
    "Name|Vorname|Nachname|Geb|Geburtsdatum|Befund|Beurteilung|Der|Die|Das|Es|Kein|Keine|Kollege|Kollegin|Kollegen|"
    "Doktor|Dr|Prof|Patient|Patientin|Weiblich|Männlich|Station|Abteilung|Datum|Klinik|Phone|Tel|Fax|"
    "Signed|Dictated|OB|GYN|ER|ED|ICU"
)
_WORD = rf"(?!(?:{_STOP})\b)(?:O['’]|[dDlL]['’])?[{_UPPER}][^\W\d_]*(?:[-'’][^\W\d_]+){{0,3}}"
_PARTICLE = (
    r"(?:(?:van|von|vom|de|la|le|los|der|den|dem|del|della|di|da|dos|du|zu|zur|ter|ten|bin|al|el|af|St\.)[ \t]+)"
)
_INITIAL = rf"(?!(?:{_STOP})\b)[{_UPPER}]\."
_NAME = (
    rf"{_PARTICLE}{{0,3}}(?:{_INITIAL}[ \t]*){{0,3}}{_WORD}"
    rf"(?:[ \t]+(?:[{_UPPER}]\.|{_PARTICLE}{{0,3}}{_WORD})){{0,3}}"
)
# In capitals throughout the next word may be any: `DR. SMITH WAS CALLED`.
_CAPITALS = rf"(?!(?:{_STOP})\b)[{_UPPER}]{{2,}}(?:[-'’][{_UPPER}]+)*(?![^\W\d_])"
_ANY_NAME = rf"(?P<found>{_CAPITALS}|{_NAME})"
_LISTED = rf"(?P<found>(?:{_CAPITALS}(?:[ \t]+{_CAPITALS})?|{_NAME})(?:,[ \t]*{_WORD}(?:[ \t]+[{_UPPER}]\.)?)?)"
_TITLE = (
    r"(?>\b(?:Dres|DRES|Drs|Dr|DR|Prof|PROF|Mrs|MRS|Priv\.-Doz|PD)\.|\b(?:Dr|Mr|Mrs|Ms|Miss|Prof|Professor|Professorin|"
    r"Doctor|Nurse|Herrn?|Frau|Fräulein|Kollegen?|Kollegin|OÄ|Ober[aä]rzt(?:in)?|Assistenz[aä]rzt(?:in)?|"
    r"Chef[aä]rzt(?:in)?|Stations[aä]rzt(?:in)?|Monsieur|Madame|Señora?|Signora?)\b\.?)"
)
_DEGREES = r"(?:[ \t]*\b(?:med|dent|rer|nat|habil|univ|h\.[ \t]?c)\.){0,4}"
_TITLES = rf"{_TITLE}(?:{_DEGREES}\s+{_TITLE}){{0,4}}{_DEGREES}"
_S = r"[ \t]+"
_ROLE = (
    rf"(?i:\b(?:patient(?:in)?(?:['’]s)?(?:{_S}(?:full{_S})?name)?|(?:(?:full|last|first){_S}|(?<![^\W\d_][ \t]))name|"
    r"vorname|nachname|"
    rf"(?:attending|referring|requesting|ordering|reading|primary{_S}care|interpreting|reporting)"
    rf"(?:{_S}(?:physician|radiologist|doctor|provider|md))?|"
    r"physician|provider|radiologist|cardiologist|resident|fellow|staff|technologist|technician|sonographer|surgeon|"
    r"operator|clinician|signature|transcriptionist|einsender|(?:überweiser|zuweiser|untersucher|befunder)(?:in)?|"
    r"haus[aä]rzt(?:in)?|arzt|ärztin|mtra?|unterschrift))[ \t]*:\s*"
)
_BY = (
    r"(?i:\b(?:dictated|signed|transcribed|read|reviewed|approved|interpreted|reported|verified|authenticated|"
    r"performed|ordered|referred|requested|prepared|entered|typed)"
    rf"(?:{_S}(?:and|&){_S}\w+)?(?:{_S}electronically)?{_S}by|"
    r"\b(?:befundet|diktiert|erstellt|geschrieben|unterschrieben|freigegeben|vidiert|untersucht|überwiesen|gesehen)"
    rf"{_S}(?:von|durch)|\bgez\.)[ \t]*:?\s*"
)
_DEGREE = r",?[ \t]+(?:M\.?D\b|D\.?O\b|R\.?N\b|Ph\.?D\b|FRCR\b|MBBS\b|Facharzt|Fachärztin)"

_MONTH = rf"(?:{'|'.join(sorted(MONTHS, key=len, reverse=True))})\b\.?"
_YEAR = r"(?:19|20)\d\d"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_MONTH_NUMBER = r"(?:0?[1-9]|1[0-2])"
_FREE = r"(?<![\w.,/-])"  # no part of a longer number
_DONE = r"(?![\w/-])(?![.,]\d)"

_CITIES = rf"{_WORD}(?:[ \t]+{_WORD})?"
_NUMBER = rf"(?:{_S}(?:number|no\.?|id))?"
_STRONG_ID = (
    rf"\b(?:MRN|(?:medical|patient){_S}record{_NUMBER}|accession{_NUMBER}|SSN|social{_S}security{_NUMBER}|"
    rf"(?:health{_S})?insurance{_NUMBER}|NHS{_NUMBER}|"
    r"(?:patient|case|study|exam|encounter|visit|account|policy|order|request|hospital)[ \t-]*(?:id|number|no\.|nr\.?)|"
    r"pat(?:ienten)?\.?[ \t-]*(?:id|nr\.?|nummer)|(?:fall|versicherungs|versicherten|auftrags|aufnahme)[ \t-]*"
    r"(?:nr\.?|nummer))"
)
_WEAK_ID = r"\b(?:id|order|accession|case|visit|account|encounter|auftrag|fall|reference|ref|nr)"
_ID_VALUE = r"(?P<found>(?=(?:[ ./-]?\w){3})(?=(?:[^\d\s]*\d){3})[A-Za-z]{0,6}[-./]?\d[\w/-]*(?:[ .]\d{2,}){0,4})(?!\w)"

RULES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, flags))
    for kind, pattern, flags in (
        ("EMAIL", r"(?<![\w.+-])(?P<found>[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]+)+)", 0),
        ("EMAIL", r"(?P<found>\bhttps?://\S+|\bwww\.\S+)", re.IGNORECASE),
        ("ID", rf"{_STRONG_ID}[ \t]*(?:is[ \t]+)?[#:.=]*\s*[#:]?[ \t]*{_ID_VALUE}", re.IGNORECASE),
        ("ID", rf"{_WEAK_ID}[ \t]*[#:]+[ \t]*{_ID_VALUE}", re.IGNORECASE),
        ("ID", rf"{_FREE}(?P<found>\d{{3}}-\d{{2}}-\d{{4}}){_DONE}", 0),
        ("ID", r"(?<![\w.,])(?P<found>[A-Z]{1,4}\d{6,}|\d(?:\.\d+){5,})(?![\w])", 0),
        *(
            ("DATE", rf"{_FREE}(?P<found>{form}){_DONE}", re.IGNORECASE)
            for form in (
                rf"{_YEAR}([-/.]){_MONTH_NUMBER}\2{_DAY}(?:T\d\d:\d\d(?::\d\d)?)?",
                rf"{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])",
                rf"(?:{_DAY}/{_MONTH_NUMBER}|{_MONTH_NUMBER}/{_DAY})/(?:{_YEAR}|\d\d)",
                rf"(?:{_DAY}-{_MONTH_NUMBER}|{_MONTH_NUMBER}-{_DAY})-(?:{_YEAR}|\d\d)",
                rf"{_DAY}\.[ ]?{_MONTH_NUMBER}\.[ ]?(?:{_YEAR}|\d\d)",
                rf"{_MONTH_NUMBER}/{_YEAR}|(?:0[1-9]|1[0-2])\.{_YEAR}",
                rf"{_DAY}(?:st|nd|rd|th|\.)?[ ]+(?:of[ ]+)?{_MONTH},?[ ]+{_YEAR}",
                rf"{_DAY}[-./]{_MONTH}[-./](?:{_YEAR}|\d\d)",
                rf"{_MONTH}[ ]+{_DAY}(?:st|nd|rd|th)?,?[ ]+{_YEAR}",
                rf"{_MONTH},?[ ]+(?:of[ ]+)?{_YEAR}",
            )
        ),
        # Without a year: the month must be written as one, since `may 2` and `mar 3` are also other things.
        ("DATE", rf"{_FREE}(?P<found>{_DAY}(?:st|nd|rd|th|\.)?[ ](?=[{_UPPER}])(?i:{_MONTH})){_DONE}", 0),
        ("DATE", rf"\b(?P<found>(?=[{_UPPER}])(?i:{_MONTH})[ ]{_DAY}(?:st|nd|rd|th)?){_DONE}", 0),
        ("DATE", rf"\b(?:am|vom|seit|bis|zum)[ ](?P<found>{_DAY}\.[ ]?{_MONTH_NUMBER}\.)(?!\d)", re.IGNORECASE),
        ("DATE", rf"\b(?:on|dated|from)[ ](?P<found>{_MONTH_NUMBER}/{_DAY}){_DONE}", re.IGNORECASE),
        ("PHONE", r"(?<![\w+])(?P<found>\+\d{1,3}(?:[ ./-]?\(?\d+\)?){2,7})(?!\w)", 0),
        ("PHONE", r"(?<![\w(-])(?P<found>(?:1[-. ])?(?:\(\d{3}\)[ ]?|\d{3}[-. ])\d{3}[-.]\d{4})(?!\w)", 0),
        (
            "PHONE",
            r"\b(?:tel|telefon|telephone|phone|fax|pager|page|call|beeper|mobil|mobile|handy|ext|durchwahl)\b[ \t.:#]*"
            r"(?:at[ \t]+|unter[ \t]+|number[ \t]+)?(?P<found>(?=(?:[^\d\n]{0,3}\d){5})[\d(+][\d()/ .-]*\d)(?!\w)",
            re.IGNORECASE,
        ),
        (
            "ADDRESS",
            rf"\b(?P<found>\d{{1,5}}[ ](?:{_WORD}[ ]){{1,3}}(?:Street|St\.|Avenue|Ave\b\.?|Road|"
            r"Rd\b\.?|Lane|Ln\b|Drive|Boulevard|Blvd\b\.?|Court|Square))",
            0,
        ),
        ("ADDRESS", rf"(?P<found>\b{_CITIES},[ ][A-Z]{{2}}[ ]\d{{5}}(?:-\d{{4}})?)(?!\w)", 0),
        (
            "ADDRESS",
            rf"\b(?P<found>(?:(?!Wohnhaft|Adresse|Anschrift){_WORD}[ -])?(?!(?:Atem|Gallen|Harn|Luft|Speise)weg)"
            rf"[{_UPPER}][^\W\d_]*(?:straße|strasse|str\.|weg|platz|allee|gasse)[ ]\d{{1,4}}[a-z]?)\b",
            0,
        ),
        ("ADDRESS", rf"(?:,\s*|\bD-|\b(?:wohnhaft|Adresse:?|Anschrift:?)[ ](?:in[ ])?)(?P<found>\d{{5}}[ ]{_WORD})", 0),
        (
            "AGE",
            r"(?<![\w.,])(?P<found>9\d|1[0-2]\d)(?=[ -]*(?:years?\b[ -]*(?:old|of[ ]age)|yrs?\b|y/?o\b|y\.o\.|jährig|"
            r"Jahren?\b|J\.))",
            re.IGNORECASE,
        ),
        ("AGE", r"\b(?:age|aged|alter)[: ]+(?:of[ ]+|von[ ]+)?(?P<found>9\d|1[0-2]\d)\b(?![.,]\d)", re.IGNORECASE),
        ("NAME", rf"{_TITLES}\s+{_ANY_NAME}", 0),
        ("NAME", rf"{_ROLE}(?:{_TITLES}\s+)?{_LISTED}", 0),
        ("NAME", rf"{_BY}(?:{_TITLES}\s+)?{_ANY_NAME}", 0),
        ("NAME", rf"\b(?P<found>(?:{_WORD}|[{_UPPER}]\.)(?:[ ](?:{_WORD}|[{_UPPER}]\.)){{0,3}}){_DEGREE}", 0),
        ("ID", r"(?<![\w.,/-])(?P<found>\d{7,})(?![\w/])(?![.,]\d)", 0),
    )
)
"""Kind and pattern; where two find the same words, the one that stands first names them."""

SMALL_NAMES = re.compile(r"\b(?:dr|prof|mr|mrs)\.\s+(?:(?:dr|med|prof)\.\s*)*(?P<found>[^\W\d_]{2,})")
"""In text without capitals, where nothing else tells a name from a word."""
