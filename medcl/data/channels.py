"""Channel names: ECG leads and 10-20 electrodes as files spell them, and one spelling of each."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError

_BEFORE = re.compile(r"^(eeg|ecg|ekg|lead)[\s_]+", re.IGNORECASE)
_REFERENCE = re.compile(r"[-_\s]+(ref|le|ar|av|avg)$", re.IGNORECASE)
_LEAD = re.compile(r"i{1,3}|av[rlf]|v\d{1,2}r?|v[xyz]|ml(i{1,3})", re.IGNORECASE)
_ELECTRODE = re.compile(r"(fp|afp|aff|af|f|fft|ffc|ft|fc|t|tp|c|cp|p|po|o|i|n|a|m)(z|\d{1,2})(h?)", re.IGNORECASE)
# The 10-10 system gave four electrodes of the 10-20 system new names; they sit where they sat.
_RENAMED = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}


def canonical(name: str) -> str:
    """One spelling of a channel's name.

    Args:
        name: as a file or a person spells it: `AVR`, `Lead II`, `EEG FP1-Ref`, `T3`.

    Returns:
        `aVR`, `II`, `Fp1`, `T7`: without the kind of signal before it and without a reference that all channels share
        behind it. A derivation keeps both ends (`EEG FP1-F7` is `Fp1-F7`, `C3-A2` stays); so does any other name.
    """
    bare = _BEFORE.sub("", name.strip())
    bare = _REFERENCE.sub("", bare).strip(" .")
    return "-".join(_spelled(end.strip(" .")) for end in bare.split("-"))


def positions(wanted: Sequence[str], present: Sequence[str]) -> NDArray[np.int64]:
    """Where each wanted channel is among those of a recording.

    Args:
        wanted: names, in the order wanted.
        present: names in the file.

    Returns:
        (wanted,) positions.

    Raises:
        UnreadableError: names that the recording lacks, or has twice.
    """
    places: dict[str, list[int]] = {}
    for place, name in enumerate(present):
        places.setdefault(_key(name), []).append(place)
    missing = [name for name in wanted if _key(name) not in places]
    if missing:
        raise UnreadableError(f"lacks the channels {', '.join(missing)}; it has {', '.join(present)}")
    twice = [name for name in wanted if len(places[_key(name)]) > 1]
    if twice:
        raise UnreadableError(f"has more than one channel that is called {', '.join(twice)}")
    return np.array([places[_key(name)][0] for name in wanted], dtype=np.int64)


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


def _key(name: str) -> str:
    return canonical(name).casefold()
