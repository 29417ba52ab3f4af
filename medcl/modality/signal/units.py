"""Units of voltage: the ways to write them, and one spelling of each."""

import re
from functools import lru_cache

VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "nV": 1e-9}
"""Unit -> volts."""
# The micro sign and the Greek letter; both in UTF-8 that was read as Latin-1; mu in the Japanese encoding of recorders.
_MU = re.compile("\u00c2\u00b5|\u00ce\u00bc|\u00b5|\u03bc|\u039c|\x83\xca")
_VOLT = re.compile(r"(?P<prefix>|m|milli|u|mu|mc|micro|n|nano)v(olts?)?")
_PREFIXES = {"": "V", "m": "mV", "milli": "mV", "n": "nV", "nano": "nV"}


@lru_cache(4096)
def canonical_unit(text: str) -> str:
    """One spelling for the units of voltage.

    Args:
        text: as stated, such as the many ways to write microvolt.

    Returns:
        `V`, `mV`, `uV` or `nV`; any other text without the space around it.
    """
    bare = text.strip().strip("[]()\0").strip()
    match = _VOLT.fullmatch(_MU.sub("u", bare).lower().replace(" ", ""))
    return text.strip() if match is None else _PREFIXES.get(match["prefix"], "uV")
