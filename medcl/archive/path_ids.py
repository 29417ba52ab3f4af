"""Patient, session, study, series and trial from the path of a record: by a pattern, or as BIDS names its files."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import PurePosixPath

from medcl.errors import UnreadableError, UsageError

FLAG = "placeholder patient id"
"""Flag of a record that counts as a patient of its own, since its patient id is a placeholder."""

_TAKEN_OUT = """
anonymous anonymus anonym anon anonymized anonymised anonymize anonymise anonymisiert anonyme anonymes anonymisee
anonimo anonima anonimizado anonimizada anonimato anonimizzato deidentified deident deid pseudonymized pseudonymised
pseudonymisiert removed redacted masked hidden deleted entfernt geloescht geloscht supprime eliminado borrado
confidential vertraulich confidentiel confidencial
"""
_NOT_KNOWN = """
unknown unk unkn unbekannt inconnu inconnue desconocido desconocida sconosciuto ignoto undefined unspecified
unidentified unnamed unassigned missing fehlt fehlend none null nil nan na nat void empty blank leer vide vacio keine
keiner ohne aucun aucune ninguno ninguna sans sin no noid noname nobody niemand personne nadie notavailable
notapplicable notprovided notknown notset notassigned noinformation nodata keineangabe keinname ohnename ohnenamen
nonrenseigne nonrenseignee nonconnu nondisponible nodisponible noconocido default dummy placeholder
"""
_TRIED_OUT = """
test testing tester teste testfall prueba essai probe dryrun johndoe janedoe doejohn doejane maxmustermann
mustermannmax mustermann erikamustermann jeandupont fulano
"""
_PERSONS = """
patient patienten patiente patientin paciente subject subjekt sujet sujeto proband name namen nom nombre id pid
patientid patientname person personne persona
"""
_WORDS = f"{_TAKEN_OUT} {_NOT_KNOWN} {_TRIED_OUT}".split()
_SUBJECTS = ("", *_PERSONS.split())
# A word for a patient alone tells nobody apart, but a bare `person` or `name` is the heading in the place of the value.
_NOBODY = frozenset(one for word in _WORDS for subject in _SUBJECTS for one in (word + subject, subject + word)) | {
    subject for subject in _SUBJECTS if subject
}
_SIGNS = re.compile(r"x+|0+", re.ASCII)
_ZERO = re.compile(r"[+-]?0+(\.0*)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+(\.0*)?", re.ASCII)


@lru_cache(maxsize=4096)
def is_placeholder(clear_id: str, *, zero_is_id: bool = False) -> bool:
    """Whether a patient id names nobody.

    Case, accents, spaces and signs do not matter: `De-Identified`, `ANONYMIZED^^^^`, `N/A` and `#NAME?` are as good as
    an empty one. Numbered ones, such as ANON0007, are pseudonyms and name a patient.

    Args:
        clear_id: as a file, a path or a table has it.
        zero_is_id: whether 0 is a number like the others, see `zero_is_an_id`.
    """
    if zero_is_id and _ZERO.fullmatch(clear_id.strip()):
        return False
    plain = unicodedata.normalize("NFKD", clear_id).casefold()
    letters = "".join(letter for letter in plain if letter.isalnum())
    return not letters or letters in _NOBODY or _SIGNS.fullmatch(letters) is not None


def zero_is_an_id(ids: Iterable[str | None]) -> bool:
    """Whether 0 is a patient among others, as where people are numbered from 0.

    It is one where all other ids are whole numbers and 1 is among them, or 0 is no more frequent than they are: a 0
    that stands in more rows than any other id is what was typed where none was known.

    Args:
        ids: of all records, placeholders among them.
    """
    counts = Counter(one.strip() for one in ids if one is not None)
    zeros = sum(count for one, count in counts.items() if _ZERO.fullmatch(one))
    others = {one: n for one, n in counts.items() if not _ZERO.fullmatch(one) and not is_placeholder(one)}
    if not zeros or not others or not all(_WHOLE.fullmatch(one) for one in others):
        return False
    return any(float(one) == 1 for one in others) or zeros <= max(others.values())


def without_placeholders(ids: Sequence[str | None]) -> list[str | None]:
    """The ids of a column of patients; None where one is missing or a placeholder.

    Args:
        ids: (rows,) of a table.
    """
    zero = zero_is_an_id(ids)
    return [None if one is None or is_placeholder(one, zero_is_id=zero) else one for one in ids]


def stand_in(place: str) -> str:
    """What stands for the patient of a record whose id is a placeholder.

    Args:
        place: what stands alone: the UID of a DICOM study, or the path of a file or of the folder of a session.

    Returns:
        A text that is no clear id of a file or a table.
    """
    return f"\0{place}"


LEVELS = ("patient", "session", "study", "series", "trial")
"""The groups that a pattern of ids may have."""
_BIDS_NAME = re.compile(r"sub-(?P<patient>[A-Za-z0-9]+)(_ses-(?P<session>[A-Za-z0-9]+))?_")


def compile_pattern(text: str) -> re.Pattern[str]:
    """Check a pattern of ids.

    A session of signals and a study of volumes are the same level, one visit of a patient. Where records are numbered
    and every patient has two of them (both sides of a head: 1 and 2, 3 and 4), the group `pair` on the running number
    stands for `patient`.

    Args:
        text: regular expression, searched in the path relative to the archive (with /), with the named group `patient`
            and, where there are such ids, `session` or `study`, `series` and `trial`.

    Returns:
        The compiled pattern.

    Raises:
        UsageError: it is no regular expression, or its groups are others.
    """
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UsageError(f"id pattern {text!r} is no regular expression: {error}") from error
    if not {"patient", "pair"} & set(pattern.groupindex):
        raise UsageError(f"id pattern {text!r} has no group (?P<patient>...)")
    foreign = sorted(set(pattern.groupindex) - {*LEVELS, "pair"})
    if foreign:
        raise UsageError(f"id pattern {text!r}: group {foreign[0]!r} is none of {', '.join(LEVELS)}")
    return pattern


def ids_of(path: str, pattern: re.Pattern[str] | None) -> dict[str, str]:
    """The clear ids in a path.

    Args:
        path: relative to the archive, with /.
        pattern: of ids; None looks for the names of BIDS (`sub-01/ses-02/eeg/sub-01_ses-02_task-rest_eeg.edf`).

    Returns:
        Level -> clear id; empty where no pattern is given and the path is not of BIDS.

    Raises:
        UnreadableError: the pattern does not fit, or a BIDS folder and file name different subjects or sessions.
    """
    if pattern is not None:
        match = pattern.search(path)
        ids = {level: value for level, value in match.groupdict().items() if value} if match is not None else {}
        if ids.get("pair", "").isdecimal():
            ids["patient"] = str((int(ids.pop("pair")) + 1) // 2)
        if "patient" not in ids:
            raise UnreadableError("no patient id: the id pattern does not fit the path")
        return ids
    *folders, name = PurePosixPath(path).parts
    match = _BIDS_NAME.match(name)
    if match is None or not any(folder.startswith("sub-") for folder in folders):
        return {}
    ids = {level: value for level, value in match.groupdict().items() if value}
    for level, prefix in (("patient", "sub-"), ("session", "ses-")):
        stated = {folder.removeprefix(prefix) for folder in folders if folder.startswith(prefix)}
        if stated and stated != {ids.get(level)}:
            raise UnreadableError(f"no patient id: the folder and the file name of BIDS differ in {prefix}")
    return ids
