"""Every kind of input that a user can hand in: how a small sound one is written, and how medcl reads it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.records import RECORDS, REPORTS, read_record, read_report
from tests.fuzz.texts import TEXTS
from tests.test_flipped_bits import KINDS as OWN

FRAGILE = ("eeglab", "mat")
"""Kinds that begin so are read by binary code which may end its process; medcl reads them in one of their own."""


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Args:
        write: a sound one into an empty folder.
        read: all of it from a folder, as a user's command does.
        sealed: written by medcl with checksums: damage is refused, or changes nothing.
    """

    write: Callable[[Path], object]
    read: Callable[[Path], Any]
    sealed: bool = False


KINDS: dict[str, Kind] = {
    **{name: Kind(write, read_record) for name, write in RECORDS.items()},
    **{name: Kind(write, read_report) for name, write in REPORTS.items()},
    **{name: Kind(*both) for name, both in TEXTS.items()},
    **{f"own {name}": Kind(*both, sealed=True) for name, both in OWN.items()},
}
