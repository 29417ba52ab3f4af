"""Channel names: ECG leads and 10-20 electrodes as files spell them, and one spelling of each."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError

# T3 and T7 are one place: the 10-10 system renamed four electrodes of the 10-20 system.
_SYNONYMS = {"t3": "t7", "t4": "t8", "t5": "p7", "t6": "p8"}


def canonical(name: str) -> str:
    """One spelling of a channel's name: lower case, without `EEG`, `ECG`, `lead` before it and without a reference behind it."""
    bare = re.sub(r"^(eeg|ecg|ekg|lead)[\s_]+", "", name.strip().lower())
    bare = re.sub(r"[-_\s]+(ref|le|ar|a1|a2|m1|m2|avg|cz ref)$", "", bare).strip(" .")
    return _SYNONYMS.get(bare, bare)


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
    where: dict[str, list[int]] = {}
    for position, name in enumerate(present):
        where.setdefault(canonical(name), []).append(position)
    missing = [name for name in wanted if canonical(name) not in where]
    if missing:
        raise UnreadableError(f"lacks the channels {', '.join(missing)}; it has {', '.join(present)}")
    twice = [name for name in wanted if len(where[canonical(name)]) > 1]
    if twice:
        raise UnreadableError(f"has more than one channel that is called {', '.join(twice)}")
    return np.array([where[canonical(name)][0] for name in wanted], dtype=np.int64)
