"""The words by which a report is divided: headings, abbreviations that end with a point, months; and name fields."""

import re

HEADINGS = (
    # English
    *("ADDENDUM", "ASSESSMENT", "CAPTION", "CASE DIAGNOSIS", "CHIEF COMPLAINT", "CLINICAL DATA", "CLINICAL DETAILS"),
    *("CLINICAL HISTORY", "CLINICAL INDICATION", "CLINICAL INFORMATION", "CLINICAL QUESTION", "COMMENT", "COMMENTS"),
    *("COMPARISON", "COMPARISON STUDY", "COMPARISONS", "CONCLUSION", "CONCLUSIONS", "CONTRAST", "DIAGNOSIS"),
    *("DIFFERENTIAL DIAGNOSIS", "DISCUSSION", "EXAM", "EXAM TYPE", "EXAMINATION", "FINAL IMPRESSION", "FINAL REPORT"),
    *("FINDINGS", "FINDINGS AND IMPRESSION", "FINDINGS/IMPRESSION", "FOLLOW-UP", "HISTORY", "IMPRESSION"),
    *("IMPRESSIONS", "INDICATION", "INDICATIONS", "INTERPRETATION", "NOTIFICATION", "OPINION", "PATIENT HISTORY"),
    *("PRELIMINARY REPORT", "PROCEDURE", "PROTOCOL", "REASON FOR EXAM", "REASON FOR EXAMINATION"),
    *("REASON FOR STUDY", "RECOMMENDATION", "RECOMMENDATIONS", "REPORT", "RESULT", "RESULTS", "SUMMARY", "TECHNIQUE"),
    *("TYPE OF EXAMINATION", "WET READ"),
    # German
    *("ANAMNESE", "BEFUND", "BEFUNDE", "BEURTEILUNG", "DIAGNOSE", "DIAGNOSEN", "EMPFEHLUNG", "FRAGESTELLUNG"),
    *("INDIKATION", "KLINIK", "KLINISCHE ANGABEN", "METHODE", "METHODIK", "PROCEDERE", "RECHTFERTIGENDE INDIKATION"),
    *("TECHNIK", "UNTERSUCHUNG", "UNTERSUCHUNGSTECHNIK", "VERGLEICH", "VORAUFNAHMEN", "VORUNTERSUCHUNG"),
    *("VORUNTERSUCHUNGEN", "ZUSAMMENFASSUNG"),
    # French, Spanish, Italian, Dutch, Portuguese, Swedish
    *("RÉSULTATS", "RENSEIGNEMENTS CLINIQUES", "COMPARAISON", "HALLAZGOS", "IMPRESIÓN", "IMPRESIÓN DIAGNÓSTICA"),
    *("CONCLUSIÓN", "INDICACIÓN", "TÉCNICA", "COMPARACIÓN", "REFERTO", "CONCLUSIONI", "QUESITO CLINICO"),
    *("BEVINDINGEN", "CONCLUSIE", "ACHADOS", "CONCLUSÃO", "FYND", "UTLÅTANDE", "BEDÖMNING"),
)
"""Of sections, in upper case."""

TITLES = frozenset({"Dr", "Dres", "Prof", "Mr", "Mrs", "Ms", "Hr", "Fr", "Frl", "St", "Drs", "Dott", "Sra", "Mme"})
"""Written so before a name; `MS` is a disease."""

ABBREVIATIONS = frozenset(
    {
        # English
        *("dr", "prof", "vs", "approx", "appr", "fig", "figs", "incl", "excl", "cf", "viz", "dept", "hosp", "pt"),
        *("pts", "ant", "post", "inf", "sup", "lat", "prox", "dist", "avg", "temp", "vol", "resp", "nos", "esp", "ref"),
        *("max", "dx", "hx", "tx", "rx", "wk", "yr", "jr", "sr", "art", "aa", "vv", "proc", "lig", "musc", "seg"),
        # German
        *("ca", "bzw", "ggf", "ggfs", "evtl", "evt", "sog", "vgl", "inkl", "exkl", "nr", "abb", "tab", "pat", "klin"),
        *("li", "re", "bds", "path", "unauff", "unspez", "wahrsch", "vermutl", "veränd", "unveränd", "ausgepr"),
        *("diskr", "mögl", "rechtsseit", "linksseit", "geringgr", "mittelgr", "höhergr", "hochgr", "zust", "rel"),
        *("mind", "entspr", "med", "dipl", "allg", "insb", "insbes", "diff", "geb", "tel", "str", "std", "abs", "konf"),
        *("indiff", "chron", "intraventr", "dh"),
        # French, Spanish, Italian
        *("env", "gche", "dte", "aprox", "izq", "der", "dx", "sn", "ecc", "ds", "sx"),
    }
)
"""In lower case; a point after one of them ends no sentence."""

LETTERED = frozenset(
    {
        *("type", "hepatitis", "grade", "class", "stage", "vitamin", "group", "zone", "influenza", "point", "phase"),
        *("typ", "klasse", "stadium", "gruppe", "stanford", "child", "variant", "category", "region", "level"),
    }
)
"""Before a single letter that is no initial: `Hepatitis B.`"""

BEFORE_ORDINALS = frozenset({"der", "die", "das", "dem", "den", "des", "am", "im", "vom", "zum", "zur", "bis", "ab"})
"""Before a German number with a point: `am 3. Tag`, `die 4. Rippe`."""

MONTHS = frozenset(
    {
        *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october"),
        *("november", "december", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"),
        # German
        *("januar", "jänner", "jaenner", "februar", "feber", "märz", "maerz", "mai", "juni", "juli", "oktober"),
        *("dezember", "jän", "febr", "mär", "mrz", "okt", "dez"),
        # French
        *("janvier", "février", "fevrier", "mars", "avril", "juin", "juillet", "août", "aout", "septembre", "octobre"),
        *("novembre", "décembre", "decembre", "janv", "févr", "fév", "avr", "juil", "déc"),
        # Spanish
        *("enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "setiembre"),
        *("octubre", "noviembre", "diciembre", "ene", "abr", "ago", "dic"),
        # Italian
        *("gennaio", "febbraio", "aprile", "maggio", "giugno", "luglio", "settembre", "ottobre", "dicembre"),
        *("gen", "mag", "giu", "lug", "set", "ott"),
        # Dutch
        *("januari", "februari", "maart", "mei", "augustus", "mrt"),
    }
)
"""Of English, German, French, Spanish, Italian and Dutch, in lower case, whole and short."""

SMALL_MONTHS = frozenset(
    {
        *("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre"),
        *("novembre", "décembre", "enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto"),
        *("septiembre", "octubre", "noviembre", "diciembre", "gennaio", "febbraio", "aprile", "maggio", "giugno"),
        *("luglio", "settembre", "ottobre", "dicembre", "januari", "februari", "maart", "juni", "juli", "augustus"),
    }
)
"""Months that languages write with a small letter, and that are no other word."""

STARTERS = frozenset({"The", "There", "This", "These", "No", "It", "Please", "Es", "Kein", "Keine", "Dies", "Diese"})
"""Words that in the middle of a sentence begin with a small letter: a point before one ended a sentence."""

_PERSON = re.compile(
    r"(?:patient|pat|family|last|first|middle|given|maiden|sur|birth|full|fore|physician|doctor|referring|radiologist)s?"
    r"[ _.-]*name|(?:patient|pat)[ _.-]*name|name[ _.-]*(?:of[ _.-]*(?:the[ _.-]*)?)?patient|surname|forename|nachname|"
    r"familienname|vorname|geburtsname|nom|prenom|prénom|nombre|apellidos?|cognome|naam|achternaam|voornaam|"
    r"(?:referring|attending|requesting|ordering|reading|reporting|performing)[ _.-]*"
    r"(?:physician|doctor|radiologist|md)"
    r"(?:s?[ _.-]*name)?|physician|radiologist|technologist|operator|doctor|(?:radiologist|physician|signed|dictated|"
    r"approved)[ _.-]*by|arzt|hausarzt|überweiser|einsender|befunder|médecin|medecin|médico|medico"
)


def names_a_person(heading: str) -> bool:
    """Whether the heading of a column or the name of a field is that of persons: `PatientName`, `nachname`."""
    return _PERSON.fullmatch(heading.strip().lower()) is not None
