"""Channel names: ECG leads and 10-20 electrodes as files spell them, one spelling of each, and which are wanted."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError

VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "nV": 1e-9}
"""Unit -> volts."""
# The micro sign and the Greek letter; both in UTF-8 that was read as Latin-1; mu in the Japanese encoding of recorders.
_MU = re.compile("\u00c2\u00b5|\u00ce\u00bc|\u00b5|\u03bc|\u039c|\x83\xca")
_VOLT = re.compile(r"(?P<prefix>|m|milli|u|mu|mc|micro|n|nano)v(olts?)?")
_PREFIXES = {"": "V", "m": "mV", "milli": "mV", "n": "nV", "nano": "nV"}


@lru_cache(4096)
def canonical_unit(text: str) -> str:
    """One spelling for the units of voltage.

    Returns:
        `V`, `mV`, `uV` or `nV`; any other text without the space around it.
    """
    bare = text.strip().strip("[]()\0").strip()
    match = _VOLT.fullmatch(_MU.sub("u", bare).lower().replace(" ", ""))
    return text.strip() if match is None else _PREFIXES.get(match["prefix"], "uV")


_BEFORE = re.compile(r"^((mdc_ecg_lead|mdc_eeg_lead|eeg|ecg|ekg|lead|pol)[\s_:-]+)+", re.IGNORECASE)
_REFERENCE = re.compile(r"[-_\s:]+(ref|le|ar|av|avg)$", re.IGNORECASE)
_LEAD = re.compile(r"i{1,3}|av[rlf]|v\d{1,2}r?|v[xyz]|ml(i{1,3})", re.IGNORECASE)
_ELECTRODE = re.compile(r"(fp|afp|aff|af|f|fft|ffc|ft|fc|t|tp|c|cp|p|po|o|i|n|a|m)(z|\d{1,2})(h?)", re.IGNORECASE)
# The 10-10 system gave four electrodes of the 10-20 system new names; they sit where they sat.
_RENAMED = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
_OTHER_LEAD = re.compile(r"mcl\d?|cm\d|d\d|(ecg|ekg)[\s_]*\d*", re.IGNORECASE)
_TRIGGER = re.compile(
    r"(bdf |edf )?(status|triggers?|trig|stim(ulus)?|sti[\s_]?\d+|(event[\s_]?)?markers?|events?|dc[\s_]?trigger)",
    re.IGNORECASE,
)
_UNUSED = re.compile(r"[-_.\s]+( #\d+)?|unnamed( #\d+)?")
_WORD = re.compile(r"[^\W\d_]{3,}")
_SHOWN = 64
_KINDS = {"eeg", "ecg", "ekg", "emg", "eog", "meg", "ref", "lead", "channel", "female", "male", "startdate"}


@lru_cache(4096)
def canonical(name: str) -> str:
    """One spelling of a channel's name.

    Args:
        name: as a file or a person spells it: `AVR`, `Lead II`, `MDC_ECG_LEAD_II`, `EEG FP1-Ref`, `T3`.

    Returns:
        `aVR`, `II`, `Fp1`, `T7`: without the kind of signal before it and without a reference that all channels share
        behind it. A derivation keeps both ends (`EEG FP1-F7` is `Fp1-F7`, `C3-A2` stays); so does any other name.
    """
    bare = _BEFORE.sub("", name.strip())
    bare = _REFERENCE.sub("", bare).strip(" .")
    return "-".join(_spelled(end.strip(" .")) for end in bare.split("-"))


@lru_cache(4096)
def is_lead(name: str) -> bool:
    """Whether a channel has the name of an ECG lead."""
    return any(_LEAD.fullmatch(one) or _OTHER_LEAD.fullmatch(one) for one in (canonical(name), name.strip()))


@lru_cache(4096)
def is_electrode(name: str) -> bool:
    """Whether a channel has the name of an electrode, `EEG Fp1-REF`, or of a bipolar channel with one, `FP1-F7`."""
    return any(_ELECTRODE.fullmatch(end) for end in canonical(name).split("-"))


@lru_cache(4096)
def is_trigger(name: str) -> bool:
    """Whether a channel has the name of a marker or trigger, such as `Status` or `Event marker`."""
    return _TRIGGER.fullmatch(name.strip()) is not None


@lru_cache(4096)
def is_unused(name: str) -> bool:
    """Whether a channel has the name that recorders give to an input without an electrode, `-`, or none."""
    return _UNUSED.fullmatch(name) is not None


def numbered(names: Sequence[str]) -> tuple[str, ...]:
    """Names that tell every channel apart: `T8-P8`, `T8-P8 #2` where a file has two of one name."""
    seen: Counter[str] = Counter()
    result = []
    for name in names:
        seen[name] += 1
        result.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return tuple(result)


def without_person(names: Iterable[str], person: str) -> tuple[str, ...]:
    """Names of channels, or units, that do not repeat the name of the patient.

    Returns:
        `channel 3` in the place of one that has a word of the person's, of three letters or more. Names of leads and
        electrodes stay, and so does the kind of signal, which stands in the place of a name in some files.
    """
    words = set(_WORD.findall(person.casefold())) - _KINDS

    def repeats(name: str) -> bool:
        own = _WORD.findall(name.casefold())
        # Three letters are met within other words by chance.
        return any(word in own or (len(word) > 3 and word in name.casefold()) for word in words)

    return tuple(
        f"channel {place}" if repeats(name) and not (is_lead(name) or is_electrode(name)) else name
        for place, name in enumerate(names, start=1)
    )


def listed(names: Sequence[str]) -> str:
    """Names in a sentence; of very many the first."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def _spelled(name: str) -> str:
    if _LEAD.fullmatch(name):
        upper = name.upper()
        if upper.startswith("AV"):
            return f"a{upper[1:]}"
        return upper.capitalize() if upper[-1] in "XYZ" else upper
    electrode = _ELECTRODE.fullmatch(name)
    if electrode is None:
        return name
    row = electrode[1].upper()
    spelled = f"{row.replace('FP', 'Fp')}{electrode[2].lower()}{electrode[3].lower()}"
    return _RENAMED.get(spelled, spelled)


def positions(
    wanted: Sequence[str],
    present: Sequence[str],
    *,
    names: Mapping[str, str] | None = None,
    unusable: Mapping[str, str] | None = None,
) -> NDArray[np.int64]:
    """Where each wanted channel is among those of a recording.

    Args:
        wanted: names, in the order wanted.
        present: names in the file.
        names: name in a file -> the name it is wanted by, where the two spell different names.
        unusable: name in the file -> why it holds no values.

    Returns:
        (wanted,) positions.

    Raises:
        UnreadableError: names that the recording lacks, has without values, or has twice.
    """
    places: dict[str, list[int]] = {}
    for place, name in enumerate(renamed(present, names)):
        places.setdefault(_key(name), []).append(place)
    missing = [name for name in wanted if _key(name) not in places]
    empty = dict(zip(map(_key, renamed(list(unusable or ()), names)), (unusable or {}).values(), strict=True))
    for name in missing:
        if _key(name) in empty:
            raise UnreadableError(f"channel {name} cannot be used: {empty[_key(name)]}")
    if missing:
        raise UnreadableError(
            f"lacks the channels {listed(missing)}; it has {listed(present)} (data.channel_names says which is which)"
        )
    twice = [name for name in wanted if len(places[_key(name)]) > 1]
    if twice:
        alike = [present[place] for place in places[_key(twice[0])]]
        raise UnreadableError(
            f"has more than one channel that is called {listed(twice)}: {listed(alike)} "
            "(data.channel_names tells them apart)"
        )
    return np.array([places[_key(name)][0] for name in wanted], dtype=np.int64)


def renamed(present: Sequence[str], names: Mapping[str, str] | None) -> list[str]:
    """The names that channels are wanted by.

    Args:
        present: names in the file.
        names: name in a file -> the name it is wanted by. It is for the channel that is spelled so; only where there is
            none, for those of which it is another spelling.
    """
    wishes = {_exact(stated): wish for stated, wish in (names or {}).items()}
    spelled = set(map(_exact, present))
    loose = {_key(stated): wish for stated, wish in (names or {}).items() if _exact(stated) not in spelled}
    return [wishes.get(_exact(name), loose.get(_key(name), name)) for name in present]


def _exact(name: str) -> str:
    return name.strip().casefold()


def _key(name: str) -> str:
    return canonical(name).casefold()
